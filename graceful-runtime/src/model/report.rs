//! The report of a program's life, and the exit status that follows from it.

use std::{fmt, time::Duration};

use crate::model::{lifecycle::Phase, sanitize};

mod cause;
mod entries;
mod seconds;
mod straggler;
mod verdict;

pub use cause::Cause;
pub use entries::{
    ErrorReport, FinalizerEnd, FinalizerReport, PanicReport, PhaseReport, ReceivedSignal,
};
pub(crate) use seconds::Seconds;
pub use straggler::{Kind, Straggler};
pub(crate) use verdict::Verdict;

/// The report of a program's stop: its cause, the phases, the work that did not end by itself, panics, errors, finalizers, and the exit status.
///
/// The library logs the report as the last event of the program, and passes it to the closures of [`Shutdown::at_exit`](crate::Shutdown::at_exit). The
/// `Display` form is one line for people. With the feature `serde` the report can be serialized.
///
/// All texts in a report can be shown safely, even if a client chose them, as it chooses the path of a request:
///
/// * Characters that a terminal or an editor acts upon, and invisible characters, are escaped, for example as `\u{9b}`: control characters, line and
///   paragraph separators, bidirectional controls, and characters without width. Errors and panic messages keep their line breaks and tabs.
/// * Long texts are truncated and end with `…`: names after 256 characters, reasons after 1,024, errors and panic messages after 16,384.
///
/// # Example
///
/// ```
/// use graceful::{Report, Shutdown};
///
/// #[graceful::main]
/// async fn main(shutdown: Shutdown) {
///     shutdown.at_exit(|report: &Report| {
///         println!("{report}");
///         for straggler in &report.stragglers {
///             eprintln!("{} did not end, and was started at {}", straggler.name, straggler.location);
///         }
///         for finalizer in &report.finalizers {
///             if let Some(error) = &finalizer.error {
///                 eprintln!("finalizer {} after {:?}: {error}", finalizer.name, finalizer.duration);
///             }
///         }
///     });
///     shutdown.spawn(async { /* a piece of work */ });
/// }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Why the program stopped.
    pub cause: Cause,
    /// The signals that the program received, in the order of their arrival.
    pub signals: Vec<ReceivedSignal>,
    /// The phases that the program went through, in order.
    pub phases: Vec<PhaseReport>,
    /// How many pieces of work ended by themselves after the request.
    ///
    /// Each piece that was in flight at the request, or began after it, is either counted here or listed in `stragglers`. `main` and `init` are never
    /// counted here.
    pub drained: u64,
    /// Tracked work that was aborted or left behind, the oldest first.
    ///
    /// `main` is listed if it had not returned by itself when the force came. Work that a [force](crate::Shutdown::force) of a single scope aborted
    /// before the stop is listed too, the first thousand pieces of it.
    pub stragglers: Vec<Straggler>,
    /// Panics of tracked work and of the drop of the state: the first thousand, and all that decide the exit status.
    pub panics: Vec<PanicReport>,
    /// Errors of tracked work: the first thousand, and all that decide the exit status.
    pub errors: Vec<ErrorReport>,
    /// The finalizers, in the order in which they ran.
    pub finalizers: Vec<FinalizerReport>,
    /// The exit status of the process.
    pub exit_status: u8,
}

impl Report {
    /// Escapes the errors, which keep their line breaks.
    pub(crate) fn shown(mut self) -> Self {
        let hooks = self.finalizers.iter_mut().filter_map(|hook| hook.error.as_mut());
        for error in self.errors.iter_mut().map(|error| &mut error.error).chain(hooks) {
            *error = sanitize::lines(&*error).to_string();
        }
        self
    }

    fn duration(&self, phase: Phase) -> Duration {
        let found = self.phases.iter().find(|report| report.phase == phase);
        found.map_or(Duration::ZERO, |report| report.duration)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stopped: {}; drained {} in {}, finalized in {}, exit status {}",
            self.cause,
            self.drained,
            Seconds(self.duration(Phase::LameDuck) + self.duration(Phase::Draining)),
            Seconds(self.duration(Phase::Finalizing)),
            self.exit_status
        )?;
        list(f, "stragglers", &self.stragglers, |f, straggler| {
            write!(f, "straggler: {straggler}")
        })?;
        list(f, "panics", &self.panics, |f, PanicReport { name, message }| {
            write!(f, "{name} panicked: {}", first_line(message))
        })?;
        list(f, "errors", &self.errors, |f, ErrorReport { name, error, .. }| {
            write!(f, "{name} failed: {}", first_line(error))
        })?;
        let failed =
            self.finalizers.iter().filter_map(|hook| Some((&hook.name, hook.error.as_ref()?)));
        for (name, error) in failed {
            write!(f, "; finalizer {name}: {}", first_line(error))?;
        }
        Ok(())
    }
}

/// Writes the first few items, and the number of the others.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    items: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for item in items.iter().take(LISTED) {
        f.write_str("; ")?;
        write(f, item)?;
    }
    match items.len().checked_sub(LISTED) {
        Some(more @ 1..) => write!(f, "; and {more} {name} more"),
        _ => Ok(()),
    }
}

/// The report is one line, and an error may contain a whole backtrace.
fn first_line(text: &str) -> sanitize::Shown<String> {
    sanitize::message(text.lines().next().unwrap_or_default().to_owned())
}

/// How many items of each list the one line of the report shows.
const LISTED: usize = 10;
