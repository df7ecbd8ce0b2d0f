//! The decisions that a scope leaves to the tracker.

use std::{
    panic::Location,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    model::report::Kind,
    sync::in_flight::mode,
    tracking::{
        label::Label,
        listener::Listener,
        scope::{GuardSlot, Origin, Owner, Scope, thread},
        scope_id::ScopeId,
        task_table::entry_id::EntryId,
        tracker::{Tracker, drain_end::guard_at, force::ends_when_aborted},
    },
};

impl Owner for Tracker {
    fn emptied(&self, scope: ScopeId) {
        let wakeups = self.scopes.lock().emptied(scope);
        self.send(wakeups);
        self.changed.notify_one();
    }

    fn enter_late(&self, scope: &Scope, origin: Origin) -> bool {
        // An attempt to close holds this lock, so its result is known here.
        let scopes = self.scopes.lock();
        let refused = origin == Origin::Outside && scope.in_flight.is(mode::REQUESTED);
        // No bit refuses it any more, because the lock has decided. A cold path may use the shared shard, which every thread may.
        !scopes.closed && !refused && scope.in_flight.enter(usize::MAX, 0).is_ok()
    }

    fn guard_was_refused(&self, place: &'static Location<'static>, since: usize) {
        self.tally.lock().remove(place, since);
    }

    fn end_guard_as_straggler(&self, scope: &Scope, slot: &'static GuardSlot) -> bool {
        // Claimed under the lock of the tally, as in `close`, so that one of the two adds the straggler.
        let mut tally = self.tally.lock();
        if let Some((place, since)) = slot.claim() {
            tally.add(guard_at(place), since, scope.in_flight.is(mode::BY_STOP));
        }
        // Under the lock as well: invariant 2 of the tally.
        scope.in_flight.exit(thread())
    }

    fn wind_clock(&self) {
        // Relaxed: the wake-up orders it.
        if self.is_clock_real && !self.clock_is_wound.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    fn end_as_straggler(&self, scope: &Scope, label: Label, since: usize) -> bool {
        let is_main = label.kind.is_main();
        let mut tally = self.tally.lock();
        tally.add(label, since, scope.in_flight.is(mode::BY_STOP));
        // Under the lock as well: invariant 2 of the tally. `main` was not counted.
        !is_main && scope.in_flight.exit(thread())
    }

    fn abort_late(&self, work: EntryId) {
        let abort = self.with_late(work, |entry| {
            self.mark_aborted(entry);
            entry.abort()
        });
        if let Some(abort) = abort.flatten() {
            abort.abort();
        }
        self.changed.notify_one();
    }

    #[cold]
    fn awaited_work_ended(&self, kind: Kind, was_aborted: bool) {
        if kind == Kind::Shield {
            self.discount_shield();
        }
        // Before the decrement below: once the force has nothing left to wait for, a main thread that is still running counts as stuck.
        if kind.is_main() {
            let wakeups = self.scopes.lock().main_ended();
            // This does not wake the driver. The main thread itself checks next whether the drain is over, and the two would contend for this lock.
            self.send(wakeups);
        }
        // AcqRel: pairs with itself, so that the last of a million sees the ends of the others before it wakes the driver.
        if was_aborted
            && ends_when_aborted(kind)
            && self.aborting.fetch_sub(1, Ordering::AcqRel) == 1
        {
            self.changed.notify_one();
        }
    }

    fn ended_during_force(&self) {
        self.changed.notify_one();
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.listener.upgrade()
    }
}
