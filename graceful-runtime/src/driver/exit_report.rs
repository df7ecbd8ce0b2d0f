//! The end of the process: remove socket files, print errors, log the report, and run the `at_exit` closures.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::time::Instant;
use tracing::Level;

use crate::{
    model::{panics::quietly, report::Report},
    os::sys,
    program::state::Program,
};

/// Writes the exit report and returns the exit status, or `None` if another thread has begun to do so.
///
/// The `at_exit` closures may block, so the caller must be where blocking is allowed.
pub(crate) fn run(program: &Program, is_left_running: bool) -> Option<u8> {
    let hooks = program.at_exit.take()?;
    remove_socket_files(program);
    let report = program.report();
    program.leaves_with(report.exit_status);

    if is_left_running {
        program.log_thread.write(warn_of_left_running);
    }
    write_report(program, &report);
    program.log_thread.finish(time_for_the_log(program));
    for hook in hooks.into_iter().rev() {
        // The panic hook has printed the message of a closure that panics; the other closures must still run.
        quietly(|| hook(&report));
    }
    Some(report.exit_status)
}

fn remove_socket_files(program: &Program) {
    for (path, error) in program.socket_files.remove() {
        program.log_thread.event(Level::WARN, move || {
            tracing::warn!(target: "graceful", path = %path.display(), %error, "cannot remove the file of a socket");
        });
    }
}

/// Writes the exit report in place of the main thread and exits the process. Does nothing if another thread writes the report.
pub(crate) fn run_late(program: &Program) {
    if let Some(status) = run(program, program.untracked_wait().is_some()) {
        sys::exit_now(status);
    }
}

/// How long to wait for the log: half of the time that is left, at most a second. A subscriber that blocks must neither keep the
/// `at_exit` closures from running nor hold up the exit for long.
fn time_for_the_log(program: &Program) -> Duration {
    let left =
        program.stop().map(|stop| stop.budget.last_exit.saturating_duration_since(Instant::now()));
    (left.unwrap_or_default() / 2).min(Duration::from_secs(1))
}

/// Untracked work may have been about to write something, so the warning goes to standard error if there is no log.
fn warn_of_left_running() {
    const LEFT: &str = "left running: closures on the blocking pool, or tasks that hold their thread, which nothing tracks";
    tracing::warn!(target: "graceful", "{LEFT}");
    if !tracing::dispatcher::has_been_set() {
        drop(writeln!(io::stderr(), "graceful: {LEFT}"));
    }
}

fn write_report(program: &Program, report: &Report) {
    let status = report.exit_status;
    // With status 0, all stragglers are from scopes that the program forced itself before the stop. They are no reason to print.
    let is_clean = status == 0 && report.panics.is_empty() && report.errors.is_empty();
    if !is_clean {
        let (failures, report) = (program.failures(), report.clone());
        program.log_thread.write(move || print(&failures, &report));
    }
    let report = report.clone();
    if status == 0 {
        program.log_thread.event(Level::INFO, move || {
            tracing::info!(target: "graceful", exit_status = status, "{report}");
        });
    } else {
        program.log_thread.event(Level::WARN, move || {
            tracing::warn!(target: "graceful", exit_status = status, "{report}");
        });
    }
}

/// Prints each error as std prints the error that `main` returned, and the whole report if there is no log.
fn print(failures: &[String], report: &Report) {
    for error in failures {
        // Standard error may be closed, and there is no other place to report that.
        drop(writeln!(io::stderr(), "Error: {error}"));
    }
    if !tracing::dispatcher::has_been_set() {
        drop(writeln!(io::stderr(), "graceful: {report}"));
    }
}
