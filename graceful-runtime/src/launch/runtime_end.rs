//! The end of the runtimes, and of the untracked work on them.
//!
//! Untracked tasks are dropped. Untracked closures on the blocking pool, and tasks that hold their thread, are waited for; those
//! that do not end in time are left running, and the exit report warns about them.

use std::{thread, time::Duration};

use tokio::{
    runtime::{Runtime, RuntimeFlavor},
    time::Instant,
};
use tracing::Level;

use crate::{
    driver::finalizer_runtime::FinalizerRuntime,
    model::{
        report::FinalizerEnd,
        settings::{ClockMode, patience},
    },
    program::{
        state::Program,
        untracked_wait::{REQUESTED_WAIT, UntrackedWait},
    },
};

/// Ends both runtimes, the finalizers' first, because it started last. Returns whether work was seen to be left running.
pub(crate) fn end(program: &Program, finalizers: &FinalizerRuntime, runtime: Runtime) -> bool {
    let patience = Patience::of(program);
    let finalizers_left = finalizers.close().is_some_and(|runtime| patience.end(runtime));
    log_untracked_tasks(program, &runtime);
    let is_left_running = patience.end(runtime) || finalizers_left;
    if !is_left_running {
        program.set_untracked_wait(None);
    }
    is_left_running
}

/// How long to wait for the end of a runtime.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    /// `main` ended by itself, so this is an [`UntrackedWait`], which a stop signal shortens.
    is_untracked_wait: bool,
}

impl Patience {
    fn of(program: &Program) -> Self {
        let now = Instant::now();
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        // The force has waited for the work that is still in flight. It is not waited for again.
        if program.tracker.count() > 0 {
            return Self { until: now, is_untracked_wait: false };
        }
        let reports = program.finalizers.reports();
        let is_complete = reports.iter().all(|finalizer| finalizer.end != FinalizerEnd::LeftBehind);
        if program.mode == ClockMode::Real && is_complete && program.ended_by_itself() {
            // The exit report takes longer while all threads are busy, so this wait ends a little before it is due.
            let until = end - patience(now, end);
            program.set_untracked_wait(Some(UntrackedWait { since: now, until }));
            return Self { until, is_untracked_wait: true };
        }
        let wait = REQUESTED_WAIT.min(end.saturating_duration_since(now) / 2);
        Self { until: now + wait, is_untracked_wait: false }
    }

    /// Ends a runtime. Returns whether work on its threads is left running, or false if there was no time to find out.
    fn end(self, runtime: Runtime) -> bool {
        let Self { until, is_untracked_wait } = self;
        if is_untracked_wait && runtime.handle().runtime_flavor() == RuntimeFlavor::CurrentThread {
            // `shutdown_timeout` would drop the tasks only after the wait, and closures on the pool may wait for these tasks.
            drop(runtime);
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        runtime.shutdown_timeout(left);
        !left.is_zero() && Instant::now() >= until
    }
}

/// Logs how many untracked tasks end with the runtime.
fn log_untracked_tasks(program: &Program, runtime: &Runtime) {
    if !program.log_thread.is_enabled(Level::INFO) {
        return;
    }
    let tasks = runtime.metrics();
    // The tracker sees the end of a task a moment before Tokio's metrics do.
    let deadline = Instant::now() + Duration::from_millis(1);
    while tasks.num_alive_tasks() > 0 && Instant::now() < deadline {
        thread::yield_now();
    }
    let tasks = tasks.num_alive_tasks();
    if tasks > 0 {
        program.log_thread.event(Level::INFO, move || {
            tracing::info!(target: "graceful", tasks, "aborting tasks of tokio::spawn, which nothing waits for");
        });
    }
}
