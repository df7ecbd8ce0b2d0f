//! One part of a program, as its work sees it: who is let in, who is counted, and who is told.
//!
//! A guard is a reference to its part without a count of its own: it is counted by being in flight. So a part lives as long as the
//! process, and is used again for another program once it is empty.

use std::{
    panic::Location,
    ptr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{self, Clock, MANY},
    in_flight::{InFlight, LANES, Refused, mode},
    label::{Abort, Label},
    lock::Mutex,
    parts::PartId,
    places::{Places, Slot},
    program::Program,
    records::{Note, Records, Seen},
    sys, thread_id,
    told::{Ticket, Told},
    work::quietly,
};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) in_flight: InFlight,
    pub(crate) clock: Clock,
    places: Places,
    records: Records,
    told: Told,
    home: Mutex<Home>,
    /// Where the program is, to be compared.
    address: AtomicUsize,
}

/// What the part is a part of.
#[derive(Debug, Default)]
struct Home {
    program: Weak<Program>,
    id: PartId,
    token: CancellationToken,
}

/// Parts of programs that are over.
static UNUSED: Mutex<Vec<&'static Part>> = Mutex::new(Vec::new());

/// In how many lists those who wait for the request are: more than the cores of nearly all machines.
const LISTS: usize = 16;

/// The life of the part itself.
impl Part {
    pub(crate) fn new(program: Weak<Program>, id: PartId) -> &'static Self {
        let unused = UNUSED.lock().pop();
        let part = unused.unwrap_or_else(|| {
            sys::prepare_fences();
            Box::leak(Box::new(Self {
                in_flight: InFlight::new(LANES),
                clock: Clock::default(),
                places: Places::new(LANES),
                records: Records::new(LANES),
                address: AtomicUsize::new(0),
                told: Told::new(LISTS),
                home: Mutex::default(),
            }))
        });
        // Relaxed: whoever compares it has been handed the part after this.
        part.address.store(program.as_ptr().addr(), Ordering::Relaxed);
        *part.home.lock() = Home { program, id, token: CancellationToken::new() };
        part
    }

    /// Its program is gone. What is still held was left behind, and keeps the part from being used again.
    pub(crate) fn retire(&'static self) {
        *self.home.lock() = Home::default();
        // Relaxed: as in `new`. What is made at this place later is another program.
        self.address.store(0, Ordering::Relaxed);
        self.in_flight.set(mode::SHUT);
        if self.in_flight.count() == 0 {
            self.in_flight.clear(usize::MAX);
            self.clock.stop();
            // Of futures that were leaked.
            self.told.wake(drop);
            self.told.reset();
            UNUSED.lock().push(self);
        }
    }

    pub(crate) fn id(&self) -> PartId {
        self.home.lock().id
    }

    #[inline]
    pub(crate) fn is_of_same_program(&self, other: &Self) -> bool {
        let address = |part: &Self| {
            // Relaxed: as in `new`.
            part.address.load(Ordering::Relaxed)
        };
        ptr::eq(self, other) || address(self) == address(other)
    }

    /// `None` once it is gone.
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        let program = self.home.lock().program.clone();
        program.upgrade()
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
        if origin == Origin::Outside && self.in_flight.is(mode::TOLD) {
            return None;
        }
        let thread = thread();
        let slot = self.places.put(thread, place, self.now(thread));
        match self.in_flight.enter(thread, origin.refused_by()) {
            Ok(()) => Some(slot),
            Err(refused) if self.enter_late(origin, &refused) => Some(slot),
            Err(_) => {
                self.places.give_back(thread, slot);
                None
            }
        }
    }

    /// Ends a guard.
    #[inline]
    pub(crate) fn end_guard(&self, slot: &'static Slot) {
        if self.in_flight.is(mode::FORCED) {
            self.end_guard_by_force(slot);
        }
        let thread = thread();
        self.places.give_back(thread, slot);
        if self.in_flight.exit(thread) {
            self.emptied();
        }
    }

    /// Notes a piece of work, before it enters.
    pub(crate) fn note(&self, label: Label) -> Note {
        let thread = thread();
        self.records.note(thread, label, self.now(thread))
    }

    pub(crate) fn settle(&self, note: Note, abort: Abort) -> Option<Abort> {
        self.records.settle(thread(), note, abort)
    }

    /// Ends a piece of work that was noted, before it exits. Returns its label and time where a force has cut it.
    pub(crate) fn end_note(&self, note: Note) -> Option<(Label, usize)> {
        self.records.end(thread(), note)
    }

    /// Shows each piece of work that has a note; what `f` gives is aborted.
    pub(crate) fn each(&self, f: impl FnMut(&mut Seen<'_>) -> Option<Abort>) {
        self.records.each(f);
    }

    /// Each guard that is held.
    pub(crate) fn each_guard(&self, f: impl FnMut(&'static Slot)) {
        self.places.each(f);
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
    fn emptied(&self) {
        if let Some(program) = self.program() {
            program.tasks.emptied(self.id());
        }
    }

    /// What was left behind has been claimed, and is reported already.
    #[cold]
    fn end_guard_by_force(&self, slot: &'static Slot) {
        if let (Some((place, since)), Some(program)) = (slot.claim(), self.program()) {
            program.tasks.guard_ended_by_force(place, since);
        }
    }

    /// The time for what this thread begins.
    #[inline]
    fn now(&self, thread: usize) -> usize {
        self.clock.ticked().unwrap_or_else(|| self.ask_time(thread))
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

    /// From here on the part is told; gives what is to be cancelled when those who wait are woken.
    pub(crate) fn set_told(&self) -> CancellationToken {
        self.in_flight.set(mode::TOLD);
        self.told.set();
        self.token()
    }

    /// Wakes those who wait. A waker is user code: it neither holds a lock of ours nor ends this by its panic.
    pub(crate) fn wake(&self) {
        self.told.wake(|waker| {
            quietly(|| waker.wake());
        });
    }

    /// Takes back what was told.
    pub(crate) fn untell(&self) {
        self.in_flight.clear(mode::TOLD);
        self.told.reset();
        self.home.lock().token = CancellationToken::new();
    }

    pub(crate) fn token(&self) -> CancellationToken {
        self.home.lock().token.clone()
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
fn thread() -> usize {
    match thread_id::current() {
        thread_id::NONE => thread_id::obtain(),
        number => number,
    }
}
