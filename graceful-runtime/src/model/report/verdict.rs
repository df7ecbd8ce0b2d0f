//! The rules for the exit status.

use std::process::ExitCode;

use crate::model::{outcome, signal::Signal};

/// The facts that decide the exit status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) panicked: bool,
    pub(crate) failed: bool,
    pub(crate) forced: bool,
    /// The first signal that requested the stop.
    pub(crate) signal: Option<Signal>,
    /// The exit code that `main` returned.
    pub(crate) code: Option<ExitCode>,
}

impl Verdict {
    /// 101 for a panic and 1 for an error, as `main` without this library exits; 128 + number for a force, as a shell reports a program that a signal
    /// ended. A panic or an error tells the operator more than a force does, so it takes precedence, and all three take precedence over a code.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self { panicked: true, .. } => 101,
            Self { failed: true, .. } => 1,
            Self { forced: true, signal, .. } => signal.map_or(1, Signal::status),
            Self { code, .. } => code.map_or(0, outcome::status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_wins_over_an_error_over_a_force_over_a_code() {
        let mut verdict = Verdict { code: Some(ExitCode::from(7)), ..Verdict::default() };
        assert_eq!(verdict.status(), 7);
        verdict.forced = true;
        assert_eq!(verdict.status(), 1, "forced without a signal");
        verdict.signal = Some(Signal::TERM);
        assert_eq!(verdict.status(), 143);
        verdict.failed = true;
        assert_eq!(verdict.status(), 1);
        verdict.panicked = true;
        assert_eq!(verdict.status(), 101);
    }

    #[test]
    fn a_program_that_only_stopped_exits_with_0() {
        assert_eq!(Verdict { signal: Some(Signal::TERM), ..Verdict::default() }.status(), 0);
    }
}
