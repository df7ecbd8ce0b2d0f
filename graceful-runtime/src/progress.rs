//! What is told of a stop while it goes on. Everything is gathered here and said by the narrator.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use crate::{
    lifecycle::Phase,
    narrator,
    program::Program,
    report::{Seconds, Straggler},
    settings::Settings,
    shown,
    signal::Signal,
};

/// The program has entered a phase.
pub(crate) fn entered(program: &Program, phase: Phase) {
    let cause = program.stop().map(|stop| stop.cause.to_string()).unwrap_or_default();
    let left = program.tasks.in_flight(program.tasks.root());
    let remaining = remaining(program, phase);
    program.narrator.say(Level::INFO, move || match phase {
        Phase::Init | Phase::Running => {}
        Phase::LameDuck => tracing::info!(target: "graceful", ?phase, %cause, "lame duck: not ready, still serving"),
        Phase::Draining => {
            tracing::info!(target: "graceful", ?phase, %cause, left, remaining = %Seconds(remaining), "draining");
        }
        Phase::Finalizing => {
            tracing::info!(target: "graceful", ?phase, left, remaining = %Seconds(remaining), "finalizing");
        }
    });
}

/// `main` begins. Said by the main thread itself, with the times that the platform's grace period has to cover.
pub(crate) fn running(program: &Program) {
    let Settings { timeout, lame_duck, restart, .. } = &program.settings;
    let finalize_timeout = program.settings.finalize_timeout();
    let phase = Phase::Running;
    let (timeout, lame_duck, restart) = (*timeout, *lame_duck, *restart);
    program.narrator.say(Level::INFO, move || {
        tracing::info!(target: "graceful", ?phase, ?timeout, ?finalize_timeout, ?lame_duck, ?restart, "running");
    });
}

/// The reload hook has run.
pub(crate) fn reloaded(program: &Program, error: Option<&str>) {
    let error = error.map(|error| shown::message(error).to_string());
    program.narrator.say(level_of(&error), move || match error {
        None => tracing::info!(target: "graceful", "reloaded"),
        Some(error) => tracing::error!(target: "graceful", %error, "reload failed; the program goes on as it was"),
    });
}

/// A signal came.
pub(crate) fn signal(program: &Program, signal: Signal, sender: Option<u32>) {
    let phase = program.phase();
    program.narrator.say(Level::INFO, move || match sender {
        Some(sender) => {
            tracing::info!(target: "graceful", %signal, sender, ?phase, "signal received")
        }
        None => tracing::info!(target: "graceful", %signal, ?phase, "signal received"),
    });
}

/// The drain was ended before it was empty.
pub(crate) fn forced(program: &Program) {
    let left = program.tasks.count();
    let named = program.tasks.running(LISTED);
    program.narrator.say(Level::WARN, move || {
        tracing::warn!(target: "graceful", left, "forced: what is left is aborted");
        for straggler in named {
            tracing::warn!(target: "graceful", %straggler, "in flight at the force");
        }
    });
}

/// A finalizer has ended.
pub(crate) fn finalized(program: &Program, name: &str, time: Duration, error: Option<&str>) {
    let name = name.to_owned();
    let error = error.map(|error| shown::message(error).to_string());
    program.narrator.say(level_of(&error), move || match error {
        None => tracing::info!(target: "graceful", finalizer = %name, time = %Seconds(time), "finalizer ended"),
        Some(error) => {
            tracing::error!(target: "graceful", finalizer = %name, time = %Seconds(time), %error, "finalizer failed");
        }
    });
}

/// Another second has passed.
pub(crate) fn tick(program: &Program) {
    let phase = program.phase();
    let (text, remaining) = (what_is_left(program), remaining(program, phase));
    program.narrator.say(Level::INFO, move || {
        tracing::info!(target: "graceful", ?phase, remaining = %Seconds(remaining), "waiting for {text}");
    });
    status_line(program);
}

/// Shows a person what is left.
pub(crate) fn status_line(program: &Program) {
    if !program.settings.progress || !narrator::has_terminal() {
        return;
    }
    let (text, remaining) = (what_is_left(program), Seconds(remaining(program, program.phase())));
    let line = match program.phase() {
        Phase::Init => format!("stopping after init, {remaining} left: {text}"),
        Phase::Finalizing if program.waits().is_some() => {
            format!("leaving, {remaining} left: {text} (Ctrl+C ends the wait)")
        }
        Phase::Finalizing => format!("finalizing, {remaining} left: {text}"),
        Phase::LameDuck => format!("lame duck, {remaining} left, still serving"),
        _ => format!("draining, {remaining} left: {text} (Ctrl+C again aborts)"),
    };
    program.narrator.show(line);
}

fn what_is_left(program: &Program) -> String {
    if let Some(hook) = program.hooks.current() {
        return format!("finalizer {} ({})", hook.name, Seconds(hook.since.elapsed()));
    }
    if program.waits().is_some() {
        return "closures on the blocking pool that nothing tracks".to_owned();
    }
    if program.phase() == Phase::LameDuck {
        return "the end of the lame duck".to_owned();
    }
    // `main` ends after what it waits for itself: it is the least telling.
    let mut oldest = program.tasks.running(NAMED + 1);
    oldest.sort_by_key(|work| work.kind.is_main());
    let named: Vec<_> = oldest.iter().take(NAMED).map(short).collect();
    match program.tasks.count().saturating_sub(NAMED) {
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

/// Of an end, with the error that it came with.
fn level_of(error: &Option<String>) -> Level {
    if error.is_some() { Level::ERROR } else { Level::INFO }
}

/// What is left of the phase's share of the budget.
fn remaining(program: &Program, phase: Phase) -> Duration {
    let Some(stop) = program.stop() else { return Duration::ZERO };
    let end = match phase {
        Phase::LameDuck => program.entered_at() + program.settings.lame_duck,
        Phase::Finalizing => stop.budget.report,
        _ => stop.budget.force,
    };
    end.saturating_duration_since(Instant::now())
}

/// How many pieces of work a line names: what fits on one.
const NAMED: usize = 3;

/// How many lines a force may add to the log; all are in the report.
const LISTED: usize = 100;
