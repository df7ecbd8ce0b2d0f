//! Spawning: tasks, blocking closures and threads that the drain waits for.

use std::{panic, thread, time::Duration};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    handle::{requested, scope_ref::ScopeRef},
    model::{
        outcome::{Outcome, error_of},
        report::Kind,
        settings::ClockMode,
    },
    tracking::{
        label::{Abort, Label},
        listener::Listener,
        tracked::{Job, Tracked, Weight},
        work::Work,
    },
};

/// Work with a name, about to begin; made by [`Shutdown::task`].
///
/// The drain waits for it. Its error or panic is logged and reported under its name; it changes the exit status
/// only if the task is [essential](Self::essential).
#[derive(Debug)]
#[must_use = "nothing runs until one of the `spawn` methods is called"]
pub struct Task {
    pub(crate) target: ScopeRef,
    pub(crate) label: Label,
    pub(crate) weight: Weight,
}

impl Task {
    /// If the task ends, errs or panics, the program stops, with that as the cause.
    ///
    /// The exit status is 0 if it ended with `()` or `Ok`, 1 after an error, 101 after a panic. During a lame duck it ends
    /// the lame duck.
    pub fn essential(mut self) -> Self {
        self.weight = Weight::Essential;
        self
    }

    /// Runs a future as a task of the program's runtime.
    ///
    /// A force aborts it at its next `.await`. Once finalization has begun it is refused: the future is dropped
    /// unpolled, and the handle yields a cancelled `JoinError`.
    #[allow(clippy::must_use_candidate, reason = "the task runs without its handle")]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Outcome + Send> + Send + 'static,
    {
        let Self { target, label, weight } = self;
        spawn(&target, label, weight, future, error_of)
    }

    /// Runs a closure on the runtime's pool of blocking threads.
    ///
    /// A force cannot end it once it runs: it is left behind and reported. Refused like [`spawn`](Self::spawn).
    #[allow(clippy::must_use_candidate, reason = "the closure runs without its handle")]
    pub fn spawn_blocking<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Outcome + Send + 'static,
    {
        let Self { target, mut label, weight } = self;
        label.kind = Kind::Blocking;
        spawn_blocking(&target, label, weight, f, error_of)
    }

    /// Runs a closure on a thread of its own, which has the task's name (as reports show it) and belongs to the program's runtime:
    /// [`Shutdown::current`] and `tokio::spawn` work on it.
    ///
    /// A force cannot end it: it is left behind and reported. Refused like [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// If the system has no thread left, like `std::thread::spawn`.
    #[allow(clippy::must_use_candidate, reason = "the thread runs without its handle")]
    pub fn spawn_thread<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Outcome + Send + 'static,
    {
        let Self { target, mut label, weight } = self;
        label.kind = Kind::Thread;
        let program = &target.program;
        let name = label.name();
        let (Some(runtime), Some(work)) = (program.runtime.get(), enter(&target, label)) else {
            return refused();
        };
        let (done, result) = oneshot::channel();
        work.key().set_abort(Abort::Impossible);
        let (context, job) = (runtime.clone(), Job::new(Some(work), weight));
        let body = move || {
            let _context = context.enter();
            let result = panic::catch_unwind(panic::AssertUnwindSafe(|| job.run(f, error_of)));
            drop(done.send(result));
        };
        // Unwrapped like std does: a program that has no thread left cannot go on as it was written.
        let spawned = thread::Builder::new().name(name).spawn(body);
        if let Err(error) = spawned {
            panic!("failed to spawn thread: {error}");
        }
        // A clock that is paused would run on while only a thread works; it stands still for a closure on the blocking pool.
        let on_pool = program.mode == ClockMode::Paused;
        let pool = runtime.clone();
        runtime.spawn(async move {
            let result = if on_pool {
                pool.spawn_blocking(|| result.blocking_recv()).await.ok().and_then(Result::ok)
            } else {
                result.await.ok()
            };
            match result {
                Some(Ok(value)) => value,
                Some(Err(payload)) => panic::resume_unwind(payload),
                None => std::future::pending().await,
            }
        })
    }
}

/// Spawns a future as tracked work.
pub(crate) fn spawn<F>(
    target: &ScopeRef,
    label: Label,
    weight: Weight,
    future: F,
    error: fn(&F::Output) -> Option<String>,
) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let runtime = target.program.runtime.get();
    let (Some(runtime), Some(work)) = (runtime, enter(target, label)) else {
        drop(future);
        return refused();
    };
    let key = work.key();
    let task = runtime.spawn(Tracked::new(future, Job::new(Some(work), weight), error));
    key.set_abort(Abort::Task(task.abort_handle()));
    task
}

/// Runs a closure on the blocking pool as tracked work.
pub(crate) fn spawn_blocking<F, T>(
    target: &ScopeRef,
    label: Label,
    weight: Weight,
    f: F,
    error: fn(&T) -> Option<String>,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let runtime = target.program.runtime.get();
    let (Some(runtime), Some(work)) = (runtime, enter(target, label)) else {
        drop(f);
        return refused();
    };
    let (key, job) = (work.key(), Job::new(Some(work), weight));
    let task = runtime.spawn_blocking(move || job.run(f, error));
    // A closure that waits for a free thread can still be taken back.
    key.set_abort(Abort::Task(task.abort_handle()));
    task
}

/// Runs `f` at once and then every `period`, until the part is asked to stop, which it sees between two runs.
pub(crate) async fn every<Fut>(
    target: ScopeRef,
    period: Duration,
    mut f: impl FnMut() -> Fut,
    label: Label,
) where
    Fut: Future<Output: Outcome>,
{
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let tick = requested::before(&target, ticks.tick()).await;
        if tick.is_none() || target.is_requested() {
            return;
        }
        let outcome = f().await;
        if let Some(error) = error_of(&outcome) {
            target.program.task_ended(&label, false, Some(error));
        }
    }
}

fn enter(target: &ScopeRef, label: Label) -> Option<Work> {
    let entered = target.program.tracker.enter(target.scope, label);
    entered.map_err(|label| {
        let name = label.name();
        tracing::warn!(target: "graceful", task = %name, location = %label.location, "refused: finalization has begun");
    }).ok()
}

/// A handle that yields a cancelled `JoinError` at once, also where every worker of the program is blocked: what is
/// spawned on a runtime that is gone is cancelled before it is polled.
fn refused<T: Send + 'static>() -> JoinHandle<T> {
    gone().spawn(std::future::pending())
}

fn gone() -> Handle {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => {
            let handle = runtime.handle().clone();
            runtime.shutdown_background();
            handle
        }
        // Without I/O and time, building one asks nothing of the system.
        Err(error) => panic!("cannot build a runtime: {error}"),
    }
}
