//! The end of the runtimes. What nothing tracks ends with them: tasks are dropped, and what runs on their threads is waited for, or left
//! running and told.

use std::{thread, time::Duration};

use tokio::{
    runtime::{Runtime, RuntimeFlavor},
    time::Instant,
};
use tracing::Level;

use crate::{driver::Mode, force::patience, program::Program, report::FinalizerEnd};

/// The main thread waits for what nothing tracks, because `main` ended by itself. The driver ends that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) since: Instant,
    until: Instant,
}

impl Wait {
    /// A stop signal ends the wait, and leaves it what it would have had if the signal had come first.
    pub(crate) fn ends_at(self, program: &Program) -> Instant {
        if program.ended_by_itself() { self.until } else { self.until.min(self.since + MOMENT) }
    }
}

/// Ends both runtimes, that of the finalizers first, as it began last. Returns whether something is left running, as far as that is seen.
pub(crate) fn end(program: &Program, runtime: Runtime) -> bool {
    let patience = Patience::of(program);
    let of_finalizers = program.lane.close().is_some_and(|lane| patience.end(lane));
    tell_of_untracked(program, &runtime);
    let is_left_running = patience.end(runtime) || of_finalizers;
    if !is_left_running {
        program.wait_for_untracked(None);
    }
    is_left_running
}

/// How long the end of a runtime is waited for.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    /// It is a [`Wait`].
    is_open: bool,
}

impl Patience {
    fn of(program: &Program) -> Self {
        let now = Instant::now();
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        // What was left behind already is not waited for again.
        if program.tasks.count() > 0 {
            return Self { until: now, is_open: false };
        }
        let hooks = program.hooks.reports();
        let is_complete = hooks.iter().all(|hook| hook.end != FinalizerEnd::LeftBehind);
        if program.mode == Mode::Real && is_complete && program.ended_by_itself() {
            // Where all threads are busy, the last words take their time.
            let until = end - patience(now, end);
            program.wait_for_untracked(Some(Wait { since: now, until }));
            return Self { until, is_open: true };
        }
        let moment = MOMENT.min(end.saturating_duration_since(now) / 2);
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
