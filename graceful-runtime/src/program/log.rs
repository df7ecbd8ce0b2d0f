//! The log events of a program's life.

use std::time::Duration;

use tracing::Level;

use crate::{
    model::{lifecycle::Phase, report::Seconds, sanitize, settings::Settings, signal::Signal},
    program::log_thread::LogThread,
};

/// The program has entered `phase`, with `left` pieces of work in flight and `remaining` time for them.
pub(crate) fn entered(
    log_thread: &LogThread,
    phase: Phase,
    cause: String,
    left: usize,
    remaining: Duration,
) {
    log_thread.event(Level::INFO, move || match phase {
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

/// `main` begins. The event carries the times that the platform's grace period must cover.
pub(crate) fn running(log_thread: &LogThread, settings: &Settings) {
    let Settings { timeout, lame_duck, restart, .. } = settings;
    let finalize_timeout = settings.finalize_timeout();
    let phase = Phase::Running;
    let (timeout, lame_duck, restart) = (*timeout, *lame_duck, *restart);
    log_thread.event(Level::INFO, move || {
        tracing::info!(target: "graceful", ?phase, ?timeout, ?finalize_timeout, ?lame_duck, ?restart, "running");
    });
}

/// The reload closure has ended.
pub(crate) fn reloaded(log_thread: &LogThread, error: Option<&str>) {
    let error = error.map(|error| sanitize::message(error).to_string());
    log_thread.event(level_of(&error), move || match error {
        None => tracing::info!(target: "graceful", "reloaded"),
        Some(error) => tracing::error!(target: "graceful", %error, "reload failed; the program goes on as it was"),
    });
}

/// A signal was received in `phase`.
pub(crate) fn signal(log_thread: &LogThread, signal: Signal, sender: Option<u32>, phase: Phase) {
    log_thread.event(Level::INFO, move || match sender {
        Some(sender) => {
            tracing::info!(target: "graceful", %signal, sender, ?phase, "signal received")
        }
        None => tracing::info!(target: "graceful", %signal, ?phase, "signal received"),
    });
}

/// A finalizer has ended.
pub(crate) fn finalized(log_thread: &LogThread, name: &str, time: Duration, error: Option<&str>) {
    let name = name.to_owned();
    let error = error.map(|error| sanitize::message(error).to_string());
    log_thread.event(level_of(&error), move || match error {
        None => tracing::info!(target: "graceful", finalizer = %name, time = %Seconds(time), "finalizer ended"),
        Some(error) => {
            tracing::error!(target: "graceful", finalizer = %name, time = %Seconds(time), %error, "finalizer failed");
        }
    });
}

/// The level for the end of something that may have failed.
fn level_of(error: &Option<String>) -> Level {
    if error.is_some() { Level::ERROR } else { Level::INFO }
}
