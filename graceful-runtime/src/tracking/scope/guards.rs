//! Guards: taken and dropped so often that they have a path of their own, without an entry in the task table.

use std::panic::Location;

use crate::{
    sync::in_flight::{Refused, mode},
    tracking::{
        aborting::is_being_aborted,
        scope::{GuardSlot, Origin, Scope, thread},
    },
};

impl Scope {
    /// Takes a slot for a guard, then counts the guard, so that every counted guard is listed. Returns `None` if work of this origin is refused.
    #[inline]
    pub(crate) fn guard(
        &'static self,
        origin: Origin,
        place: &'static Location<'static>,
    ) -> Option<&'static GuardSlot> {
        // Most refusals end here, before a slot is taken. A request that comes later is seen by `enter_unseen`.
        if self.in_flight.is(origin.refused_by()) {
            return self.guard_late(origin, place);
        }
        let thread = thread();
        let slot = self.roster.guards.put(thread, self, place, self.now(thread));
        match self.in_flight.enter_unseen(thread, origin.refused_by()) {
            Ok(()) => Some(slot),
            Err(refused) => self.decide(origin, &refused, slot, place),
        }
    }

    /// The counter will refuse the guard. After a request that is final, so no slot is taken.
    #[cold]
    fn guard_late(
        &'static self,
        origin: Origin,
        place: &'static Location<'static>,
    ) -> Option<&'static GuardSlot> {
        if origin == Origin::Outside && self.in_flight.is(mode::REQUESTED) {
            return None;
        }
        let thread = thread();
        let slot = self.roster.guards.put(thread, self, place, self.now(thread));
        self.decide(origin, &Refused { was_last: false }, slot, place)
    }

    /// Asks the owner whether a guard that the counter refused is admitted after all.
    #[cold]
    fn decide(
        &self,
        origin: Origin,
        refused: &Refused,
        slot: &'static GuardSlot,
        place: &'static Location<'static>,
    ) -> Option<&'static GuardSlot> {
        if self.enter_late(origin, refused) {
            return Some(slot);
        }
        // If the claim fails, the end of the drain has found the slot meanwhile and made it a straggler.
        if slot.claim().is_none() {
            if let Some(owner) = self.owner() {
                owner.guard_was_refused(place, slot.since());
            }
        }
        self.roster.guards.give_back_claimed(thread(), slot);
        None
    }

    /// Ends a guard.
    #[inline]
    pub(crate) fn end_guard(&self, slot: &'static GuardSlot) {
        if self.in_flight.is(mode::FORCED) {
            return self.end_guard_after_force(slot);
        }
        let thread = thread();
        // Before the exit, because the end of the drain makes every guard that is still listed a straggler.
        self.roster.guards.give_back(thread, slot);
        if self.in_flight.exit(thread) {
            self.emptied();
        }
    }

    /// A guard that is dropped together with aborted work is a straggler. The claim makes sure that it is reported once, because the end of the drain
    /// may have left it behind.
    #[cold]
    fn end_guard_after_force(&self, slot: &'static GuardSlot) {
        let was_last = match self.owner().filter(|_| is_being_aborted()) {
            Some(owner) => owner.end_guard_as_straggler(self, slot),
            None => {
                slot.claim();
                self.in_flight.exit(thread())
            }
        };
        self.roster.guards.give_back_claimed(thread(), slot);
        if was_last {
            self.emptied();
        }
    }
}
