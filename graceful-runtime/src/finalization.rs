//! Running the finalizers, one after the other, on a lane that no other work can fill.

use std::{
    io, mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use tokio::{
    runtime::{Handle, Runtime},
    sync::Notify,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    driver::Mode,
    finalizer::{HookResult, Step},
    lifecycle::Event,
    lock::Mutex,
    outside::{drive, outside},
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
pub(crate) struct Lane(Mutex<Option<Opened>>);

#[derive(Debug)]
struct Opened {
    runtime: Runtime,
    registration: Registration,
    /// How many threads it has begun, of which the first is its worker.
    threads: Arc<AtomicUsize>,
}

impl Lane {
    /// Opens the lane, once.
    pub(crate) fn open(&self, program: &Arc<Program>) -> io::Result<Handle> {
        let mut lane = self.0.lock();
        if let Some(Opened { runtime, .. }) = &*lane {
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
        *lane = Some(Opened { runtime, registration, threads });
        Ok(handle)
    }

    /// Closes the lane; gives its runtime where finalizers left something on it, to be ended.
    pub(crate) fn close(&self) -> Option<Runtime> {
        let lane = { self.0.lock().take() };
        let Opened { runtime, registration, threads } = lane?;
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

/// Runs hooks as long as it is this runner's turn and there are any, then tells the lifecycle.
///
/// `state` is `finalize` of the builder, and stays there if its turn does not come; without it, that hook is left behind.
pub(crate) async fn run(program: &Arc<Program>, runner: u64, state: &mut Option<LocalHook>) {
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

/// Something that a hook waits for has come.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Goes on with the hooks on a thread of ours, because whoever ran them does not come back.
pub(crate) fn take_over(program: &Arc<Program>) {
    let runner = program.hooks.take_over();
    let program = Arc::clone(program);
    let body = move || {
        if let Ok(lane) = program.lane.open(&program) {
            let _context = lane.enter();
            drive(run(&program, runner, &mut None), |inside| lane.block_on(inside));
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
