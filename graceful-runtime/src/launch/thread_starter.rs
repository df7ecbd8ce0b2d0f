//! Starts the supervisor and the driver, once.

use std::{io, sync::Arc};

use crate::{
    driver::{finalizer_runtime::FinalizerRuntime, start},
    os::{
        mutex::Mutex,
        supervisor::{PendingSupervisor, SignalReceiver},
    },
    program::state::Program,
};

/// Starts the threads of the supervisor and of the driver. The first caller starts them; later calls do nothing.
#[derive(Clone, Default)]
pub(crate) struct ThreadStarter(Arc<Mutex<Option<Unstarted>>>);

struct Unstarted {
    supervisor: PendingSupervisor,
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
}

/// What is left if the threads could not start, and why.
pub(crate) struct NotStarted {
    pub(crate) program: Arc<Program>,
    pub(crate) finalizers: Arc<FinalizerRuntime>,
    pub(crate) receiver: SignalReceiver,
    pub(crate) error: io::Error,
}

impl ThreadStarter {
    pub(crate) fn new(
        supervisor: PendingSupervisor,
        program: &Arc<Program>,
        finalizers: &Arc<FinalizerRuntime>,
    ) -> Self {
        let (program, finalizers) = (Arc::clone(program), Arc::clone(finalizers));
        let unstarted = Unstarted { supervisor, program, finalizers };
        Self(Arc::new(Mutex::new(Some(unstarted))))
    }

    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system has no thread or no descriptor left. The caller may drive the program otherwise, or refuse to run it.
    pub(crate) fn start(&self) -> Result<(), NotStarted> {
        let unstarted = self.0.lock().take();
        let Some(Unstarted { supervisor, program, finalizers }) = unstarted else { return Ok(()) };
        let (receiver, started) = supervisor.start(Some(program.settings.until_last_exit()));
        let started = match started {
            Ok(()) => start::start(&program, &finalizers, receiver),
            Err(error) => Err((receiver, error)),
        };
        started.map_err(|(receiver, error)| NotStarted { program, finalizers, receiver, error })
    }
}
