//! One piece of work in flight, from its admission to its end.

use std::{mem, sync::Arc};

use crate::{
    model::report::Kind,
    sync::in_flight::mode,
    tracking::{
        aborting::is_being_aborted,
        label::{Abort, Label},
        listener::Listener,
        scope::{Owner, Scope},
        task_table::entry_id::EntryId,
    },
};

/// A piece of work in flight, until it is ended or dropped.
#[derive(Debug)]
pub(crate) struct Work {
    key: Key,
    kind: Kind,
}

/// Names a piece of work. It may outlive the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    scope: &'static Scope,
    pub(crate) entry: EntryId,
}

impl Key {
    /// Whether the scope of the work was forced.
    pub(crate) fn is_forced(self) -> bool {
        self.scope.in_flight.is(mode::FORCED)
    }

    /// The listener of the program; `None` once the program is gone.
    pub(crate) fn listener(self) -> Option<Arc<dyn Listener>> {
        self.scope.owner()?.listener()
    }

    pub(crate) fn is_of_same_program(self, scope: &Scope) -> bool {
        self.scope.is_of_same_program(scope)
    }

    pub(crate) fn same_program(self, other: Self) -> bool {
        self.is_of_same_program(other.scope)
    }

    /// Sets the way to abort the work. Aborts it at once if its scope was forced before.
    pub(crate) fn set_abort(self, abort: Abort) {
        let Self { scope, entry } = self;
        match scope.set_abort(entry, abort) {
            Some(abort) => abort.abort(),
            None => self.abort_is_set(),
        }
    }

    /// The way to abort the work is set. A force that came before found none, so this aborts the work.
    pub(crate) fn abort_is_set(self) {
        if self.is_forced() {
            self.abort_late();
        }
    }

    /// The work has received the value of its shield and waits for something else, so a force may abort it.
    pub(crate) fn left_shield(self) {
        if self.is_forced() {
            self.abort_late();
        }
    }

    #[cold]
    fn abort_late(self) {
        if let Some(owner) = self.scope.owner() {
            owner.abort_late(self.entry);
        }
    }

    #[cold]
    fn ended_during_force(self) {
        if let Some(owner) = self.scope.owner() {
            owner.ended_during_force();
        }
    }
}

impl Work {
    /// Work that has an entry in the task table and has entered its scope.
    pub(crate) fn new(scope: &'static Scope, entry: EntryId, kind: Kind) -> Self {
        Self { key: Key { scope, entry }, kind }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn label(&self) -> Label {
        self.key.entry.label()
    }

    /// Ends work that has finished by itself.
    pub(crate) fn end(self) {
        self.end_finished();
        mem::forget(self);
    }

    /// Ends work that was dropped before it finished.
    pub(crate) fn abandon(self) {
        self.end_unfinished();
        mem::forget(self);
    }

    fn end_finished(&self) {
        let Self { key: Key { scope, entry }, kind } = *self;
        let was_aborted = scope.end_entry(entry, |_, _| ()).was_aborted;
        // Taken before the exit, because after it the scope may belong to another program.
        let owner = if self.is_awaited(was_aborted) { scope.owner() } else { None };
        if !kind.is_main() {
            scope.exit();
        }
        self.after_exit(owner, was_aborted);
    }

    /// Ends work that did not finish: after a force it is a straggler.
    #[cold]
    fn end_unfinished(&self) {
        let Self { key: Key { scope, entry }, kind } = *self;
        let owner = scope.owner();
        let mut was_last = None;
        let ended = scope.end_entry(entry, |entry, ended| {
            let is_forced = ended.was_aborted || scope.in_flight.is(mode::FORCED);
            if let (true, false, Some(owner)) = (is_forced, ended.was_left_behind, &owner) {
                // Exits as well: the tally counts the straggler and the exit in one step.
                was_last = Some(owner.end_as_straggler(scope, entry.label(), entry.since()));
            }
        });
        match was_last {
            Some(true) => scope.emptied(),
            None if !kind.is_main() => scope.exit(),
            _ => {}
        }
        let owner = owner.filter(|_| self.is_awaited(ended.was_aborted));
        self.after_exit(owner, ended.was_aborted);
    }

    /// Whether the driver waits for the end of this piece in particular.
    fn is_awaited(&self, was_aborted: bool) -> bool {
        was_aborted || self.kind.is_main() || self.kind == Kind::Shield
    }

    /// Reports the end to the owner, which the caller passes if the end is awaited.
    fn after_exit(&self, owner: Option<Arc<dyn Owner>>, was_aborted: bool) {
        if let Some(owner) = owner {
            owner.awaited_work_ended(self.kind, was_aborted);
        }
        // A force waits for work that it does not abort, too.
        if !was_aborted && self.key.scope.in_flight.is(mode::FORCED) {
            self.key.ended_during_force();
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        match is_being_aborted() {
            true => self.end_unfinished(),
            false => self.end_finished(),
        }
    }
}
