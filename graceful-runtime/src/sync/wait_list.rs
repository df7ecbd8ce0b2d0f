//! Telling everybody at once: a flag, and those who wait for it in lists by thread.
//!
//! A task that waits costs one slot of 16 bytes in the list of the thread that polled it first. Telling sets the flag, then takes one list
//! after the other, under that list's lock, and wakes outside of it.
//!
//! # Invariants
//!
//! 1. Who waits looks at the flag under the list's lock, and `set` comes before `wake` takes that lock: a waiter sees the flag or is in the list.
//! 2. A ticket is good for the turn of its list in which it was given; each `wake` begins a new one.

use std::{
    mem,
    num::NonZeroU32,
    task::{Context, Poll, Waker},
};

use crate::sync::atomic::{AtomicBool, Mutex, Ordering};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct WaitList {
    flag: AtomicBool,
    lists: Box<[List]>,
}

/// Apart from each other: each is another thread's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct List(Mutex<Waiters>);

#[derive(Debug, Default)]
struct Waiters {
    slots: Vec<Slot>,
    /// The first free slot, and each free one has the next.
    free: Option<NonZeroU32>,
    /// How many wait.
    count: usize,
    turn: u16,
}

#[derive(Debug)]
enum Slot {
    Waiting(Waker),
    Free(Option<NonZeroU32>),
}

/// For how many the room is kept when they have gone: one that comes and goes should not allocate each time.
const FEW: usize = 64;

/// A place in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// One more than the index.
    number: NonZeroU32,
    list: u16,
    turn: u16,
}

impl WaitList {
    /// `lists` is a power of two.
    pub(crate) fn new(lists: usize) -> Self {
        Self { flag: AtomicBool::new(false), lists: (0..lists).map(|_| List::default()).collect() }
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: pairs with the Release in `set`, so that who has heard sees what was done before.
        self.flag.load(Ordering::Acquire)
    }

    /// Sets the flag, which is all that most ask for; to be followed by [`Self::wake`].
    pub(crate) fn set(&self) {
        // Release: pairs with the Acquire in `is_set`.
        self.flag.store(true, Ordering::Release);
    }

    /// Gives each waker that waits for the flag to `wake`.
    pub(crate) fn wake(&self, mut wake: impl FnMut(Waker)) {
        for list in &self.lists {
            let mut waiters = list.0.lock();
            let turn = waiters.turn.wrapping_add(1);
            let Waiters { slots, .. } =
                mem::replace(&mut *waiters, Waiters { turn, ..Waiters::default() });
            drop(waiters);
            for slot in slots {
                if let Slot::Waiting(waker) = slot {
                    wake(waker);
                }
            }
        }
    }

    /// Lets everybody wait again.
    pub(crate) fn reset(&self) {
        // Release: as in `set`.
        self.flag.store(false, Ordering::Release);
    }

    /// Ready once the flag is set; until then `ticket` is where the waker is kept, to be given to [`Self::leave`] if it is polled no more.
    #[inline]
    pub(crate) fn poll(
        &self,
        thread: usize,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if self.is_set() {
            *ticket = None;
            return Poll::Ready(());
        }
        self.wait(thread, ticket, cx)
    }

    fn wait(&self, thread: usize, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        let own = thread & (self.lists.len() - 1);
        let index = ticket.map_or(own, |ticket| usize::from(ticket.list));
        if let Some(ticket) = *ticket {
            let mut waiters = self.lists[index].0.lock();
            let known = waiters.at(ticket);
            if matches!(known, Some(Slot::Waiting(waker)) if waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
        }
        // A clone and a drop of a waker are user code: neither happens under the lock.
        let waker = cx.waker().clone();
        let mut waiters = self.lists[index].0.lock();
        if self.is_set() {
            *ticket = None;
            return Poll::Ready(());
        }
        let known = ticket.and_then(|ticket| waiters.at(ticket));
        let replaced = match known {
            Some(slot) => Some(mem::replace(slot, Slot::Waiting(waker))),
            None => {
                let number = waiters.add(waker);
                *ticket =
                    number.map(|number| Ticket { number, list: index as u16, turn: waiters.turn });
                None
            }
        };
        drop(waiters);
        drop(replaced);
        Poll::Pending
    }

    /// Waits no longer.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let mut waiters = self.lists[usize::from(ticket.list)].0.lock();
        let next = waiters.free;
        let Some(slot) = waiters.at(ticket) else { return };
        let waker = mem::replace(slot, Slot::Free(next));
        waiters.free = Some(ticket.number);
        waiters.count -= 1;
        let is_large = waiters.slots.capacity() > FEW;
        let unused = (waiters.count == 0 && is_large).then(|| {
            waiters.free = None;
            // Whoever waited has gone: so has the memory.
            mem::take(&mut waiters.slots)
        });
        drop(waiters);
        drop((waker, unused));
    }
}

impl Waiters {
    fn at(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let index = ticket.number.get() as usize - 1;
        self.slots.get_mut(index).filter(|_| ticket.turn == self.turn)
    }

    /// `None` where the number does not fit: with four thousand million waiters.
    fn add(&mut self, waker: Waker) -> Option<NonZeroU32> {
        self.count += 1;
        if let Some(number) = self.free {
            let slot = &mut self.slots[number.get() as usize - 1];
            let Slot::Free(next) = mem::replace(slot, Slot::Waiting(waker)) else { return None };
            self.free = next;
            return Some(number);
        }
        self.slots.push(Slot::Waiting(waker));
        u32::try_from(self.slots.len()).ok().and_then(NonZeroU32::new)
    }
}
