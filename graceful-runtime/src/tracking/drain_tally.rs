//! Counts how much work of a drain ended by itself, and records the stragglers.
//!
//! # Invariants
//!
//! 1. Each piece of work that was in flight at the request, or was admitted after it, is counted in exactly one of two places: it ended by itself, or it is
//!    a straggler. The number that ended by itself is the number admitted, minus the number that ended before the request, minus the stragglers.
//! 2. A piece of work becomes a straggler and ends in one step under the lock of the tally. The request counts the ended work under the same lock, so each
//!    piece is on the same side of it in both counts.
//! 3. Before the request, only a scope that the program itself has forced makes stragglers. The first thousand of them are listed; none of them counts.

use std::{panic::Location, ptr, time::Duration};

use crate::{sync::coarse_clock, tracking::label::Label};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct DrainTally {
    /// How many pieces of work had ended at the request; `None` before it.
    ended_before: Option<usize>,
    /// How many stragglers of the drain were counted as admitted: all but `main` and `init`.
    counted: usize,
    /// How many stragglers count for the exit status.
    forced: usize,
    /// Names are formatted when the list is read, because there may be a million of them.
    stragglers: Vec<StragglerRecord>,
}

/// A straggler: its label, when it began, and when it became one.
#[derive(Clone, Debug)]
pub(crate) struct StragglerRecord {
    pub(crate) label: Label,
    since: usize,
    at: usize,
}

impl StragglerRecord {
    /// The age at which it became a straggler.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.at.saturating_sub(self.since) as u64)
    }
}

impl DrainTally {
    /// Starts the drain; `ended` is the number of pieces that have ended before it.
    pub(crate) fn begin(&mut self, ended: usize) {
        self.ended_before.get_or_insert(ended);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.ended_before.is_some()
    }

    /// How many pieces have ended by themselves since the request (invariant 1); `entered` is the number ever admitted. Exact once only stragglers are in
    /// flight.
    pub(crate) fn drained(&self, entered: usize) -> u64 {
        let drained = |before| entered.wrapping_sub(before).saturating_sub(self.counted);
        self.ended_before.map_or(0, drained) as u64
    }

    /// Adds a straggler. `by_stop` says that the program's stop aborted it, and not a scope that the program itself has forced.
    pub(crate) fn add(&mut self, label: Label, since: usize, by_stop: bool) {
        let is_of_drain = self.has_begun();
        if !is_of_drain && self.stragglers.len() >= MOST_BEFORE_REQUEST {
            return;
        }
        self.forced += usize::from(is_of_drain && by_stop);
        self.counted += usize::from(is_of_drain && !label.kind.is_main());
        self.stragglers.push(StragglerRecord { label, since, at: coarse_clock::now() });
    }

    /// Removes work that the end of the drain left behind and that was then refused.
    pub(crate) fn remove(&mut self, place: &'static Location<'static>, since: usize) {
        let is_it = |record: &StragglerRecord| {
            ptr::eq(record.label.location, place) && record.since == since
        };
        if let Some(index) = self.stragglers.iter().rposition(is_it) {
            self.stragglers.remove(index);
            self.counted -= 1;
            self.forced -= 1;
        }
    }

    /// Whether a straggler counts for the exit status.
    pub(crate) fn is_forced(&self) -> bool {
        self.forced > 0
    }

    /// The records, for [`Label::straggler`], which runs user code and must not be called under the lock.
    pub(crate) fn stragglers(&self) -> Vec<StragglerRecord> {
        self.stragglers.clone()
    }
}

/// How many stragglers from before the request are listed: a program that runs for years and forces its scopes must not grow.
const MOST_BEFORE_REQUEST: usize = 1000;
