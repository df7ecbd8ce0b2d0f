//! Where guards were taken: a slot for each.
//!
//! The slots are a [`Pool`]: as many as there ever were guards at once, 24 bytes each. A slot that has a place is a guard.

use std::panic::Location;

use crate::sync::{
    atomic::{AtomicUsize, Ordering},
    atomic_ref::AtomicRef,
    pool::Pool,
};

/// One guard, or room for one, in a scope `S`.
#[derive(Debug)]
pub(crate) struct GuardSlot<S: 'static> {
    /// `None`: free.
    place: AtomicRef<Location<'static>>,
    /// On the clock of the program.
    since: AtomicUsize,
    /// Here and not in the guard, which is then one word: of two, both are moved in one step, which waits for the writes of each.
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

    /// Where the guard was taken, and when; `None` for one that is free.
    pub(crate) fn read(&self) -> Option<(&'static Location<'static>, usize)> {
        // Acquire: pairs with the Release in `put`, so that the time is seen that belongs to it, or a later guard's. Relaxed: comes with it.
        let place = self.place.load(Ordering::Acquire)?;
        Some((place, self.since.load(Ordering::Relaxed)))
    }

    /// When the guard was taken that has, or had, this slot.
    pub(crate) fn since(&self) -> usize {
        // Relaxed: asked by the thread that has the slot.
        self.since.load(Ordering::Relaxed)
    }

    /// The scope of the guard that has, or had, this slot; `None`: it had none.
    #[inline]
    pub(crate) fn scope(&self) -> Option<&'static S> {
        // Relaxed: asked by who has the guard.
        self.scope.load(Ordering::Relaxed)
    }

    /// Reads it, and lets nobody read it again: what is claimed is reported once.
    pub(crate) fn claim(&self) -> Option<(&'static Location<'static>, usize)> {
        // Relaxed: of the guard, whose place comes next. AcqRel: one of two that claim it gets it.
        let since = self.since.load(Ordering::Relaxed);
        self.place.swap(None, Ordering::AcqRel).map(|place| (place, since))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct GuardSlots<S: 'static>(Pool<GuardSlot<S>, MAGAZINE>);

/// How many slots a magazine has, twice as many as are made at once, at most: the magazine and what is made are a page each.
const MAGAZINE: usize = 512;

impl<S: Sync> GuardSlots<S> {
    pub(crate) fn new(shards: usize) -> Self {
        Self(Pool::new(shards, GuardSlot::new))
    }

    /// Notes a guard.
    #[inline]
    pub(crate) fn put(
        &self,
        thread: usize,
        scope: &'static S,
        place: &'static Location<'static>,
        since: usize,
    ) -> &'static GuardSlot<S> {
        let slot = self.0.take(thread);
        // Relaxed: only who has the guard asks for it.
        slot.scope.store(Some(scope), Ordering::Relaxed);
        // Relaxed: published by the place.
        slot.since.store(since, Ordering::Relaxed);
        // Release: pairs with the Acquire of `read`.
        slot.place.store(Some(place), Ordering::Release);
        slot
    }

    /// Forgets a guard.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, slot: &'static GuardSlot<S>) {
        // Release: whoever sees it gone sees what was done before.
        slot.place.store(None, Ordering::Release);
        self.0.give_back(thread, slot);
    }

    /// Forgets a guard that was claimed.
    pub(crate) fn give_back_claimed(&self, thread: usize, slot: &'static GuardSlot<S>) {
        self.0.give_back(thread, slot);
    }

    /// Each slot, of a guard or free.
    pub(crate) fn each(&self, f: impl FnMut(&'static GuardSlot<S>)) {
        self.0.each(f);
    }
}
