//! One piece of work in flight, from the moment it was let in to its end.

use std::{mem, sync::Arc};

use crate::{
    model::report::Kind,
    sync::in_flight::mode,
    tracking::{
        aborting::is_being_aborted,
        label::{Abort, Label},
        listener::Listener,
        scope::{Owner, Scope},
        task_table::EntryId,
    },
};

/// A piece of work in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Work {
    key: Key,
    kind: Kind,
}

/// Which piece of work it is; good also after its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    scope: &'static Scope,
    pub(crate) note: EntryId,
}

impl Key {
    /// Whether a force has come over the scope that the work is in.
    pub(crate) fn is_forced(self) -> bool {
        self.scope.in_flight.is(mode::FORCED)
    }

    /// Who hears of its end; `None` once the program is gone.
    pub(crate) fn listener(self) -> Option<Arc<dyn Listener>> {
        self.scope.owner()?.listener()
    }

    pub(crate) fn is_of_same_program(self, scope: &Scope) -> bool {
        self.scope.is_of_same_program(scope)
    }

    pub(crate) fn same_program(self, other: Self) -> bool {
        self.is_of_same_program(other.scope)
    }

    /// Says how to abort the work; done at once if the force is already over it.
    pub(crate) fn set_abort(self, abort: Abort) {
        let Self { scope, note } = self;
        if let Some(abort) = scope.set_abort(note, abort) {
            abort.abort();
        } else {
            self.abort_is_set();
        }
    }

    /// It is known how to abort the work; done at once if the force is already over it.
    pub(crate) fn abort_is_set(self) {
        if self.is_forced() {
            self.cut_late();
        }
    }

    #[cold]
    fn cut_late(self) {
        if let Some(owner) = self.scope.owner() {
            owner.cut_late(self.note);
        }
    }

    #[cold]
    fn ended_during_force(self) {
        if let Some(owner) = self.scope.owner() {
            owner.ended_during_force();
        }
    }

    /// The work has had the value of its shield and waits for something else: a force may have it.
    pub(crate) fn unshielded(self) {
        if self.is_forced() {
            self.cut_late();
        }
    }
}

impl Work {
    /// Work that was noted and let in.
    pub(crate) fn new(scope: &'static Scope, note: EntryId, kind: Kind) -> Self {
        Self { key: Key { scope, note }, kind }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn label(&self) -> Label {
        self.key.note.label()
    }

    /// Ends the work; `unfinished` says that it did not come to its end by itself.
    pub(crate) fn end(self, unfinished: bool) {
        self.end_once(unfinished);
        mem::forget(self);
    }

    fn end_once(&self, unfinished: bool) {
        let Self { key: Key { scope, note }, kind } = *self;
        if unfinished {
            return self.end_unfinished();
        }
        let was_cut = scope.end_note(note, |_, _| ()).was_cut;
        // Before the exit: after it the scope may be another program's.
        let owner = if self.is_special(was_cut) { scope.owner() } else { None };
        if !kind.is_main() {
            scope.exit();
        }
        self.after_exit(owner, was_cut);
    }

    /// Ends work that did not come to its end by itself: after a force it is a straggler.
    #[cold]
    fn end_unfinished(&self) {
        let Self { key: Key { scope, note }, kind } = *self;
        let owner = scope.owner();
        let mut was_last = None;
        let ended = scope.end_note(note, |seen, ended| {
            let is_forced = ended.was_cut || scope.in_flight.is(mode::FORCED);
            if let (true, false, Some(owner)) = (is_forced, ended.was_left, &owner) {
                was_last = Some(owner.end_as_straggler(scope, seen.label(), seen.since()));
            }
        });
        match was_last {
            Some(true) => scope.emptied(),
            None if !kind.is_main() => scope.exit(),
            _ => {}
        }
        self.after_exit(owner.filter(|_| self.is_special(ended.was_cut)), ended.was_cut);
    }

    /// Whether something waits for the end of this work in particular.
    fn is_special(&self, was_cut: bool) -> bool {
        was_cut || self.kind.is_main() || self.kind == Kind::Shield
    }

    /// The rest of an end; the owner is there for what something waits for in particular.
    fn after_exit(&self, owner: Option<Arc<dyn Owner>>, was_cut: bool) {
        if let Some(owner) = owner {
            owner.ended_specially(self.kind, was_cut);
        }
        // A force waits for what it does not abort.
        if !was_cut && self.key.scope.in_flight.is(mode::FORCED) {
            self.key.ended_during_force();
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end_once(is_being_aborted());
    }
}
