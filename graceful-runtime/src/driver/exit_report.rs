//! The end: the files of sockets are removed, and the last words said: errors to standard error, the report to the log, and what the
//! program registered to run last.

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

/// Does it, once; returns the exit status, or `None` where another thread is at it.
///
/// What runs last may block, so this is called where that is allowed.
pub(crate) fn run(program: &Program, is_left_running: bool) -> Option<u8> {
    let hooks = program.take_at_exit()?;
    remove_socket_files(program);
    let report = program.report();
    program.leaves_with(report.exit_status);

    if is_left_running {
        program.log_thread.write(say_what_is_left_running);
    }
    say(program, &report);
    program.log_thread.finish(time_for_the_log(program));
    for hook in hooks.into_iter().rev() {
        // Its message was printed by the panic hook; the others must still flush.
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

/// Does it in place of the main thread, and leaves, unless that thread is at it.
pub(crate) fn run_late(program: &Program) {
    if let Some(status) = run(program, program.waits().is_some()) {
        sys::exit_now(status);
    }
}

/// A subscriber that is stuck must not keep `at_exit` from running, nor the program for long: half of what is left, at most a second.
fn time_for_the_log(program: &Program) -> Duration {
    let left =
        program.stop().map(|stop| stop.budget.last_exit.saturating_duration_since(Instant::now()));
    (left.unwrap_or_default() / 2).min(Duration::from_secs(1))
}

/// It may have been about to write something, so whoever has no log hears of it too.
fn say_what_is_left_running() {
    const LEFT: &str = "left running: closures on the blocking pool, or tasks that hold their thread, which nothing tracks";
    tracing::warn!(target: "graceful", "{LEFT}");
    if !tracing::dispatcher::has_been_set() {
        drop(writeln!(io::stderr(), "graceful: {LEFT}"));
    }
}

fn say(program: &Program, report: &Report) {
    let status = report.exit_status;
    // Stragglers that leave the status at 0 are of scopes that the program itself has forced.
    let is_clean = status == 0 && report.panics.is_empty() && report.errors.is_empty();
    if !is_clean {
        let (failures, said) = (program.failures(), report.clone());
        program.log_thread.write(move || print(&failures, &said));
    }
    let said = report.clone();
    if status == 0 {
        program.log_thread.event(Level::INFO, move || {
            tracing::info!(target: "graceful", exit_status = status, "{said}");
        });
    } else {
        program.log_thread.event(Level::WARN, move || {
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
