//! Where guards were taken: a slot for each, found and given back with plain instructions by the thread that owns it.
//!
//! A lane's slots belong to one thread, which alone takes from `free`. A guard that is dropped on another thread gives its slot back through
//! `returned`, which the owner takes over as a whole when it has nothing else; so no slot can come back between the two looks of a push.
//! Slots are kept for the next guard: as many as were ever held at once, 32 bytes each.
//!
//! ```text
//!  owner:  free ──► slot ──► slot                 put: take the first      give back: push
//!  others: returned ──► slot ──► slot             give back: push, with a locked instruction
//!  lister: blocks ──► [slot; 64] ──► [slot; 64]   a slot with a place is a guard
//! ```

use std::panic::Location;

use crate::sync::{AtomicRef, AtomicUsize, Mutex, Ordering};

/// One guard, or room for one.
#[derive(Debug)]
pub(crate) struct Slot {
    /// `None`: free.
    place: AtomicRef<Location<'static>>,
    /// On the clock of [`crate::clock`].
    since: AtomicUsize,
    /// The next free one.
    next: AtomicRef<Self>,
    lane: usize,
}

#[derive(Debug)]
struct Block {
    slots: Box<[Slot]>,
    next: Option<&'static Self>,
}

/// The slots of one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    free: AtomicRef<Slot>,
    returned: AtomicRef<Slot>,
    blocks: AtomicRef<Block>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Places {
    lanes: Box<[Lane]>,
    /// Of the threads that have no lane, which take turns at owning it.
    shared: (Mutex<()>, Lane),
}

/// How many slots are made at once.
const BLOCK: usize = 64;

impl Places {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            shared: (Mutex::new(()), Lane::default()),
        }
    }

    /// Notes a guard.
    #[inline]
    pub(crate) fn put(
        &self,
        thread: usize,
        place: &'static Location<'static>,
        since: usize,
    ) -> &'static Slot {
        let Some(lane) = self.lanes.get(thread) else { return self.put_shared(place, since) };
        lane.put(thread, place, since)
    }

    #[cold]
    fn put_shared(&self, place: &'static Location<'static>, since: usize) -> &'static Slot {
        let (turn, lane) = &self.shared;
        let _turn = turn.lock();
        lane.put(self.lanes.len(), place, since)
    }

    /// Forgets a guard.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, slot: &'static Slot) {
        // Release: pairs with the Acquire of `each`, so that a place is never seen with the time of a later guard.
        slot.place.store(None, Ordering::Release);
        match self.lanes.get(thread) {
            Some(lane) if slot.lane == thread => {
                // Relaxed, both: nobody else uses them.
                slot.next.store(lane.free.load(Ordering::Relaxed), Ordering::Relaxed);
                lane.free.store(Some(slot), Ordering::Relaxed);
            }
            _ => self.lanes.get(slot.lane).unwrap_or(&self.shared.1).take_back(slot),
        }
    }

    /// Each guard that is held, with its place and time.
    pub(crate) fn each(&self, mut f: impl FnMut(&'static Location<'static>, usize)) {
        for lane in self.lanes.iter().chain([&self.shared.1]) {
            // Acquire: pairs with the Release in `grow`, so that the slots are seen as they were made.
            let mut next = lane.blocks.load(Ordering::Acquire);
            while let Some(block) = next {
                for slot in &block.slots {
                    // Acquire: pairs with the Release in `Lane::put`, so that its time is seen with it. Relaxed: comes with it.
                    if let Some(place) = slot.place.load(Ordering::Acquire) {
                        f(place, slot.since.load(Ordering::Relaxed));
                    }
                }
                next = block.next;
            }
        }
    }
}

impl Slot {
    /// Where the guard was taken, and when; `None` for a slot that was given back.
    pub(crate) fn read(&self) -> Option<(&'static Location<'static>, usize)> {
        // Acquire, Relaxed: as in `Places::each`.
        let place = self.place.load(Ordering::Acquire)?;
        Some((place, self.since.load(Ordering::Relaxed)))
    }
}

impl Lane {
    #[inline]
    fn put(&self, index: usize, place: &'static Location<'static>, since: usize) -> &'static Slot {
        // Relaxed: only the owner takes from here, and gives to it.
        let slot = self.free.load(Ordering::Relaxed).unwrap_or_else(|| self.refill(index));
        self.free.store(slot.next.load(Ordering::Relaxed), Ordering::Relaxed);
        // Relaxed: published by the place.
        slot.since.store(since, Ordering::Relaxed);
        // Release: pairs with the Acquire of `each`.
        slot.place.store(Some(place), Ordering::Release);
        slot
    }

    /// Takes what others have given back, or makes more.
    #[cold]
    fn refill(&self, index: usize) -> &'static Slot {
        // Acquire: pairs with the Release of `take_back`, so that `next` is seen.
        if let Some(slot) = self.returned.swap(None, Ordering::Acquire) {
            return slot;
        }
        let slot = |_| Slot {
            place: AtomicRef::default(),
            since: AtomicUsize::new(0),
            next: AtomicRef::default(),
            lane: index,
        };
        // Relaxed: only the owner writes it.
        let next = self.blocks.load(Ordering::Relaxed);
        let block: &'static Block =
            Box::leak(Box::new(Block { slots: (0..BLOCK).map(slot).collect(), next }));
        for (slot, next) in block.slots.iter().zip(block.slots.iter().skip(1)) {
            slot.next.store(Some(next), Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of `each`.
        self.blocks.store(Some(block), Ordering::Release);
        &block.slots[0]
    }

    /// From a thread that is not the owner.
    #[cold]
    fn take_back(&self, slot: &'static Slot) {
        let mut head = self.returned.load(Ordering::Relaxed);
        loop {
            slot.next.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire of `refill`. Relaxed: tried again with what is there.
            match self.returned.compare_exchange(
                head,
                Some(slot),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(()) => return,
                Err(now) => head = now,
            }
        }
    }
}
