//! The runtime that finalizers run on.

use std::{
    io, mem,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::runtime::{Handle, Runtime};

use crate::{
    os::mutex::Mutex,
    program::{current::Registration, state::Program},
};

/// A small runtime of ours: what a finalizer spawns, sends to the blocking pool or waits for as a timer runs here, however full
/// or blocked the program's runtime is. That one goes on driving what was opened on it.
///
/// It is there from the first hook on: at the stop it would cost time, and the system may have no thread left.
#[derive(Debug, Default)]
pub(crate) struct FinalizerRuntime(Mutex<Option<Opened>>);

#[derive(Debug)]
struct Opened {
    runtime: Runtime,
    registration: Registration,
    /// How many threads it has begun, of which the first is its worker.
    threads: Arc<AtomicUsize>,
}

impl FinalizerRuntime {
    /// Starts it, once.
    pub(crate) fn open(&self, program: &Arc<Program>) -> io::Result<Handle> {
        let mut opened = self.0.lock();
        if let Some(Opened { runtime, .. }) = &*opened {
            return Ok(runtime.handle().clone());
        }
        let threads = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&threads);
        let build = move || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name_fn(move || {
                    // Relaxed: whoever sends something to the pool asks for its thread's name before that returns.
                    count.fetch_add(1, Ordering::Relaxed);
                    "graceful-finalizers".to_owned()
                })
                .enable_all()
                .build()
        };
        // Where the system has no thread it panics, and the driver must not be the one that this ends.
        let runtime = panic::catch_unwind(AssertUnwindSafe(build))
            .unwrap_or_else(|_| Err(io::Error::other("there is no thread for the finalizers")))?;
        let registration = Registration::new(runtime.handle(), program);
        let handle = runtime.handle().clone();
        *opened = Some(Opened { runtime, registration, threads });
        Ok(handle)
    }

    /// Ends it; gives its runtime where finalizers left something on it, to be ended.
    pub(crate) fn close(&self) -> Option<Runtime> {
        let opened = { self.0.lock().take() };
        let Opened { runtime, registration, threads } = opened?;
        drop(registration);
        // Relaxed: as above.
        let has_idled =
            runtime.metrics().num_alive_tasks() == 0 && threads.load(Ordering::Relaxed) <= 1;
        if has_idled {
            // Its thread waits for work that does not come, and is gone with the process.
            mem::forget(runtime);
            return None;
        }
        Some(runtime)
    }
}
