//! Spawning tracked work on the program's runtime.

use std::{future::pending, panic, thread, time::Duration};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    handle::{requested::Requested, scope_ref::ScopeRef},
    model::{
        outcome::{Outcome, error_of},
        select::race,
        settings::ClockMode,
    },
    tracking::{
        label::{Abort, Label},
        listener::Listener,
        tracked::{Job, Tracked, Weight},
        work::Work,
    },
};

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
    // An abort removes a closure that still waits for a free thread.
    key.set_abort(Abort::Task(task.abort_handle()));
    task
}

/// Runs a closure on a thread of its own as tracked work. The thread is named after the label.
pub(crate) fn spawn_thread<F, T>(
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
    let program = &target.program;
    let name = label.name();
    let (Some(runtime), Some(work)) = (program.runtime.get(), enter(target, label)) else {
        drop(f);
        return refused();
    };
    work.key().set_abort(Abort::Impossible);
    let (done, result) = oneshot::channel();
    let (context, job) = (runtime.clone(), Job::new(Some(work), weight));
    let body = move || {
        let _context = context.enter();
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| job.run(f, error)));
        drop(done.send(result));
    };
    // Panics like `std::thread::spawn`: without the thread, the program cannot work as it was written.
    if let Err(error) = thread::Builder::new().name(name).spawn(body) {
        panic!("failed to spawn thread: {error}");
    }
    runtime.spawn(thread_output(result, program.mode, runtime.clone()))
}

/// Returns a thread's output, or resumes its panic.
async fn thread_output<T: Send + 'static>(
    result: oneshot::Receiver<thread::Result<T>>,
    mode: ClockMode,
    runtime: Handle,
) -> T {
    let result = match mode {
        ClockMode::Real => result.await.ok(),
        // A paused clock advances while all tasks wait, even if a thread works. It stands still while a closure is on the
        // blocking pool, so the wait happens there.
        ClockMode::Paused => {
            runtime.spawn_blocking(|| result.blocking_recv()).await.ok().and_then(Result::ok)
        }
    };
    match result {
        Some(Ok(value)) => value,
        Some(Err(payload)) => panic::resume_unwind(payload),
        None => pending().await,
    }
}

/// Runs `f` at once and then every `period`, until the scope is asked to stop. A run is not interrupted.
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
        let stop = race(Requested::new(&target), ticks.tick()).await;
        if stop.is_some() || target.is_requested() {
            return;
        }
        let outcome = f().await;
        if let Some(error) = error_of(&outcome) {
            target.program.task_ended(&label, false, Some(error));
        }
    }
}

/// Counts a piece of work, or logs that it is refused.
fn enter(target: &ScopeRef, label: Label) -> Option<Work> {
    let entered = target.program.tracker.enter(target.scope, label);
    entered.map_err(|label| {
        let name = label.name();
        tracing::warn!(target: "graceful", task = %name, location = %label.location, "refused: finalization has begun");
    }).ok()
}

/// Returns a handle that yields a cancelled `JoinError` at once, even if every worker of the program is blocked: a task that is
/// spawned on a runtime that has shut down is cancelled before its first poll.
fn refused<T: Send + 'static>() -> JoinHandle<T> {
    shut_down_runtime().spawn(pending())
}

fn shut_down_runtime() -> Handle {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => {
            let handle = runtime.handle().clone();
            runtime.shutdown_background();
            handle
        }
        // A runtime without I/O and time needs nothing from the system, so this does not happen.
        Err(error) => panic!("cannot build a runtime: {error}"),
    }
}
