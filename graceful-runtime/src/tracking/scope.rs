//! One scope of a program, as its work sees it: admission, counting, and notification of the work in it.
//!
//! A guard is a reference to its scope without a count of its own: it is counted by being in flight. So a scope lives as long as the
//! process, and is used again once nothing of it is in flight and no handle leads to it.

use std::{
    fmt,
    panic::Location,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use crate::{
    model::{panics::quietly, report::Kind},
    os::thread_index,
    sync::{
        coarse_clock::{self, MANY},
        in_flight::{InFlight, Refused, mode},
        wait_list::{Ticket, WaitList},
    },
    tracking::{
        aborting::is_being_aborted,
        guard_slots,
        label::{Abort, Label},
        listener::Listener,
        roster::Roster,
        scope_id::ScopeId,
        task_table::{Ended, EntryId, EntryMut},
    },
};

/// What looks after all scopes of a program: the scope asks it where its own counters do not tell what follows. All of it is off the usual path.
pub(crate) trait Owner: fmt::Debug + Send + Sync {
    /// The last piece of work of a scope has ended.
    fn emptied(&self, scope: ScopeId);

    /// Decides about work that came upon the end of the drain.
    fn enter_late(&self, scope: &Scope, origin: Origin) -> bool;

    /// A guard was refused, after the end of the drain had found it.
    fn guard_was_refused(&self, place: &'static Location<'static>, since: usize);

    /// A guard was dropped together with aborted work and cut with it, unless it was left behind. Returns whether it was the last.
    fn end_guard_as_straggler(&self, scope: &Scope, slot: &'static GuardSlot) -> bool;

    /// Has the clock of the guards tick, because a thread takes many.
    fn wind_clock(&self);

    /// Work ends unfinished after a force. Returns whether it was the last.
    fn end_as_straggler(&self, scope: &Scope, label: Label, since: usize) -> bool;

    /// Aborts work that began after the force, or is out of its shield and has gone on to its next await.
    fn cut_late(&self, note: EntryId);

    /// The end of work that something waits for in particular, after its note has ended and it has exited.
    fn ended_specially(&self, kind: Kind, was_cut: bool);

    /// Work has ended that a force does not abort and waits for.
    fn ended_during_force(&self);

    /// Who hears of the ends of tasks; `None` once it is gone.
    fn listener(&self) -> Option<Arc<dyn Listener>>;
}

/// The roster of a program, which its scopes share.
pub(crate) type ScopeRoster = Roster<dyn Owner, Scope>;

/// The slot of a guard.
pub(crate) type GuardSlot = guard_slots::GuardSlot<Scope>;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) in_flight: InFlight,
    waiters: WaitList,
    /// Its number among the scopes of its program.
    id: AtomicUsize,
    roster: &'static ScopeRoster,
}

/// The life of the scope itself.
impl Scope {
    /// `shards` is for how many threads counting costs no locked instruction, `lists` in how many lists those that wait for the request are.
    pub(crate) fn new(roster: &'static ScopeRoster, shards: usize, lists: usize) -> Self {
        let (in_flight, waiters) = (InFlight::new(shards), WaitList::new(lists));
        Self { in_flight, waiters, id: AtomicUsize::new(0), roster }
    }

    pub(crate) fn set_id(&self, id: ScopeId) {
        // Relaxed: whatever reads it was handed the scope after this.
        self.id.store(id.0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn id(&self) -> ScopeId {
        // Relaxed: as in `set_id`.
        ScopeId(self.id.load(Ordering::Relaxed))
    }

    /// Makes the scope as good as new: nothing is in flight in it, and no handle leads to it.
    pub(crate) fn clear(&self) {
        self.in_flight.clear(usize::MAX);
        // Drop the wakers that leaked futures left in the lists.
        self.waiters.wake(drop);
        self.waiters.reset();
    }

    #[inline]
    pub(crate) fn is_of_same_program(&self, other: &Self) -> bool {
        ptr::eq(self.roster, other.roster)
    }

    /// What looks after the scopes of the program; `None` once the program is gone.
    pub(crate) fn owner(&self) -> Option<Arc<dyn Owner>> {
        self.roster.owner()
    }
}

/// Being in flight.
impl Scope {
    /// Counts a piece of work, if its origin may still bring it.
    #[inline]
    pub(crate) fn enter(&self, origin: Origin) -> bool {
        match self.in_flight.enter(thread(), origin.refused_by()) {
            Ok(()) => true,
            Err(refused) => self.enter_late(origin, &refused),
        }
    }

    /// Counts a piece of work as ended.
    #[inline]
    pub(crate) fn exit(&self) {
        if self.in_flight.exit(thread()) {
            self.emptied();
        }
    }

    /// Counts a guard and notes where it was taken: noted first, so that whoever finds it counted finds it noted.
    #[inline]
    pub(crate) fn guard(
        &'static self,
        origin: Origin,
        place: &'static Location<'static>,
    ) -> Option<&'static GuardSlot> {
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

    /// Nothing is noted of what is refused for good.
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

    /// Whether a guard that was refused at first sight is let in.
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
        // If the end of the drain has found the slot meanwhile, it is no straggler all the same.
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
            return self.end_guard_by_force(slot);
        }
        let thread = thread();
        self.roster.guards.give_back(thread, slot);
        if self.in_flight.exit(thread) {
            self.emptied();
        }
    }

    /// Notes a piece of work, before it enters.
    pub(crate) fn note(&self, label: Label) -> EntryId {
        let thread = thread();
        self.roster.tasks.note(thread, self.id(), label, self.now(thread))
    }

    pub(crate) fn set_abort(&self, note: EntryId, abort: Abort) -> Option<Abort> {
        self.roster.tasks.set_abort(thread(), note, abort)
    }

    /// Ends a piece of work that was noted, before it exits; see [`TaskTable::end`](crate::tracking::task_table::TaskTable::end).
    pub(crate) fn end_note(
        &self,
        note: EntryId,
        last_look: impl FnOnce(&EntryMut<'_>, Ended),
    ) -> Ended {
        self.roster.tasks.end(thread(), note, last_look)
    }

    /// Refused at first sight: by the request for good; by the begin of finalization, or an attempt at it, only the program can tell.
    #[cold]
    fn enter_late(&self, origin: Origin, refused: &Refused) -> bool {
        let Some(owner) = self.owner() else { return false };
        if refused.was_last {
            owner.emptied(self.id());
        }
        owner.enter_late(self, origin)
    }

    #[cold]
    pub(crate) fn emptied(&self) {
        if let Some(owner) = self.owner() {
            owner.emptied(self.id());
        }
    }

    /// What was left behind has been claimed, and is reported already; what goes with aborted work was cut with it.
    #[cold]
    fn end_guard_by_force(&self, slot: &'static GuardSlot) {
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

    /// The time for what this thread begins.
    #[inline]
    fn now(&self, thread: usize) -> usize {
        self.roster.clock.ticked().unwrap_or_else(|| self.ask_time(thread))
    }

    /// Asks the system what the time is; every so many times, has the clock tick instead.
    #[cold]
    fn ask_time(&self, thread: usize) -> usize {
        if self.in_flight.entered_on(thread) % MANY == MANY - 1 {
            if let Some(owner) = self.owner() {
                owner.wind_clock();
            }
        }
        coarse_clock::now()
    }
}

/// Where a piece of work comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Refused from the request on.
    Outside,
    /// It belongs to running work: refused from the begin of finalization on.
    Inside,
}

impl Origin {
    #[inline]
    fn refused_by(self) -> usize {
        match self {
            Self::Outside => mode::REQUESTED | mode::SHUT,
            Self::Inside => mode::SHUT,
        }
    }
}

/// Hearing of the request.
impl Scope {
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.waiters.is_set()
    }

    /// Lets everything see that the scope is told, once nothing from outside is let in any more.
    pub(crate) fn set_requested(&self) {
        self.waiters.set();
    }

    /// Wakes the futures that wait. A waker is user code: it neither holds a lock of ours nor ends this by its panic.
    pub(crate) fn wake(&self) {
        self.waiters.wake(|waker| {
            quietly(|| waker.wake());
        });
    }

    /// Takes back what was told.
    pub(crate) fn withdraw_request(&self) {
        self.in_flight.clear(mode::REQUESTED);
        self.waiters.reset();
    }

    #[inline]
    pub(crate) fn poll_requested(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        self.waiters.poll(thread(), ticket, cx)
    }

    pub(crate) fn leave(&self, ticket: Ticket) {
        self.waiters.leave(ticket);
    }
}

/// The number of this thread.
#[inline]
pub(crate) fn thread() -> usize {
    match thread_index::current() {
        thread_index::NONE => thread_index::obtain(),
        number => number,
    }
}
