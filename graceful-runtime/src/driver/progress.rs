//! What is told of a stop while it goes on. Everything is gathered here and said by the narrator.

use tracing::Level;

use crate::{
    model::{
        lifecycle::Phase,
        report::{Seconds, Straggler},
    },
    program::{log_thread, state::Program},
};

/// The drain was ended before it was empty.
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

/// Another second has passed.
pub(crate) fn tick(program: &Program) {
    let phase = program.phase();
    let (text, remaining) = (what_is_left(program), program.remaining(phase));
    program.log_thread.event(Level::INFO, move || {
        tracing::info!(target: "graceful", ?phase, remaining = %Seconds(remaining), "waiting for {text}");
    });
    status_line(program);
}

/// Shows a person what is left.
pub(crate) fn status_line(program: &Program) {
    if !program.settings.progress || !log_thread::has_terminal() {
        return;
    }
    let (text, remaining) = (what_is_left(program), Seconds(program.remaining(program.phase())));
    let line = match program.phase() {
        Phase::Init => format!("stopping after init, {remaining} left: {text}"),
        Phase::Finalizing if program.waits().is_some() => {
            format!("leaving, {remaining} left: {text} (Ctrl+C ends the wait)")
        }
        Phase::Finalizing => format!("finalizing, {remaining} left: {text}"),
        Phase::LameDuck => format!("lame duck, {remaining} left, still serving"),
        _ => format!("draining, {remaining} left: {text} (Ctrl+C again aborts)"),
    };
    program.log_thread.show(line);
}

fn what_is_left(program: &Program) -> String {
    if let Some(hook) = program.finalizers.current() {
        return format!("finalizer {} ({})", hook.name, Seconds(hook.since.elapsed()));
    }
    if program.waits().is_some() {
        return "closures on the blocking pool that nothing tracks".to_owned();
    }
    if program.phase() == Phase::LameDuck {
        return "the end of the lame duck".to_owned();
    }
    // `main` ends after what it waits for itself: it is the least telling.
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

/// How many pieces of work a line names: what fits on one.
const NAMED: usize = 3;

/// How many lines a force may add to the log; all are in the report.
const LISTED: usize = 100;
