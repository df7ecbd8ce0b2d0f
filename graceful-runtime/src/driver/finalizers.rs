//! Running the finalizers, one after the other, on a runtime that no other work can fill.

use std::{
    mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
};

use tokio::{runtime::Handle, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    driver::{
        finalizer_runtime::FinalizerRuntime,
        outside::{drive, outside},
    },
    model::{
        finalizer_turns::Runner,
        lifecycle::Event,
        panics::{self, catch_unwind},
        report::{Cause, FinalizerEnd},
        settings::ClockMode,
    },
    program::{
        finalizer_queue::{Begun, Body, FinalizerResult},
        log,
        state::Program,
    },
};

/// A finalizer that stays on its thread, as `Builder::finalize` does, whose state need not be `Send`.
pub(crate) type LocalFinalizer = Pin<Box<dyn Future<Output = FinalizerResult>>>;

/// Runs finalizers until none is left or it is no longer this runner's turn. Brings [`Event::Finalized`] after the last one.
///
/// `with_state` is the future of `Builder::finalize`. It is left in place if its turn does not come. A runner that has none reports that finalizer as left
/// behind.
pub(crate) async fn run(
    program: &Arc<Program>,
    runtime: &FinalizerRuntime,
    runner: Runner,
    with_state: &mut Option<LocalFinalizer>,
) {
    let end = program.stop().map_or_else(Instant::now, |stop| stop.budget.report);
    while let Some(Begun { name, body, timed_out }) = program.finalizers.begin_next(runner, end) {
        let since = Instant::now();
        let future: LocalFinalizer = match body {
            Body::Shared(make) => Box::pin(async move { make().await }),
            Body::WithState => match with_state.take() {
                Some(future) => future,
                None => {
                    let error = "the main thread, which holds the state, is blocked".to_owned();
                    program.finalizers.ended(runner, FinalizerEnd::LeftBehind, Some(error));
                    continue;
                }
            },
        };
        let handle =
            if program.mode == ClockMode::Real { runtime.open(program).ok() } else { None };
        let finalizer = InContext { handle, future: Some(future) };
        let (end, error) = run_one(finalizer, timed_out).await;
        log::finalized(&program.log_thread, &name, since.elapsed(), error.as_deref());
        program.finalizers.ended(runner, end, error);
        program.publish_status();
    }
    if program.finalizers.is_closed() {
        program.on(Event::Finalized, || Cause::MainReturned);
    }
}

/// Runs a finalizer until it ends or its time is over.
///
/// The finalizer is polled and dropped [outside](outside()) of `block_on`, because it may own values that block when they are
/// dropped, and so may the state.
async fn run_one(
    finalizer: InContext,
    timed_out: CancellationToken,
) -> (FinalizerEnd, Option<String>) {
    let wakeup = Arc::new(Wakeup::default());
    let waker = Waker::from(Arc::clone(&wakeup));
    let mut future = Box::pin(catch_unwind(finalizer));
    let result = loop {
        outside().await;
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => break Some(result),
            Poll::Pending if timed_out.is_cancelled() => break None,
            Poll::Pending => drop(timed_out.run_until_cancelled(wakeup.0.notified()).await),
        }
    };
    // The drop is user code: it may panic, and counts as part of the finalizer's time.
    let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(future)));
    match (result, dropped) {
        (Some(Err(payload)), _) | (Some(Ok(_)), Err(payload)) => {
            let error = format!("panicked: {}", panics::message(&*payload));
            // Leaked on purpose: its drop is user code and may panic too.
            mem::forget(payload);
            (FinalizerEnd::Panicked, Some(error))
        }
        (Some(Ok(Ok(()))), Ok(())) => (FinalizerEnd::Ended, None),
        (Some(Ok(Err(error))), Ok(())) => (FinalizerEnd::Failed, Some(error)),
        (None, _) => (FinalizerEnd::LeftBehind, Some("it did not end in its time".to_owned())),
    }
}

/// Wakes the runner of a finalizer.
#[derive(Default)]
struct Wakeup(Notify);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Runs the remaining finalizers on a new thread of the library, because a finalizer blocks the thread of their runner.
pub(crate) fn start_runner(
    program: &Arc<Program>,
    runtime: &Arc<FinalizerRuntime>,
    runner: Runner,
) {
    let (program, runtime) = (Arc::clone(program), Arc::clone(runtime));
    let body = move || {
        if let Ok(handle) = runtime.open(&program) {
            let _context = handle.enter();
            drive(run(&program, &runtime, runner, &mut None), |inside| handle.block_on(inside));
            program.changed.notify_one();
        }
    };
    // If no thread starts, the finalizers are reported as left behind at the end of the budget.
    drop(thread::Builder::new().name("graceful-finalizers".to_owned()).spawn(body));
}

/// A finalizer that is polled and dropped in the context of the finalizers' runtime, while its runner's own runtime is driven.
struct InContext {
    handle: Option<Handle>,
    /// `None` after it was dropped.
    future: Option<LocalFinalizer>,
}

impl Drop for InContext {
    fn drop(&mut self) {
        let _context = self.handle.as_ref().map(Handle::enter);
        self.future = None;
    }
}

impl Future for InContext {
    type Output = FinalizerResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<FinalizerResult> {
        let Self { handle, future } = &mut *self;
        let _context = handle.as_ref().map(Handle::enter);
        future.as_mut().map_or(Poll::Pending, |future| future.as_mut().poll(cx))
    }
}
