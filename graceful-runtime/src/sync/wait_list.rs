//! Wakes all waiting tasks at once: a flag, and the wakers of the tasks that wait for it, in one list for each few threads.
//!
//! A waiting task costs one slot of 16 bytes in the list of the thread that polled it first. `set` sets the flag; `wake` then empties one list after the
//! other, each under its own lock, and calls the wakers outside the lock.
//!
//! # Invariants
//!
//! 1. A task checks the flag under the lock of its list before it adds its waker, and the flag is set before `wake` takes that lock. So the task sees the
//!    flag, or `wake` finds its waker.
//! 2. A ticket is valid in the generation of its list in which it was issued; each `wake` starts a new generation.

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

/// On cache lines of its own, because different threads use different lists.
#[derive(Debug, Default)]
#[repr(align(128))]
struct List(Mutex<Waiters>);

#[derive(Debug, Default)]
struct Waiters {
    slots: Vec<Slot>,
    /// The number of the first free slot; each free slot holds the number of the next.
    free: Option<NonZeroU32>,
    /// How many slots hold a waker.
    count: usize,
    /// Invariant 2.
    generation: u16,
}

#[derive(Debug)]
enum Slot {
    Waiting(Waker),
    Free(Option<NonZeroU32>),
}

/// An empty list keeps its memory up to this many slots, so that a single task that waits and leaves again does not allocate each time.
const FEW: usize = 64;

/// Names the slot of one waiting task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// The index of the slot plus one.
    number: NonZeroU32,
    list: u16,
    generation: u16,
}

impl WaitList {
    /// Makes a list whose flag is not set. `lists` must be a power of two.
    pub(crate) fn new(lists: usize) -> Self {
        Self { flag: AtomicBool::new(false), lists: (0..lists).map(|_| List::default()).collect() }
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: pairs with the Release in `set`: a task that sees the flag sees all writes before it.
        self.flag.load(Ordering::Acquire)
    }

    /// Sets the flag. The caller must call [`Self::wake`] afterwards.
    pub(crate) fn set(&self) {
        // Release: pairs with the Acquire in `is_set`.
        self.flag.store(true, Ordering::Release);
    }

    /// Removes all wakers and passes each to `wake`, outside the locks.
    pub(crate) fn wake(&self, mut wake: impl FnMut(Waker)) {
        for list in &self.lists {
            let mut waiters = list.0.lock();
            let generation = waiters.generation.wrapping_add(1);
            let Waiters { slots, .. } =
                mem::replace(&mut *waiters, Waiters { generation, ..Waiters::default() });
            drop(waiters);
            for slot in slots {
                if let Slot::Waiting(waker) = slot {
                    wake(waker);
                }
            }
        }
    }

    /// Clears the flag, so that tasks wait again.
    pub(crate) fn reset(&self) {
        // Release: as in `set`.
        self.flag.store(false, Ordering::Release);
    }

    /// Returns `Ready` once the flag is set. Until then it keeps the waker and sets `ticket`, which a task that stops waiting must pass to [`Self::leave`].
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
        // The clone and the drop of a waker are user code, so neither happens under the lock. Invariant 1: the flag is checked again under it.
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
                *ticket = number.map(|number| Ticket {
                    number,
                    list: index as u16,
                    generation: waiters.generation,
                });
                None
            }
        };
        drop(waiters);
        drop(replaced);
        Poll::Pending
    }

    /// Removes the waker of a task that stops waiting.
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
            // No task waits any more, so the memory of a large list is freed.
            mem::take(&mut waiters.slots)
        });
        drop(waiters);
        drop((waker, unused));
    }
}

impl Waiters {
    /// The slot of a ticket, if the ticket is still valid (invariant 2).
    fn at(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let index = ticket.number.get() as usize - 1;
        self.slots.get_mut(index).filter(|_| ticket.generation == self.generation)
    }

    /// Stores a waker. Returns `None` if the slot's number does not fit in 32 bits.
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
