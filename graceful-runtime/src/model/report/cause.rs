//! Why a program stopped.

use std::fmt;

use crate::model::{sanitize, signal::Signal};

/// Why the program stopped.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Cause {
    /// The [essential](crate::Task::essential) task with this name ended, failed or panicked.
    EssentialEnded(String),
    /// `init` failed, panicked or exceeded its `init_timeout`.
    InitFailed,
    /// `main` returned or panicked.
    MainReturned,
    /// The program requested the stop, with this reason.
    Requested(String),
    /// This signal arrived.
    Signal(Signal),
}

impl Cause {
    /// Escapes the reason.
    pub(crate) fn shown(self) -> Self {
        match self {
            Self::Requested(reason) => Self::Requested(sanitize::message(reason).to_string()),
            other => other,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EssentialEnded(name) => write!(f, "the essential task {name} ended"),
            Self::InitFailed => f.write_str("init failed"),
            Self::MainReturned => f.write_str("main returned"),
            Self::Requested(reason) => f.write_str(reason),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
