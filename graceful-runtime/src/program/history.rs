//! The record of one program: its phases, signals, errors and panics, and the verdict that they add up to.

use tokio::time::Instant;

use crate::model::{
    lifecycle::Phase,
    report::{
        Cause, ErrorReport, FinalizerEnd, FinalizerReport, PanicReport, PhaseReport,
        ReceivedSignal, Report, Straggler, Verdict,
    },
    signal::{Role, Signal},
};

/// See the [module](self). Plain data; the program keeps it under its lock.
#[derive(Debug)]
pub(crate) struct History {
    /// Each phase with the time at which the program entered it. Starts with `Init`.
    phases: Vec<(Phase, Instant)>,
    began: Instant,
    signals: Vec<ReceivedSignal>,
    errors: Vec<ErrorReport>,
    panics: Vec<PanicReport>,
    pub(crate) verdict: Verdict,
    /// The exit report was written, so its exit status is final.
    pub(crate) is_reported: bool,
}

/// The parts of the report that other types of the program keep.
pub(crate) struct Ends {
    pub(crate) finalizers: Vec<FinalizerReport>,
    pub(crate) stragglers: Vec<Straggler>,
    pub(crate) drained: u64,
    /// A force aborted tracked work, and that counts for the exit status.
    pub(crate) is_forced: bool,
}

impl History {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            phases: vec![(Phase::Init, began)],
            began,
            signals: Vec::new(),
            errors: Vec::new(),
            panics: Vec::new(),
            verdict: Verdict::default(),
            is_reported: false,
        }
    }

    pub(crate) fn entered(&mut self, phase: Phase, at: Instant) {
        self.phases.push((phase, at));
    }

    /// When the program entered its current phase.
    pub(crate) fn entered_at(&self) -> Instant {
        self.phases.last().map_or(self.began, |&(_, at)| at)
    }

    /// When `init` ended, if it has.
    pub(crate) fn init_ended_at(&self) -> Option<Instant> {
        self.phases.get(1).map(|&(_, at)| at)
    }

    /// Records a signal. The first stop signal decides the exit status of a forced stop.
    pub(crate) fn received(
        &mut self,
        signal: Signal,
        sender: Option<u32>,
        role: Role,
        phase: Phase,
        at: Instant,
    ) {
        if self.signals.len() < REMEMBERED {
            let after = at.saturating_duration_since(self.began);
            self.signals.push(ReceivedSignal { signal, sender, after, phase });
        }
        if matches!(role, Role::Stop | Role::Force) {
            self.verdict.signal.get_or_insert(signal);
        }
    }

    pub(crate) fn failed(&mut self, name: &str, error: String, counts: bool) {
        self.verdict.failed |= counts;
        if counts || self.errors.len() < REMEMBERED {
            self.errors.push(ErrorReport { name: name.to_owned(), error, counts });
        }
    }

    pub(crate) fn panicked(&mut self, name: &str, message: String, counts: bool) {
        self.verdict.panicked |= counts;
        if counts || self.panics.len() < REMEMBERED {
            self.panics.push(PanicReport { name: name.to_owned(), message });
        }
    }

    /// The texts of the errors that make the exit status 1.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().filter(|error| error.counts).map(|error| error.error.as_str())
    }

    /// The report as of `now`.
    pub(crate) fn report(&self, cause: Cause, ends: Ends, now: Instant) -> Report {
        let Ends { finalizers, stragglers, drained, is_forced } = ends;
        let ended = |end| finalizers.iter().any(|finalizer| finalizer.end == end);
        let verdict = Verdict {
            panicked: self.verdict.panicked || ended(FinalizerEnd::Panicked),
            failed: self.verdict.failed || ended(FinalizerEnd::Failed),
            forced: self.verdict.forced || is_forced || ended(FinalizerEnd::LeftBehind),
            ..self.verdict
        };
        Report {
            cause,
            signals: self.signals.clone(),
            phases: self.phases(now),
            drained,
            stragglers,
            panics: self.panics.clone(),
            errors: self.errors.clone(),
            finalizers,
            exit_status: verdict.status(),
        }
    }

    /// Each phase with its duration. A phase ends when the next one begins; the last one lasts until `now`.
    fn phases(&self, now: Instant) -> Vec<PhaseReport> {
        let ends = self.phases.iter().skip(1).map(|&(_, at)| at).chain([now]);
        let phases = self.phases.iter().zip(ends).map(|(&(phase, from), to)| PhaseReport {
            phase,
            duration: to.saturating_duration_since(from),
        });
        phases.collect()
    }
}

/// How many signals, errors and panics the history keeps: a program that runs for years must not grow. Errors and panics that
/// decide the exit status are always kept.
const REMEMBERED: usize = 1000;
