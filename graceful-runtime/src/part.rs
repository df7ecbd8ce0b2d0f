//! One part of a program, as its work sees it: admission, counting, and notification of the work in it.
//!
//! A guard is a reference to its part without a count of its own: it is counted by being in flight. So a part lives as long as the
//! process, and is used again once nothing of it is in flight and no handle leads to it.

use std::{
    panic::Location,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use crate::{
    clock::{self, MANY},
    in_flight::{InFlight, Refused, mode},
    label::{Abort, Label},
    part_id::PartId,
    places::Slot,
    program::Program,
    records::{Ended, Note, Seen},
    roster::Roster,
    thread_id,
    told::{Ticket, Told},
    work::{is_being_aborted, quietly},
};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) in_flight: InFlight,
    told: Told,
    /// Its number among the parts of its program.
    id: AtomicUsize,
    roster: &'static Roster,
}

/// The life of the part itself.
impl Part {
    /// `lanes` is for how many threads counting costs no locked instruction, `lists` in how many lists those that wait for the request are.
    pub(crate) fn new(roster: &'static Roster, lanes: usize, lists: usize) -> Self {
        let (in_flight, told) = (InFlight::new(lanes), Told::new(lists));
        Self { in_flight, told, id: AtomicUsize::new(0), roster }
    }

    pub(crate) fn set_id(&self, id: PartId) {
        // Relaxed: whatever reads it was handed the part after this.
        self.id.store(id.0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn id(&self) -> PartId {
        // Relaxed: as in `set_id`.
        PartId(self.id.load(Ordering::Relaxed))
    }

    /// Makes the part as good as new: nothing is in flight in it, and no handle leads to it.
    pub(crate) fn clear(&self) {
        self.in_flight.clear(usize::MAX);
        // Drop the wakers that leaked futures left in the lists.
        self.told.wake(drop);
        self.told.reset();
    }

    #[inline]
    pub(crate) fn is_of_same_program(&self, other: &Self) -> bool {
        ptr::eq(self.roster, other.roster)
    }

    /// `None` once it is gone.
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        self.roster.program()
    }
}

/// Being in flight.
impl Part {
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
        &self,
        origin: Origin,
        place: &'static Location<'static>,
    ) -> Option<&'static Slot> {
        if self.in_flight.is(origin.refused_by()) {
            return self.guard_late(origin, place);
        }
        let thread = thread();
        let slot = self.roster.places.put(thread, place, self.now(thread));
        match self.in_flight.enter_unseen(thread, origin.refused_by()) {
            Ok(()) => Some(slot),
            Err(refused) => self.decide(origin, &refused, slot, place),
        }
    }

    /// Nothing is noted of what is refused for good.
    #[cold]
    fn guard_late(
        &self,
        origin: Origin,
        place: &'static Location<'static>,
    ) -> Option<&'static Slot> {
        if origin == Origin::Outside && self.in_flight.is(mode::TOLD) {
            return None;
        }
        let thread = thread();
        let slot = self.roster.places.put(thread, place, self.now(thread));
        self.decide(origin, &Refused { was_last: false }, slot, place)
    }

    /// Whether a guard that was refused at first sight is let in.
    #[cold]
    fn decide(
        &self,
        origin: Origin,
        refused: &Refused,
        slot: &'static Slot,
        place: &'static Location<'static>,
    ) -> Option<&'static Slot> {
        if self.enter_late(origin, refused) {
            return Some(slot);
        }
        // If the end of the drain has found the slot meanwhile, it is no straggler all the same.
        if slot.claim().is_none() {
            if let Some(program) = self.program() {
                program.tasks.guard_was_refused(place, slot.since());
            }
        }
        self.roster.places.give_back_claimed(thread(), slot);
        None
    }

    /// Ends a guard.
    #[inline]
    pub(crate) fn end_guard(&self, slot: &'static Slot) {
        if self.in_flight.is(mode::FORCED) {
            return self.end_guard_by_force(slot);
        }
        let thread = thread();
        self.roster.places.give_back(thread, slot);
        if self.in_flight.exit(thread) {
            self.emptied();
        }
    }

    /// Notes a piece of work, before it enters.
    pub(crate) fn note(&self, label: Label) -> Note {
        let thread = thread();
        self.roster.records.note(thread, self.id(), label, self.now(thread))
    }

    pub(crate) fn settle(&self, note: Note, abort: Abort) -> Option<Abort> {
        self.roster.records.settle(thread(), note, abort)
    }

    /// Ends a piece of work that was noted, before it exits; see [`Records::end`](crate::records::Records::end).
    pub(crate) fn end_note(&self, note: Note, last_look: impl FnOnce(&Seen<'_>, Ended)) -> Ended {
        self.roster.records.end(thread(), note, last_look)
    }

    /// Refused at first sight: by the request for good; by the begin of finalization, or an attempt at it, only the program can tell.
    #[cold]
    fn enter_late(&self, origin: Origin, refused: &Refused) -> bool {
        let Some(program) = self.program() else { return false };
        if refused.was_last {
            program.tasks.emptied(self.id());
        }
        program.tasks.enter_late(self, origin)
    }

    #[cold]
    pub(crate) fn emptied(&self) {
        if let Some(program) = self.program() {
            program.tasks.emptied(self.id());
        }
    }

    /// What was left behind has been claimed, and is reported already; what goes with aborted work was cut with it.
    #[cold]
    fn end_guard_by_force(&self, slot: &'static Slot) {
        let was_last = match self.program().filter(|_| is_being_aborted()) {
            Some(program) => program.tasks.guard_fell(self, slot),
            None => {
                slot.claim();
                self.in_flight.exit(thread())
            }
        };
        self.roster.places.give_back_claimed(thread(), slot);
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
            if let Some(program) = self.program() {
                program.wind_clock();
            }
        }
        clock::now()
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
            Self::Outside => mode::TOLD | mode::SHUT,
            Self::Inside => mode::SHUT,
        }
    }
}

/// Hearing of the request.
impl Part {
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_set()
    }

    /// Lets everything see that the part is told, once nothing from outside is let in any more.
    pub(crate) fn set_told(&self) {
        self.told.set();
    }

    /// Wakes the futures that wait. A waker is user code: it neither holds a lock of ours nor ends this by its panic.
    pub(crate) fn wake(&self) {
        self.told.wake(|waker| {
            quietly(|| waker.wake());
        });
    }

    /// Takes back what was told.
    pub(crate) fn untell(&self) {
        self.in_flight.clear(mode::TOLD);
        self.told.reset();
    }

    #[inline]
    pub(crate) fn poll_told(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        self.told.poll(thread(), ticket, cx)
    }

    pub(crate) fn leave(&self, ticket: Ticket) {
        self.told.leave(ticket);
    }
}

/// The number of this thread.
#[inline]
pub(crate) fn thread() -> usize {
    match thread_id::current() {
        thread_id::NONE => thread_id::obtain(),
        number => number,
    }
}
