//! How a force aborts work, and spares work that waits in a shield.

use std::sync::atomic::Ordering;

use crate::{
    model::report::Kind,
    sync::in_flight::mode,
    tracking::{
        label::Abort,
        scope::Scope,
        scope_id::ScopeId,
        task_table::entry_id::{EntryId, EntryMut},
        tracker::Tracker,
        work::Key,
    },
};

/// The work whose end a force waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Awaited {
    /// Shields, and work that waits in them.
    pub(crate) shielded: usize,
    /// Work that was aborted and has not ended yet.
    pub(crate) aborting: usize,
}

impl Tracker {
    /// Aborts all work of a scope and below it, except work that a shield protects.
    pub(crate) fn force(&self, scope: &Scope) {
        let is_program = scope.id() == ScopeId::PROGRAM;
        let by_stop = if self.tally.lock().has_begun() { mode::BY_STOP } else { 0 };
        // Work that is added to the table from here on sees the mark and is aborted by `abort_late`.
        let scopes = self.scopes.lock().force(scope.id(), mode::FORCED | by_stop);
        if scopes.is_empty() {
            return;
        }
        self.roster.tasks.each(|entry| {
            let is_in_scope = is_program || scopes.contains(&entry.scope());
            if is_in_scope && !entry.is_shielded() { self.abort(entry) } else { None }
        });
    }

    /// Aborts the work that shields have protected: their time is over.
    pub(crate) fn force_shields(&self) {
        self.roster.tasks.each(|entry| self.abort(entry));
    }

    /// Marks a piece of work as aborted and returns the way to abort it, unless it was aborted before.
    fn abort(&self, entry: &mut EntryMut<'_>) -> Option<Abort> {
        if self.mark_aborted(entry) { entry.abort() } else { None }
    }

    /// From here on the force waits for the end of the work. Returns whether that is new.
    pub(super) fn mark_aborted(&self, entry: &mut EntryMut<'_>) -> bool {
        let is_new = entry.mark_aborted();
        if is_new && ends_when_aborted(entry.kind()) {
            // AcqRel: pairs with the AcqRel in `awaited_work_ended`. The abort comes after this, so the decrement does too.
            self.aborting.fetch_add(1, Ordering::AcqRel);
        }
        is_new
    }

    /// What the force still waits for.
    pub(crate) fn awaited(&self) -> Awaited {
        let mut shielded = 0;
        // Relaxed: each change is followed by a wake-up of the driver, which checks again.
        if self.shields.load(Ordering::Relaxed) > 0 {
            self.roster.tasks.each(|entry| {
                shielded += usize::from(!entry.is_aborted() && entry.is_shielded());
                None
            });
        }
        // Acquire: pairs with the AcqRel in `awaited_work_ended`.
        Awaited { shielded, aborting: self.aborting.load(Ordering::Acquire) }
    }

    /// The work begins to wait in one more shield.
    pub(crate) fn shield(&self, key: Key) {
        key.entry.enter_shield();
        self.count_shield();
    }

    /// The work waits in one shield less. A force waits for it from now on, and aborts it at its next `.await`, by [`Key::left_shield`].
    pub(crate) fn unshield(&self, key: Key) {
        key.entry.leave_shield();
        if key.is_forced() {
            self.with_late(key.entry, |entry| self.mark_aborted(entry));
            self.changed.notify_one();
        }
        self.discount_shield();
    }

    /// Calls `f` with work that a force has yet to abort, unless a shield protects it or the tracker has closed, which leaves the work behind.
    pub(super) fn with_late<R>(
        &self,
        work: EntryId,
        f: impl FnOnce(&mut EntryMut<'_>) -> R,
    ) -> Option<R> {
        // Closing takes this lock, so it has happened before, or it finds the entry afterwards.
        let scopes = self.scopes.lock();
        let unless_shielded = |entry: &mut EntryMut<'_>| (!entry.is_shielded()).then(|| f(entry));
        if scopes.closed { None } else { work.with(unless_shielded).flatten() }
    }
}

/// Whether an abort ends this kind of work. The kind decides, because the handle that aborts the work may not be set yet.
pub(super) fn ends_when_aborted(kind: Kind) -> bool {
    !matches!(kind, Kind::Blocking | Kind::Thread | Kind::Guard | Kind::Future)
}
