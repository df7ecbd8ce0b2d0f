//! Running the finalizers, one after the other, on a lane that no other work can fill.

use std::{
    io, mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use tokio::{
    runtime::{Handle, Runtime},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    driver::Mode,
    finalizer::{HookResult, Step},
    lifecycle::Event,
    lock::Mutex,
    program::Program,
    progress,
    registry::Registration,
    report::{Cause, FinalizerEnd},
    work::{self, catch_unwind},
};

/// `finalize` with its state, which need not be `Send`.
pub(crate) type LocalHook = Pin<Box<dyn Future<Output = HookResult>>>;

/// A small runtime of ours: what a finalizer spawns, sends to the blocking pool or waits for as a timer runs here, however full
/// or blocked the program's runtime is. That one goes on driving what was opened on it.
///
/// It is there from the first hook on: at the stop it would cost time, and the system may have no thread left.
#[derive(Debug, Default)]
pub(crate) struct Lane(Mutex<Option<(Runtime, Registration)>>);

impl Lane {
    /// Opens the lane, once.
    pub(crate) fn open(&self, program: &Arc<Program>) -> io::Result<Handle> {
        let mut lane = self.0.lock();
        if let Some((runtime, _)) = &*lane {
            return Ok(runtime.handle().clone());
        }
        let build = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("graceful-finalizers")
                .enable_all()
                .build()
        };
        // Where the system has no thread it panics, and the driver must not be the one that this ends.
        let runtime = panic::catch_unwind(build)
            .unwrap_or_else(|_| Err(io::Error::other("there is no thread for the finalizers")))?;
        let registration = Registration::new(runtime.handle(), program);
        let handle = runtime.handle().clone();
        *lane = Some((runtime, registration));
        Ok(handle)
    }

    /// Ends what finalizers left running, without waiting for it.
    pub(crate) fn close(&self) {
        let lane = self.0.lock().take();
        if let Some((runtime, registration)) = lane {
            drop(registration);
            match runtime.metrics().num_alive_tasks() {
                // Its thread waits for work that does not come, and is gone with the process.
                0 => mem::forget(runtime),
                _ => runtime.shutdown_background(),
            }
        }
    }
}

/// Runs hooks as long as it is this runner's turn and there are any, then tells the lifecycle.
///
/// `state` is `finalize` of the builder; without it, that hook is left behind.
pub(crate) async fn run(program: &Arc<Program>, runner: u64, mut state: Option<LocalHook>) {
    let end = program.stop().map_or_else(Instant::now, |stop| stop.budget.report);
    while let Some((name, step, cut)) = program.hooks.next(runner, end) {
        let since = Instant::now();
        let future: LocalHook = match step {
            Step::Shared(make) => Box::pin(async move { make().await }),
            Step::State => match state.take() {
                Some(future) => future,
                None => {
                    let error =
                        "the main thread, which has its state, did not come back".to_owned();
                    program.hooks.ended(runner, FinalizerEnd::LeftBehind, Some(error));
                    continue;
                }
            },
        };
        let lane = if program.mode == Mode::Real { program.lane.open(program).ok() } else { None };
        let (end, error) = run_one(OnLane { lane, future: Some(future) }, cut).await;
        progress::finalized(program, &name, since.elapsed(), error.as_deref());
        program.hooks.ended(runner, end, error);
        program.tell_status();
    }
    if program.hooks.is_closed() {
        program.on(Event::Finalized, || Cause::MainReturned);
    }
}

async fn run_one(future: OnLane, cut: CancellationToken) -> (FinalizerEnd, Option<String>) {
    let mut future = Box::pin(catch_unwind(future));
    let result = cut.run_until_cancelled(&mut future).await;
    // A drop is user code and may panic as well; it is part of the hook's time.
    let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(future)));
    match (result, dropped) {
        (Some(Err(payload)), _) | (Some(Ok(_)), Err(payload)) => {
            let error = format!("panicked: {}", work::message(&*payload));
            // Its drop is user code too.
            mem::forget(payload);
            (FinalizerEnd::Panicked, Some(error))
        }
        (Some(Ok(Ok(()))), Ok(())) => (FinalizerEnd::Ended, None),
        (Some(Ok(Err(error))), Ok(())) => (FinalizerEnd::Failed, Some(error)),
        (None, _) => (FinalizerEnd::LeftBehind, Some("it did not end in its time".to_owned())),
    }
}

/// Goes on with the hooks on a thread of ours, because whoever ran them does not come back.
pub(crate) fn take_over(program: &Arc<Program>) {
    let runner = program.hooks.take_over();
    let program = Arc::clone(program);
    let body = move || {
        if let Ok(lane) = program.lane.open(&program) {
            lane.block_on(run(&program, runner, None));
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
