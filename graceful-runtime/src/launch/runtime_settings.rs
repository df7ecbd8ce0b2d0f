//! The settings of the program's Tokio runtime.

use std::io;

use tokio::runtime::{self, Runtime};

/// How the runtime schedules its tasks. Defaults to [`MultiThread`](Self::MultiThread).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flavor {
    /// All tasks run on the main thread.
    CurrentThread,
    /// Tasks run on worker threads.
    #[default]
    MultiThread,
}

/// The settings of the runtime. `None` is Tokio's default.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeSettings {
    pub(crate) flavor: Flavor,
    pub(crate) worker_threads: Option<usize>,
    pub(crate) max_blocking_threads: Option<usize>,
    pub(crate) thread_name: Option<String>,
    pub(crate) start_paused: bool,
    pub(crate) adjust: Option<fn(&mut runtime::Builder)>,
}

impl RuntimeSettings {
    /// Whether there are workers on which no user code runs before the first task. An `adjust` closure may install hooks that run
    /// earlier.
    pub(crate) fn has_workers_of_its_own(&self) -> bool {
        self.flavor == Flavor::MultiThread && self.adjust.is_none()
    }

    pub(crate) fn build(self) -> io::Result<Runtime> {
        let Self {
            flavor,
            worker_threads,
            max_blocking_threads,
            thread_name,
            start_paused,
            adjust,
        } = self;
        let mut builder = match flavor {
            Flavor::CurrentThread => runtime::Builder::new_current_thread(),
            Flavor::MultiThread => runtime::Builder::new_multi_thread(),
        };
        builder.enable_all();
        if let Some(threads) = worker_threads {
            builder.worker_threads(threads);
        }
        if let Some(threads) = max_blocking_threads {
            builder.max_blocking_threads(threads);
        }
        if let Some(name) = thread_name {
            builder.thread_name(name);
        }
        #[cfg(feature = "testing")]
        builder.start_paused(start_paused);
        #[cfg(not(feature = "testing"))]
        let _ = start_paused;
        if let Some(adjust) = adjust {
            adjust(&mut builder);
        }
        builder.build()
    }
}
