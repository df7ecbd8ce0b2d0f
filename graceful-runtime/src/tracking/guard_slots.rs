//! One slot for each guard, with the place and time at which it was taken.
//!
//! The slots are a [`Pool`]: as many as there were ever guards at once, 24 bytes each. A slot whose place is set belongs to a guard.

use std::panic::Location;

use crate::sync::{
    atomic::{AtomicUsize, Ordering},
    atomic_ref::AtomicRef,
    pool::Pool,
};

/// The slot of a guard in a scope `S`, or an unused slot.
#[derive(Debug)]
pub(crate) struct GuardSlot<S: 'static> {
    /// Where the guard was taken; unset while the slot is unused.
    place: AtomicRef<Location<'static>>,
    /// When the guard was taken, on the coarse clock.
    since: AtomicUsize,
    /// Stored here so that a guard is one word. A guard of two words would be moved by one wide load, which waits until the stores of both words are
    /// done.
    scope: AtomicRef<S>,
}

impl<S: Sync> GuardSlot<S> {
    pub(crate) fn new() -> Self {
        Self {
            place: AtomicRef::default(),
            since: AtomicUsize::new(0),
            scope: AtomicRef::default(),
        }
    }

    /// Where and when the guard was taken; `None` for an unused slot.
    pub(crate) fn read(&self) -> Option<(&'static Location<'static>, usize)> {
        // Acquire: pairs with the Release in `put`, so that the time read next belongs to this guard or a later one. Relaxed: ordered by that.
        let place = self.place.load(Ordering::Acquire)?;
        Some((place, self.since.load(Ordering::Relaxed)))
    }

    /// When the guard was taken. Only the owner of the guard may call this.
    pub(crate) fn since(&self) -> usize {
        // Relaxed: the owner of the guard wrote it, or received it with the guard.
        self.since.load(Ordering::Relaxed)
    }

    /// The scope of the guard; `None` if the slot is in no scope. Only the owner of the guard may call this.
    #[inline]
    pub(crate) fn scope(&self) -> Option<&'static S> {
        // Relaxed: the owner of the guard wrote it, or received it with the guard.
        self.scope.load(Ordering::Relaxed)
    }

    /// Reads the slot and clears its place, so that each guard is reported at most once.
    pub(crate) fn claim(&self) -> Option<(&'static Location<'static>, usize)> {
        // Relaxed: the swap below decides whether this belongs to a guard. AcqRel: pairs with itself, so that one of two claims gets the place, and with
        // the Release in `put`.
        let since = self.since.load(Ordering::Relaxed);
        self.place.swap(None, Ordering::AcqRel).map(|place| (place, since))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct GuardSlots<S: 'static>(Pool<GuardSlot<S>, MAGAZINE>);

/// How many slots a magazine holds; at most half as many are made at once. A full magazine and the largest batch of slots are a page each.
const MAGAZINE: usize = 512;

impl<S: Sync> GuardSlots<S> {
    pub(crate) fn new(shards: usize) -> Self {
        Self(Pool::new(shards, GuardSlot::new))
    }

    /// Takes a slot for a guard.
    #[inline]
    pub(crate) fn put(
        &self,
        thread: usize,
        scope: &'static S,
        place: &'static Location<'static>,
        since: usize,
    ) -> &'static GuardSlot<S> {
        let slot = self.0.take(thread);
        // Relaxed: only the owner of the guard reads it.
        slot.scope.store(Some(scope), Ordering::Relaxed);
        // Relaxed: published by the store of the place.
        slot.since.store(since, Ordering::Relaxed);
        // Release: pairs with the Acquire in `read` and the AcqRel in `claim`.
        slot.place.store(Some(place), Ordering::Release);
        slot
    }

    /// Gives back the slot of a guard that has ended.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, slot: &'static GuardSlot<S>) {
        // Release: pairs with the Acquire in `read`: a thread that finds the slot unused sees the writes of the work that held the guard.
        slot.place.store(None, Ordering::Release);
        self.0.give_back(thread, slot);
    }

    /// Gives back the slot of a guard that was claimed, which has cleared the place.
    pub(crate) fn give_back_claimed(&self, thread: usize, slot: &'static GuardSlot<S>) {
        self.0.give_back(thread, slot);
    }

    /// Calls `f` with each slot, used or unused.
    pub(crate) fn each(&self, f: impl FnMut(&'static GuardSlot<S>)) {
        self.0.each(f);
    }
}
