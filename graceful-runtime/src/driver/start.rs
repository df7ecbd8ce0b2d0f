//! Starting the driver: on a thread of its own, or without one where the system has none left.

use std::{io, sync::Arc, thread};

use tokio::task;

use crate::{
    driver::{event_loop::drive, exit_report, finalizer_runtime::FinalizerRuntime},
    model::{lifecycle::Event, report::Cause},
    os::{mutex::Mutex, supervisor::SignalReceiver},
    program::state::Program,
};

/// Starts the driver on a thread of its own.
///
/// # Errors
///
/// The system has no thread or no descriptor left. The receiver of signals is returned, for [`drive_in_place`].
pub(crate) fn start(
    program: &Arc<Program>,
    finalizers: &Arc<FinalizerRuntime>,
    receiver: SignalReceiver,
) -> Result<(), (SignalReceiver, io::Error)> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Err((receiver, error)),
    };
    // If the thread cannot start, its closure is dropped. The runtime and the receiver must survive that, so they are shared.
    let given = Arc::new(Mutex::new(Some((runtime, receiver))));
    let taken = Arc::clone(&given);
    let (program, finalizers) = (Arc::clone(program), Arc::clone(finalizers));
    let body = move || {
        if let Some((runtime, receiver)) = { taken.lock().take() } {
            runtime.block_on(drive(Arc::clone(&program), finalizers, Some(receiver)));
            exit_report::run_late(&program);
        }
    };
    let spawned = thread::Builder::new().name("graceful-driver".to_owned()).spawn(body);
    let left = spawned.err().and_then(|error| Some((given.lock().take()?, error)));
    left.map_or(Ok(()), |((runtime, receiver), error)| {
        // The caller may be a task, and dropping a runtime in a task panics.
        runtime.shutdown_background();
        Err((receiver, error))
    })
}

/// Stops the program at once and drives it on its own runtime, because the system has no thread or descriptor for the driver.
pub(crate) async fn drive_in_place(
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    receiver: SignalReceiver,
    error: io::Error,
) {
    program.failed("graceful", format!("cannot start its threads: {error}"), true);
    let cause = || Cause::Requested("the system has no thread or descriptor left".to_owned());
    program.on(Event::Request { lame_duck: false }, cause);
    drive(Arc::clone(&program), finalizers, Some(receiver)).await;
    task::block_in_place(|| exit_report::run_late(&program));
}
