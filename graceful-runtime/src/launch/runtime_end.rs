//! The end of the runtimes. What nothing tracks ends with them: tasks are dropped, and what runs on their threads is waited for, or left
//! running and told.

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

/// Ends both runtimes, that of the finalizers first, as it began last. Returns whether something is left running, as far as that is seen.
pub(crate) fn end(program: &Program, finalizers: &FinalizerRuntime, runtime: Runtime) -> bool {
    let patience = Patience::of(program);
    let of_finalizers = finalizers.close().is_some_and(|lane| patience.end(lane));
    tell_of_untracked(program, &runtime);
    let is_left_running = patience.end(runtime) || of_finalizers;
    if !is_left_running {
        program.set_untracked_wait(None);
    }
    is_left_running
}

/// How long the end of a runtime is waited for.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    /// It is a [`UntrackedWait`].
    is_open: bool,
}

impl Patience {
    fn of(program: &Program) -> Self {
        let now = Instant::now();
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        // What was left behind already is not waited for again.
        if program.tracker.count() > 0 {
            return Self { until: now, is_open: false };
        }
        let hooks = program.finalizers.reports();
        let is_complete = hooks.iter().all(|hook| hook.end != FinalizerEnd::LeftBehind);
        if program.mode == ClockMode::Real && is_complete && program.ended_by_itself() {
            // Where all threads are busy, the last words take their time.
            let until = end - patience(now, end);
            program.set_untracked_wait(Some(UntrackedWait { since: now, until }));
            return Self { until, is_open: true };
        }
        let moment = REQUESTED_WAIT.min(end.saturating_duration_since(now) / 2);
        Self { until: now + moment, is_open: false }
    }

    /// Ends a runtime. Returns whether something on its threads is left running, where there was time to see that.
    fn end(self, runtime: Runtime) -> bool {
        let Self { until, is_open } = self;
        if is_open && runtime.handle().runtime_flavor() == RuntimeFlavor::CurrentThread {
            // With a time-out its tasks would go last, and what waits for them on the pool with it.
            drop(runtime);
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        runtime.shutdown_timeout(left);
        !left.is_zero() && Instant::now() >= until
    }
}

/// Says how many tasks end with the runtime.
fn tell_of_untracked(program: &Program, runtime: &Runtime) {
    if !program.log_thread.is_enabled(Level::INFO) {
        return;
    }
    let tasks = runtime.metrics();
    // A tracked task is done for us a moment before it is for tokio.
    let moment = Instant::now() + Duration::from_millis(1);
    while tasks.num_alive_tasks() > 0 && Instant::now() < moment {
        thread::yield_now();
    }
    let tasks = tasks.num_alive_tasks();
    if tasks > 0 {
        program.log_thread.event(Level::INFO, move || {
            tracing::info!(target: "graceful", tasks, "aborting tasks of tokio::spawn, which nothing waits for");
        });
    }
}
