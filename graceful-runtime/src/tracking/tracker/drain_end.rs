//! The start and the end of the drain, and the lists of work in flight and of stragglers.

use std::{cmp::Reverse, panic::Location};

use crate::{
    model::report::{Kind, Straggler},
    tracking::{label::Label, oldest::Oldest, tracker::Tracker},
};

impl Tracker {
    /// Starts the tally of the drain: work that has ended so far does not belong to it.
    pub(crate) fn begin_drain(&self) {
        let scopes = self.scopes.lock();
        let mut tally = self.tally.lock();
        tally.begin(scopes.ended());
    }

    /// Closes the tracker if the drain has nothing left. Returns whether it is closed.
    pub(crate) fn close_if_drained(&self) -> bool {
        self.scopes.lock().close_if_drained()
    }

    /// Closes the tracker and leaves behind all work that is still in flight.
    pub(crate) fn close(&self) {
        self.scopes.lock().close();
        self.roster.tasks.each(|entry| {
            entry.leave_behind();
            self.tally.lock().add(entry.label(), entry.since(), true);
            None
        });
        let mut tally = self.tally.lock();
        self.roster.guards.each(|slot| {
            if let Some((place, since)) = slot.claim() {
                tally.add(guard_at(place), since, true);
            }
        });
    }

    /// How many pieces of work have ended by themselves, once the drain is over.
    pub(crate) fn drained(&self) -> u64 {
        let entered = self.scopes.lock().entered();
        self.tally.lock().drained(entered)
    }

    /// The stragglers so far, the oldest first.
    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        let mut stragglers = self.tally.lock().stragglers();
        stragglers.sort_by_key(|record| Reverse(record.age()));
        stragglers.iter().map(|record| record.label.straggler(record.age())).collect()
    }

    /// Whether a straggler counts for the exit status.
    pub(crate) fn is_forced(&self) -> bool {
        self.tally.lock().is_forced()
    }

    /// The work in flight, the oldest first, at most `most` pieces.
    pub(crate) fn running(&self, most: usize) -> Vec<Straggler> {
        let mut oldest = Oldest::new(most);
        self.roster.tasks.each(|entry| {
            oldest.add(entry.since(), || entry.label());
            None
        });
        self.roster.guards.each(|slot| {
            if let Some((place, since)) = slot.read() {
                oldest.add(since, || guard_at(place));
            }
        });
        oldest.finish()
    }
}

pub(super) fn guard_at(location: &'static Location<'static>) -> Label {
    Label { kind: Kind::Guard, name: None, location }
}
