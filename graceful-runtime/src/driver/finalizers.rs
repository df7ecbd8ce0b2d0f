//! Running the finalizers, one after the other, on a lane that no other work can fill.

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
    model::finalizer_turns::Runner,
    model::{
        lifecycle::Event,
        panics::{self, catch_unwind},
        report::{Cause, FinalizerEnd},
        settings::ClockMode,
    },
    program::{
        finalizer_queue::{HookResult, Step},
        log,
        state::Program,
    },
};

/// `finalize` with its state, which need not be `Send`.
pub(crate) type LocalHook = Pin<Box<dyn Future<Output = HookResult>>>;

/// Runs hooks as long as it is this runner's turn and there are any, then tells the lifecycle.
///
/// `state` is `finalize` of the builder, and stays there if its turn does not come; without it, that hook is left behind.
pub(crate) async fn run(
    program: &Arc<Program>,
    lane: &FinalizerRuntime,
    runner: Runner,
    state: &mut Option<LocalHook>,
) {
    let end = program.stop().map_or_else(Instant::now, |stop| stop.budget.report);
    while let Some((name, step, cut)) = program.finalizers.next(runner, end) {
        let since = Instant::now();
        let future: LocalHook = match step {
            Step::Shared(make) => Box::pin(async move { make().await }),
            Step::State => match state.take() {
                Some(future) => future,
                None => {
                    let error =
                        "the main thread, which has its state, did not come back".to_owned();
                    program.finalizers.ended(runner, FinalizerEnd::LeftBehind, Some(error));
                    continue;
                }
            },
        };
        let lane = if program.mode == ClockMode::Real { lane.open(program).ok() } else { None };
        let (end, error) = run_one(OnLane { lane, future: Some(future) }, cut).await;
        log::finalized(&program.log_thread, &name, since.elapsed(), error.as_deref());
        program.finalizers.ended(runner, end, error);
        program.publish_status();
    }
    if program.finalizers.is_closed() {
        program.on(Event::Finalized, || Cause::MainReturned);
    }
}

/// Runs a hook until it ends or is cut. It is polled and dropped [outside](outside()) of the runtime, because it may own what blocks when it is
/// dropped, as the state does.
async fn run_one(hook: OnLane, cut: CancellationToken) -> (FinalizerEnd, Option<String>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = Box::pin(catch_unwind(hook));
    let result = loop {
        outside().await;
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => break Some(result),
            Poll::Pending if cut.is_cancelled() => break None,
            Poll::Pending => drop(cut.run_until_cancelled(woken.0.notified()).await),
        }
    };
    // A drop is user code and may panic as well; it is part of the hook's time.
    let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(future)));
    match (result, dropped) {
        (Some(Err(payload)), _) | (Some(Ok(_)), Err(payload)) => {
            let error = format!("panicked: {}", panics::message(&*payload));
            // Its drop is user code too.
            mem::forget(payload);
            (FinalizerEnd::Panicked, Some(error))
        }
        (Some(Ok(Ok(()))), Ok(())) => (FinalizerEnd::Ended, None),
        (Some(Ok(Err(error))), Ok(())) => (FinalizerEnd::Failed, Some(error)),
        (None, _) => (FinalizerEnd::LeftBehind, Some("it did not end in its time".to_owned())),
    }
}

/// Something that a hook waits for has come.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Goes on with the hooks on a thread of ours, because whoever ran them does not come back.
pub(crate) fn take_over(program: &Arc<Program>, lane: &Arc<FinalizerRuntime>) {
    let runner = program.finalizers.take_over();
    let (program, lane) = (Arc::clone(program), Arc::clone(lane));
    let body = move || {
        if let Ok(runtime) = lane.open(&program) {
            let _context = runtime.enter();
            drive(run(&program, &lane, runner, &mut None), |inside| runtime.block_on(inside));
            program.changed.notify_one();
        }
    };
    // Without a thread the hooks wait for the end of the budget and are reported as left behind.
    drop(thread::Builder::new().name("graceful-finalizers".to_owned()).spawn(body));
}

/// A future that is polled and dropped in the context of the lane, while the runtime below goes on being driven.
struct OnLane {
    lane: Option<Handle>,
    future: Option<LocalHook>,
}

impl Drop for OnLane {
    fn drop(&mut self) {
        let _context = self.lane.as_ref().map(Handle::enter);
        self.future = None;
    }
}

impl Future for OnLane {
    type Output = HookResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HookResult> {
        let Self { lane, future } = &mut *self;
        let _context = lane.as_ref().map(Handle::enter);
        future.as_mut().map_or(Poll::Pending, |future| future.as_mut().poll(cx))
    }
}
