//! The books of a drain: how much ended by itself, and what did not.
//!
//! # Invariants
//!
//! 1. Each piece of work that was in flight at the request, or was let in after it, is counted in exactly one of the two: what was let in, less what had ended
//!    before the request, less the stragglers, is what ended by itself.
//! 2. A piece of work becomes a straggler, and ends, in one step under the lock of the books; so does the request count what had ended. So the
//!    request finds it on the same side in both.
//! 3. Before the request, only a scope that the program itself has forced makes stragglers. They are listed, the first thousand of them, and count for nothing.

use std::{panic::Location, ptr, time::Duration};

use crate::{model::report::Straggler, sync::coarse_clock, tracking::label::Label};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct DrainTally {
    /// How much had ended at the request; `None` before it.
    before: Option<usize>,
    /// How many of the stragglers are from the drain, `main` and `init` apart, which are not counted.
    fallen: usize,
    /// How many of the stragglers count for the exit status.
    counting: usize,
    /// Spelled out when they are asked for: there may be a million.
    stragglers: Vec<StragglerRecord>,
}

/// One straggler: what it was, when it began, and when it fell.
#[derive(Clone, Debug)]
pub(crate) struct StragglerRecord {
    pub(crate) label: Label,
    since: usize,
    at: usize,
}

impl StragglerRecord {
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.at.saturating_sub(self.since) as u64)
    }
}

impl DrainTally {
    /// The request: so much had ended before it.
    pub(crate) fn begin(&mut self, ended: usize) {
        self.before.get_or_insert(ended);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.before.is_some()
    }

    /// How much has ended by itself since the request, once nothing is in flight that is not a straggler; so much was let in, ever.
    pub(crate) fn drained(&self, entered: usize) -> u64 {
        let drained = |before| entered.wrapping_sub(before).saturating_sub(self.fallen);
        self.before.map_or(0, drained) as u64
    }

    /// Work did not end by itself; `counts` says whether that was the stop's doing.
    pub(crate) fn add(&mut self, label: Label, since: usize, counts: bool) {
        let is_late = self.before.is_some();
        if !is_late && self.stragglers.len() >= REMEMBERED {
            return;
        }
        self.counting += usize::from(is_late && counts);
        self.fallen += usize::from(is_late && !label.kind.is_main());
        self.stragglers.push(StragglerRecord { label, since, at: coarse_clock::now() });
    }

    /// One that was left behind turns out to be refused.
    pub(crate) fn take_back(&mut self, place: &'static Location<'static>, since: usize) {
        let is_it =
            |one: &StragglerRecord| ptr::eq(one.label.location, place) && one.since == since;
        let known = self.stragglers.iter().rposition(is_it);
        if let Some(known) = known {
            self.stragglers.remove(known);
            self.fallen -= 1;
            self.counting -= 1;
        }
    }

    /// Whether a straggler counts for the exit status.
    pub(crate) fn is_forced(&self) -> bool {
        self.counting > 0
    }

    /// To be spelled out by [`Label::straggler`], which is not for a lock.
    pub(crate) fn stragglers(&self) -> Vec<StragglerRecord> {
        self.stragglers.clone()
    }
}

/// How many stragglers of scopes that were forced before the stop are listed: a program that runs for years must not grow.
const REMEMBERED: usize = 1000;

/// The oldest of many, without keeping them all.
pub(crate) struct Oldest {
    most: usize,
    /// Those that began then or later are not among them.
    bound: usize,
    found: Vec<(usize, Label)>,
}

impl Oldest {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, bound: usize::MAX, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, since: usize, label: impl FnOnce() -> Label) {
        if since < self.bound {
            self.found.push((since, label()));
        }
        if self.found.len() >= self.most.saturating_mul(2) {
            self.cut();
            self.bound = self.found.last().map_or(0, |&(since, _)| since);
        }
    }

    fn cut(&mut self) {
        self.found.sort_by_key(|&(since, _)| since);
        self.found.truncate(self.most);
    }

    pub(crate) fn finish(mut self) -> Vec<Straggler> {
        self.cut();
        self.found.iter().map(|(since, label)| label.straggler(coarse_clock::age(*since))).collect()
    }
}
