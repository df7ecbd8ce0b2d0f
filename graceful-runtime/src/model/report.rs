//! What happened, and the exit status that follows from it.

use std::{fmt, panic::Location, process::ExitCode, time::Duration};

use crate::model::{lifecycle::Phase, sanitize, signal::Signal};

/// Why the program stopped.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Cause {
    /// An [essential](crate::Task::essential) task ended, failed or panicked; its name.
    EssentialEnded(String),
    /// `init` failed, panicked or took longer than its `init_timeout`.
    InitFailed,
    /// `main` returned, or panicked.
    MainReturned,
    /// The program asked for it, with this reason.
    Requested(String),
    /// A signal came.
    Signal(Signal),
}

impl Cause {
    /// The same with the reason as it is shown.
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

/// What kind of work something in flight is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Kind {
    /// A closure on the runtime's pool of blocking threads.
    Blocking,
    /// A [`Flight`](crate::Flight), of the kind that its [`Flights`](crate::Flights) were given: `http`, say.
    Flight(&'static str),
    /// A future that something else polls.
    Future,
    /// A [`Guard`](crate::Guard).
    Guard,
    /// `init`.
    Init,
    /// `main`.
    Main,
    /// The reload hook.
    Reload,
    /// What runs in a [shield](crate::Shutdown::shield).
    Shield,
    /// A task of the runtime.
    Task,
    /// A thread of its own.
    Thread,
}

impl Kind {
    /// Whether this is the life itself, which is not counted among the work in flight.
    pub(crate) fn is_main(self) -> bool {
        matches!(self, Self::Init | Self::Main)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking => "blocking",
            Self::Flight(kind) => kind,
            Self::Future => "future",
            Self::Guard => "guard",
            Self::Init => "init",
            Self::Main => "main",
            Self::Reload => "reload",
            Self::Shield => "shield",
            Self::Task => "task",
            Self::Thread => "thread",
        })
    }
}

/// Tracked work that is in flight, or that a force had to abort or leave behind.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Straggler {
    /// What it was called, otherwise the file and line of its call site. Escaped and cut, as [`Report`] says.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How long it had been in flight.
    pub age: Duration,
    /// Where it was begun.
    #[cfg_attr(feature = "serde", serde(serialize_with = "location"))]
    pub location: &'static Location<'static>,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, age, location } = self;
        match kind.to_string() {
            kind if kind == *name => write!(f, "{name} {} ({location})", Seconds(*age)),
            kind => write!(f, "{kind} {name} {} ({location})", Seconds(*age)),
        }
    }
}

/// A signal that came.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReceivedSignal {
    /// Which.
    pub signal: Signal,
    /// The process that sent it; `None` where the system made it (a terminal's Ctrl+C) or does not tell.
    pub sender: Option<u32>,
    /// How long after the begin of the life it arrived.
    pub after: Duration,
    /// The phase in which it was seen.
    pub phase: Phase,
}

/// A phase that the program was in.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// For how long.
    pub duration: Duration,
}

/// A panic of `init`, `main`, a task, the reload hook, or, with the name `state`, of the drop of what `init` gave.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PanicReport {
    /// Who panicked.
    pub name: String,
    /// What the panic says, with its lines. Escaped and cut, as [`Report`] says.
    pub message: String,
}

/// An error that `init`, `main`, a [`task`](crate::Shutdown::task) or the reload hook ended with.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ErrorReport {
    /// Who failed.
    pub name: String,
    /// The error as `{:?}` shows it, with its lines. Escaped and cut, as [`Report`] says.
    pub error: String,
    /// Whether it makes the exit status 1: that of an ordinary task and of a reload does not.
    pub counts: bool,
}

/// How a finalizer ended.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FinalizerReport {
    /// Its name.
    pub name: String,
    /// How long it ran.
    pub duration: Duration,
    /// What went wrong with it, with its lines. Escaped and cut, as [`Report`] says.
    pub error: Option<String>,
    /// How it ended.
    pub end: FinalizerEnd,
}

/// How a finalizer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum FinalizerEnd {
    /// It returned `()` or `Ok`.
    Ended,
    /// It returned an error.
    Failed,
    /// Its time passed, or nobody was there to run it.
    LeftBehind,
    /// It panicked.
    Panicked,
}

/// What happened, from the first signal to the exit status.
///
/// It is logged as the last event of the program and given to what [`Shutdown::at_exit`](crate::Shutdown::at_exit) registered.
///
/// Its texts may be shown to people as they are, also where a client has chosen them, as it chooses the path of a request. Characters
/// that a terminal or an editor may act upon, or that nobody sees, are escaped, as `\u{9b}`: control characters, separators of lines and
/// paragraphs, controls of bidirectional text, and what has no width. Errors and messages of panics keep their line breaks and
/// tabs. What is long is cut, and ends with `…` then: a name after 256 characters, a reason after 1,024, an error and a message after 16,384.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Why the program stopped.
    pub cause: Cause,
    /// The signals that came, in their order.
    pub signals: Vec<ReceivedSignal>,
    /// The phases, in their order.
    pub phases: Vec<PhaseReport>,
    /// How many pieces of work ended by themselves after the request. Each piece that was in flight at the request, or began after it, is counted here or
    /// listed among the `stragglers`; `main` and `init` are never counted here.
    pub drained: u64,
    /// Tracked work that had to be aborted or left behind, the oldest first. `main` is among them if it had not returned by itself when the force came to it. Of what a scope's own [force](crate::Shutdown::force) aborted before the
    /// stop, the first thousand pieces are listed.
    pub stragglers: Vec<Straggler>,
    /// Panics of what was tracked, and of the state's drop: the first thousand, and those that count for the status.
    pub panics: Vec<PanicReport>,
    /// Errors of what was tracked: the first thousand, and those that count for the status.
    pub errors: Vec<ErrorReport>,
    /// The finalizers, in the order in which they ran.
    pub finalizers: Vec<FinalizerReport>,
    /// What the process leaves with.
    pub exit_status: u8,
}

impl Report {
    /// The same with the errors as they are shown, with their lines.
    pub(crate) fn shown(mut self) -> Self {
        let hooks = self.finalizers.iter_mut().filter_map(|hook| hook.error.as_mut());
        for error in self.errors.iter_mut().map(|error| &mut error.error).chain(hooks) {
            *error = sanitize::lines(&*error).to_string();
        }
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = |phase| {
            self.phases.iter().find(|p| p.phase == phase).map_or(Duration::ZERO, |p| p.duration)
        };
        write!(
            f,
            "stopped: {}; drained {} in {}, finalized in {}, exit status {}",
            self.cause,
            self.drained,
            Seconds(phase(Phase::LameDuck) + phase(Phase::Draining)),
            Seconds(phase(Phase::Finalizing)),
            self.exit_status
        )?;
        self.stragglers
            .iter()
            .take(LISTED)
            .try_for_each(|straggler| write!(f, "; straggler: {straggler}"))?;
        if let Some(more @ 1..) = self.stragglers.len().checked_sub(LISTED) {
            write!(f, "; and {more} stragglers more")?;
        }
        // An error may show its whole backtrace; the report is one line.
        let line =
            |text: &str| sanitize::message(text.lines().next().unwrap_or_default().to_owned());
        self.panics
            .iter()
            .take(LISTED)
            .try_for_each(|p| write!(f, "; {} panicked: {}", p.name, line(&p.message)))?;
        if let Some(more @ 1..) = self.panics.len().checked_sub(LISTED) {
            write!(f, "; and {more} panics more")?;
        }
        self.errors
            .iter()
            .take(LISTED)
            .try_for_each(|e| write!(f, "; {} failed: {}", e.name, line(&e.error)))?;
        if let Some(more @ 1..) = self.errors.len().checked_sub(LISTED) {
            write!(f, "; and {more} errors more")?;
        }
        let failed =
            self.finalizers.iter().filter_map(|hook| Some((&hook.name, hook.error.as_ref()?)));
        failed
            .into_iter()
            .try_for_each(|(name, error)| write!(f, "; finalizer {name}: {}", line(error)))
    }
}

/// What decides the exit status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) panicked: bool,
    pub(crate) failed: bool,
    pub(crate) forced: bool,
    /// The first signal that asked for a stop.
    pub(crate) signal: Option<Signal>,
    /// What `main` returned.
    pub(crate) code: Option<ExitCode>,
}

impl Verdict {
    /// 101 as a panic of `main` gives it without us; 1 as an `Err` from `main` does; 128 + number as a shell reports a
    /// program that a signal ended. A failure says more than a force, and both say more than a code.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self { panicked: true, .. } => 101,
            Self { failed: true, .. } => 1,
            Self { forced: true, signal, .. } => signal.map_or(1, Signal::status),
            Self { code, .. } => code.map_or(0, crate::model::outcome::status),
        }
    }
}

/// A length of time for people: milliseconds below a second, tenths of a second from there.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            d if d < Duration::from_secs(1) => write!(f, "{}ms", d.as_millis()),
            d => write!(f, "{:.1}s", d.as_secs_f64()),
        }
    }
}

/// How many stragglers the report names to people, for whom it is one line.
const LISTED: usize = 10;

#[cfg(feature = "serde")]
fn location<S: serde::Serializer>(
    location: &Location<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(location)
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
    fn a_program_that_only_stopped_leaves_with_0() {
        assert_eq!(Verdict { signal: Some(Signal::TERM), ..Verdict::default() }.status(), 0);
    }
}
