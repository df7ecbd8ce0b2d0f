//! The entries of a report: signals, phases, panics, errors and finalizers.

use std::time::Duration;

use crate::model::{lifecycle::Phase, signal::Signal};

/// A signal that the program received.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReceivedSignal {
    /// The signal.
    pub signal: Signal,
    /// The id of the process that sent the signal. `None` if no process sent it, as for Ctrl+C at a terminal, or if the system does not name the sender.
    pub sender: Option<u32>,
    /// The time from the start of the program to the arrival of the signal.
    pub after: Duration,
    /// The phase of the program when it handled the signal.
    pub phase: Phase,
}

/// A phase that the program went through.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PhaseReport {
    /// The phase.
    pub phase: Phase,
    /// How long the phase lasted.
    pub duration: Duration,
}

/// A panic of `init`, `main`, a task or the reload hook; or, with the name `state`, of the drop of the state that `init` returned.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PanicReport {
    /// The name of the code that panicked, escaped and truncated as described at [`Report`](crate::Report).
    pub name: String,
    /// The message of the panic, with its line breaks. Escaped and truncated as described at [`Report`](crate::Report).
    pub message: String,
}

/// An error that `init`, `main`, a [`task`](crate::Shutdown::task) or the reload hook returned.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ErrorReport {
    /// The name of the code that failed, escaped and truncated as described at [`Report`](crate::Report).
    pub name: String,
    /// The error as `{:?}` shows it, with its line breaks. Escaped and truncated as described at [`Report`](crate::Report).
    pub error: String,
    /// Whether the error makes the exit status 1. The errors of ordinary tasks and of the reload hook do not.
    pub counts: bool,
}

/// A finalizer and its result.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FinalizerReport {
    /// The name of the finalizer.
    pub name: String,
    /// How long the finalizer ran.
    pub duration: Duration,
    /// The error, the panic message, or the reason why the finalizer was left behind, with its line breaks; `None` if it succeeded. Escaped and
    /// truncated as described at [`Report`](crate::Report).
    pub error: Option<String>,
    /// How the finalizer ended.
    pub end: FinalizerEnd,
}

/// How a finalizer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum FinalizerEnd {
    /// The finalizer returned `()` or `Ok`.
    Ended,
    /// The finalizer returned an error.
    Failed,
    /// The time of the finalizer elapsed, or no thread was free to run it.
    LeftBehind,
    /// The finalizer panicked.
    Panicked,
}
