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

/// A small runtime of the library. The tasks, blocking closures and timers of a finalizer run on it, however full or blocked the
/// program's runtime is. Sockets and timers that were created on the program's runtime stay there.
///
/// It starts when the first finalizer is registered: starting it at the stop would cost time, and the system might have no
/// thread left by then.
#[derive(Debug, Default)]
pub(crate) struct FinalizerRuntime(Mutex<Option<Opened>>);

#[derive(Debug)]
struct Opened {
    runtime: Runtime,
    registration: Registration,
    /// How many threads the runtime has started. The first is its worker.
    threads: Arc<AtomicUsize>,
}

impl FinalizerRuntime {
    /// Starts the runtime, unless it is open.
    ///
    /// # Errors
    ///
    /// The system has no thread or no descriptor left.
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
                    // Relaxed, with the load in `close`: `spawn_blocking` asks for the name before it returns, so the
                    // finalizer's own synchronization with `close` orders the two.
                    count.fetch_add(1, Ordering::Relaxed);
                    "graceful-finalizers".to_owned()
                })
                .enable_all()
                .build()
        };
        // Tokio panics if the system has no thread left, which must not end the driver.
        let runtime = panic::catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| {
            Err(io::Error::other("the system has no thread left for the finalizers"))
        })?;
        let registration = Registration::new(runtime.handle(), program);
        let handle = runtime.handle().clone();
        *opened = Some(Opened { runtime, registration, threads });
        Ok(handle)
    }

    /// Closes the runtime. Returns it for the caller to end if finalizers may have left something running on it.
    pub(crate) fn close(&self) -> Option<Runtime> {
        let opened = { self.0.lock().take() };
        let Opened { runtime, registration, threads } = opened?;
        drop(registration);
        // Relaxed: see `open`.
        let is_idle =
            runtime.metrics().num_alive_tasks() == 0 && threads.load(Ordering::Relaxed) <= 1;
        if is_idle {
            // Leaked on purpose: ending it takes time, and its idle thread ends with the process.
            mem::forget(runtime);
            return None;
        }
        Some(runtime)
    }
}
