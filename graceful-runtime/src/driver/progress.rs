//! The progress of a stop: log lines and the status line. The texts are made here; the log thread writes them.

use tracing::Level;

use crate::{
    model::{
        lifecycle::Phase,
        report::{Seconds, Straggler},
    },
    program::{log_thread, state::Program},
};

/// A force ends the drain: logs the work that is in flight.
pub(crate) fn forced(program: &Program) {
    let left = program.tracker.count();
    let named = program.tracker.running(LISTED);
    program.log_thread.event(Level::WARN, move || {
        tracing::warn!(target: "graceful", left, "forced: what is left is aborted");
        for straggler in named {
            tracing::warn!(target: "graceful", %straggler, "in flight at the force");
        }
    });
}

/// Logs what the stop waits for. Called each second.
pub(crate) fn tick(program: &Program) {
    let phase = program.phase();
    let (text, remaining) = (awaited(program), program.remaining(phase));
    program.log_thread.event(Level::INFO, move || {
        tracing::info!(target: "graceful", ?phase, remaining = %Seconds(remaining), "waiting for {text}");
    });
    status_line(program);
}

/// Shows on a terminal what the stop waits for.
pub(crate) fn status_line(program: &Program) {
    if !program.settings.progress || !log_thread::has_terminal() {
        return;
    }
    let (text, remaining) = (awaited(program), Seconds(program.remaining(program.phase())));
    let line = match program.phase() {
        Phase::Init => format!("stopping after init, {remaining} left: {text}"),
        Phase::Finalizing if program.untracked_wait().is_some() => {
            format!("leaving, {remaining} left: {text} (Ctrl+C ends the wait)")
        }
        Phase::Finalizing => format!("finalizing, {remaining} left: {text}"),
        Phase::LameDuck => format!("lame duck, {remaining} left, still serving"),
        _ => format!("draining, {remaining} left: {text} (Ctrl+C again aborts)"),
    };
    program.log_thread.show(line);
}

/// Names what the stop waits for.
fn awaited(program: &Program) -> String {
    if let Some(running) = program.finalizers.running() {
        return format!("finalizer {} ({})", running.name, Seconds(running.since.elapsed()));
    }
    if program.untracked_wait().is_some() {
        return "closures on the blocking pool that nothing tracks".to_owned();
    }
    if program.phase() == Phase::LameDuck {
        return "the end of the lame duck".to_owned();
    }
    // `main` comes last: it usually waits for the other work itself, so its name tells the least.
    let mut oldest = program.tracker.running(NAMED + 1);
    oldest.sort_by_key(|work| work.kind.is_main());
    let named: Vec<_> = oldest.iter().take(NAMED).map(short).collect();
    match program.tracker.count().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn short(work: &Straggler) -> String {
    let Straggler { kind, name, age, .. } = work;
    match kind.to_string() {
        kind if kind == *name => format!("{name} ({})", Seconds(*age)),
        kind => format!("{kind} {name} ({})", Seconds(*age)),
    }
}

/// How many pieces of work a progress line names, so that it fits on one line of a terminal.
const NAMED: usize = 3;

/// How many pieces of work a force lists in the log. The report lists all of them.
const LISTED: usize = 100;
