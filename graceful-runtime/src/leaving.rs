//! The end of the runtimes. What nothing tracks ends with them: tasks are dropped, and what runs on their threads is waited for, or left
//! running and told.

use std::{thread, time::Duration};

use tokio::{
    runtime::{Runtime, RuntimeFlavor},
    time::Instant,
};
use tracing::Level;

use crate::{driver::Mode, program::Program, report::FinalizerEnd};

/// Ends both runtimes, that of the finalizers first, as it began last. Returns whether something is left running, as far as that is seen.
pub(crate) fn end(program: &Program, runtime: Runtime) -> bool {
    let patience = Patience::of(program);
    let of_finalizers = program.lane.close().is_some_and(|lane| patience.end(lane));
    tell_of_untracked(program, &runtime);
    let is_left_running = patience.end(runtime) || of_finalizers;
    if !is_left_running {
        program.waits(None);
    }
    is_left_running
}

/// When the driver says the last words in place of the main thread, which has waited since then for what nothing tracks, or does not yet.
pub(crate) fn ends_at(program: &Program, since: Option<Instant>) -> Instant {
    let end = program.stop().map_or_else(Instant::now, |stop| stop.budget.report);
    match since {
        // A stop signal ends the wait, and leaves it what it would have had if the signal had come first.
        Some(since) if !program.ended_by_itself() => end.min(since + MOMENT),
        _ => end,
    }
}

/// How long the end of a runtime is waited for.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    /// Nobody asked for the stop: `main` ended by itself, and the wait is the driver's to end.
    by_itself: bool,
}

impl Patience {
    fn of(program: &Program) -> Self {
        let now = Instant::now();
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        // What was left behind already is not waited for again.
        if program.tasks.count() > 0 {
            return Self { until: now, by_itself: false };
        }
        let hooks = program.hooks.reports();
        let is_complete = hooks.iter().all(|hook| hook.end != FinalizerEnd::LeftBehind);
        if program.mode == Mode::Real && is_complete && program.ended_by_itself() {
            program.waits(Some(now));
            return Self { until: end, by_itself: true };
        }
        let moment = MOMENT.min(end.saturating_duration_since(now) / 2);
        Self { until: now + moment, by_itself: false }
    }

    /// Ends a runtime. Returns whether something on its threads is left running, where there was time to see that.
    fn end(self, runtime: Runtime) -> bool {
        let Self { until, by_itself } = self;
        if by_itself && runtime.handle().runtime_flavor() == RuntimeFlavor::CurrentThread {
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
    if !program.narrator.is_heard(Level::INFO) {
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
        program.narrator.say(Level::INFO, move || {
            tracing::info!(target: "graceful", tasks, "aborting tasks of tokio::spawn, which nothing waits for");
        });
    }
}

/// How long what nothing tracks is waited for where somebody asked for the stop: such as a read from standard input it may never end.
const MOMENT: Duration = Duration::from_millis(100);
