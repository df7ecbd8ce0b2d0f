//! One scope of a program: admission, counting, and notification of the work in it.
//!
//! A guard refers to its scope without a reference count: it is counted as in flight instead. So a scope lives as long as the process, and is used again
//! once nothing is in flight in it and no handle leads to it.

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
        guard_slots,
        label::{Abort, Label},
        listener::Listener,
        roster::Roster,
        scope_id::ScopeId,
        task_table::{
            Ended,
            entry_id::{EntryId, EntryMut},
        },
    },
};

mod guards;

/// The owner of all scopes of a program, which decides where the counters of one scope are not enough. None of its methods is on a hot path.
pub(crate) trait Owner: fmt::Debug + Send + Sync {
    /// The last piece of work of a scope has ended.
    fn emptied(&self, scope: ScopeId);

    /// Decides on work that arrives while finalization begins, and counts it if it is admitted.
    fn enter_late(&self, scope: &Scope, origin: Origin) -> bool;

    /// A guard was refused, and the end of the drain had already made it a straggler.
    fn guard_was_refused(&self, place: &'static Location<'static>, since: usize);

    /// A guard was dropped together with aborted work, so it is a straggler unless it was left behind. Exits, and returns whether it was the last.
    fn end_guard_as_straggler(&self, scope: &Scope, slot: &'static GuardSlot) -> bool;

    /// Makes the driver tick the clock of the guards, because a thread takes many guards.
    fn wind_clock(&self);

    /// Work ends unfinished after a force. Exits, and returns whether it was the last.
    fn end_as_straggler(&self, scope: &Scope, label: Label, since: usize) -> bool;

    /// Aborts work that the force could not abort: it began after the force, or it was in a shield and has reached its next `.await`.
    fn abort_late(&self, work: EntryId);

    /// A shield, `main`, or aborted work has ended and exited; the driver may be waiting for this piece.
    fn awaited_work_ended(&self, kind: Kind, was_aborted: bool);

    /// Work that the force did not abort has ended; the force waits for such work, too.
    fn ended_during_force(&self);

    /// The listener of the program; `None` once it is gone.
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
    /// The tasks that wait for the request.
    waiters: WaitList,
    /// The [`ScopeId`].
    id: AtomicUsize,
    roster: &'static ScopeRoster,
}

/// Where a piece of work comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// From outside the program: refused from the request on.
    Outside,
    /// From running work: refused from the start of finalization on.
    Inside,
}

impl Origin {
    /// The bits of the mode that refuse such work.
    #[inline]
    fn refused_by(self) -> usize {
        match self {
            Self::Outside => mode::REQUESTED | mode::SHUT,
            Self::Inside => mode::SHUT,
        }
    }
}

/// The scope itself.
impl Scope {
    /// `shards` is the number of threads that count without a locked instruction, `lists` the number of lists of waiting tasks.
    pub(crate) fn new(roster: &'static ScopeRoster, shards: usize, lists: usize) -> Self {
        let (in_flight, waiters) = (InFlight::new(shards), WaitList::new(lists));
        Self { in_flight, waiters, id: AtomicUsize::new(0), roster }
    }

    pub(crate) fn set_id(&self, id: ScopeId) {
        // Relaxed: every reader receives the scope after this, by a path that synchronizes.
        self.id.store(id.0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn id(&self) -> ScopeId {
        // Relaxed: as in `set_id`.
        ScopeId(self.id.load(Ordering::Relaxed))
    }

    /// Resets the scope, so that it can be used again. Nothing is in flight in it, and no handle leads to it.
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

    /// The owner of the scopes of the program; `None` once the program is gone.
    pub(crate) fn owner(&self) -> Option<Arc<dyn Owner>> {
        self.roster.owner()
    }
}

/// Admission and counting.
impl Scope {
    /// Counts a piece of work. Returns `false` if work of this origin is refused.
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

    /// The counter has refused the work. After a request that is final; at the start of finalization, which may only be an attempt, the owner decides.
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

    /// Adds a piece of work to the task table. It enters afterwards.
    pub(crate) fn add_entry(&self, label: Label) -> EntryId {
        let thread = thread();
        self.roster.tasks.add(thread, self.id(), label, self.now(thread))
    }

    /// See [`TaskTable::set_abort`](crate::tracking::task_table::TaskTable::set_abort).
    pub(crate) fn set_abort(&self, entry: EntryId, abort: Abort) -> Option<Abort> {
        self.roster.tasks.set_abort(thread(), entry, abort)
    }

    /// Ends the entry of a piece of work, before it exits; see [`TaskTable::end`](crate::tracking::task_table::TaskTable::end).
    pub(crate) fn end_entry(
        &self,
        entry: EntryId,
        last_look: impl FnOnce(&EntryMut<'_>, Ended),
    ) -> Ended {
        self.roster.tasks.end(thread(), entry, last_look)
    }

    /// The time at which work of this thread begins.
    #[inline]
    fn now(&self, thread: usize) -> usize {
        self.roster.clock.ticked().unwrap_or_else(|| self.ask_time(thread))
    }

    /// Asks the system for the time. A thread for which this happens often starts the clock.
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

/// Notification of the request.
impl Scope {
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.waiters.is_set()
    }

    /// Shows the request to all tasks. The counter refuses work from outside by now.
    pub(crate) fn set_requested(&self) {
        self.waiters.set();
    }

    /// Wakes the tasks that wait for the request. A waker is user code, so the caller holds no lock, and its panic is caught.
    pub(crate) fn wake(&self) {
        self.waiters.wake(|waker| {
            quietly(|| waker.wake());
        });
    }

    /// Withdraws the request: work from outside is admitted again.
    pub(crate) fn withdraw_request(&self) {
        self.in_flight.clear(mode::REQUESTED);
        self.waiters.reset();
    }

    /// See [`WaitList::poll`].
    #[inline]
    pub(crate) fn poll_requested(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        self.waiters.poll(thread(), ticket, cx)
    }

    /// See [`WaitList::leave`].
    pub(crate) fn leave(&self, ticket: Ticket) {
        self.waiters.leave(ticket);
    }
}

/// The index of this thread.
#[inline]
pub(crate) fn thread() -> usize {
    match thread_index::current() {
        thread_index::NONE => thread_index::obtain(),
        index => index,
    }
}
