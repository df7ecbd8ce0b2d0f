//! Where guards were taken: a slot for each.
//!
//! The slots are a [`Stock`]: as many as there ever were guards at once, 40 bytes each. A slot that has a place is a guard.

use std::panic::Location;

use crate::{
    stock::{Item, Link, Stock},
    sync::{AtomicRef, AtomicUsize, Ordering},
};

/// One guard, or room for one.
#[derive(Debug)]
pub(crate) struct Slot {
    /// `None`: free.
    place: AtomicRef<Location<'static>>,
    /// On the clock of the program.
    since: AtomicUsize,
    link: Link<Self>,
}

impl Item for Slot {
    #[inline]
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Slot {
    fn new(link: Link<Self>) -> Self {
        Self { place: AtomicRef::default(), since: AtomicUsize::new(0), link }
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

    /// Reads it, and lets nobody read it again: what is claimed is reported once.
    pub(crate) fn claim(&self) -> Option<(&'static Location<'static>, usize)> {
        // Relaxed: of the guard, whose place comes next. AcqRel: one of two that claim it gets it.
        let since = self.since.load(Ordering::Relaxed);
        self.place.swap(None, Ordering::AcqRel).map(|place| (place, since))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Places(Stock<Slot>);

/// How many slots are made at once, at most: two and a half pages.
const BLOCK: usize = 256;

impl Places {
    pub(crate) fn new(lanes: usize) -> Self {
        Self(Stock::new(lanes, BLOCK, Slot::new))
    }

    /// Notes a guard.
    #[inline]
    pub(crate) fn put(
        &self,
        thread: usize,
        place: &'static Location<'static>,
        since: usize,
    ) -> &'static Slot {
        let slot = self.0.take(thread);
        // Relaxed: published by the place.
        slot.since.store(since, Ordering::Relaxed);
        // Release: pairs with the Acquire of `read`.
        slot.place.store(Some(place), Ordering::Release);
        slot
    }

    /// Forgets a guard.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, slot: &'static Slot) {
        // Release: whoever sees it gone sees what was done before.
        slot.place.store(None, Ordering::Release);
        self.0.give_back(thread, slot);
    }

    /// Forgets a guard that was claimed.
    pub(crate) fn give_back_claimed(&self, thread: usize, slot: &'static Slot) {
        self.0.give_back(thread, slot);
    }

    /// Each slot, of a guard or free.
    pub(crate) fn each(&self, f: impl FnMut(&'static Slot)) {
        self.0.each(f);
    }
}
