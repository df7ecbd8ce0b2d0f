//! The last words: errors to standard error, the report to the log, and what the program registered to run last.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::time::Instant;
use tracing::Level;

use crate::{program::Program, report::Report, work::quietly};

/// Says them, once; returns the exit status, or `None` where another thread is at it.
pub(crate) fn run(program: &Program) -> Option<u8> {
    let hooks = program.take_at_exit()?;
    let report = program.report();
    program.leaves_with(report.exit_status);

    say(program, &report);
    program.narrator.finish(time_for_the_log(program));
    for hook in hooks.into_iter().rev() {
        // Its message was printed by the panic hook; the others must still flush.
        quietly(|| hook(&report));
    }
    Some(report.exit_status)
}

/// A subscriber that is stuck must not keep `at_exit` from running, nor the program for long: half of what is left, at most a second.
fn time_for_the_log(program: &Program) -> Duration {
    let left =
        program.stop().map(|stop| stop.budget.last_exit.saturating_duration_since(Instant::now()));
    (left.unwrap_or_default() / 2).min(Duration::from_secs(1))
}

fn say(program: &Program, report: &Report) {
    let status = report.exit_status;
    let is_clean = status == 0
        && report.stragglers.is_empty()
        && report.panics.is_empty()
        && report.errors.is_empty();
    if !is_clean {
        let (failures, said) = (program.failures(), report.clone());
        program.narrator.tell(move || print(&failures, &said));
    }
    let said = report.clone();
    if status == 0 && report.stragglers.is_empty() {
        program.narrator.say(Level::INFO, move || {
            tracing::info!(target: "graceful", exit_status = status, "{said}");
        });
    } else {
        program.narrator.say(Level::WARN, move || {
            tracing::warn!(target: "graceful", exit_status = status, "{said}");
        });
    }
}

/// Errors as std prints the one that `main` returned; where nobody listens to the log, what went wrong must be said all the same.
fn print(failures: &[String], report: &Report) {
    for error in failures {
        // The terminal may be gone; nobody is left to be told.
        drop(writeln!(io::stderr(), "Error: {error}"));
    }
    if !tracing::dispatcher::has_been_set() {
        drop(writeln!(io::stderr(), "graceful: {report}"));
    }
}
