//! Things that are used, given back and used again, found with plain instructions by the thread that owns them.
//!
//! A lane belongs to one thread, which alone takes from `free`. What is given back on another thread goes through `returned`, which the owner
//! takes over as a whole when it has nothing else: so nothing can leave and come back between the two looks of a push. What was ever
//! made stays, for the next use.
//!
//! ```text
//!  owner:  free ──► item ──► item                 take: the first          give back: push
//!  others: returned ──► item ──► item             give back: push, with a locked instruction
//!  lister: made ──► item ──► item ──► item        whatever was ever made, in use or not
//! ```

use crate::sync::{AtomicRef, AtomicUsize, Mutex, Ordering};

/// What a stock needs of each of its items.
#[derive(Debug)]
pub(crate) struct Link<T: 'static> {
    /// The next one that is not in use.
    next: AtomicRef<T>,
    /// The one that was made before it. In the item, because an allocation beside it would be one more.
    before: AtomicRef<T>,
    lane: usize,
}

/// An item of a stock.
pub(crate) trait Item: Sized + Sync + 'static {
    fn link(&self) -> &Link<Self>;
}

/// The items of one thread.
#[derive(Debug)]
#[repr(align(128))]
struct Lane<T: 'static> {
    free: AtomicRef<T>,
    returned: AtomicRef<T>,
    made: AtomicRef<T>,
    /// How many were made the last time.
    last: AtomicUsize,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Stock<T: 'static> {
    lanes: Box<[Lane<T>]>,
    /// Of the threads that have no lane, which take turns at owning it.
    shared: (Mutex<()>, Lane<T>),
    make: fn(Link<T>) -> T,
    /// How many are made at once, at most.
    block: usize,
}

impl<T: Item> Stock<T> {
    pub(crate) fn new(lanes: usize, block: usize, make: fn(Link<T>) -> T) -> Self {
        let shared = (Mutex::new(()), Lane::new());
        Self { lanes: (0..lanes).map(|_| Lane::new()).collect(), shared, make, block }
    }

    /// Takes an item, or makes one.
    #[inline]
    pub(crate) fn take(&self, thread: usize) -> &'static T {
        let Some(lane) = self.lanes.get(thread) else { return self.take_shared() };
        lane.pop().unwrap_or_else(|| self.refill(lane, thread))
    }

    /// Gives an item back. Who takes it next sees all that was done to it.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, item: &'static T) {
        let owner = item.link().lane;
        match self.lanes.get(thread) {
            Some(lane) if owner == thread => lane.push(item),
            _ => self.lanes.get(owner).unwrap_or(&self.shared.1).push_from_outside(item),
        }
    }

    /// All items there are, in use or not.
    pub(crate) fn each(&self, mut f: impl FnMut(&'static T)) {
        for lane in self.lanes.iter().chain([&self.shared.1]) {
            // Acquire: pairs with the Release in `make_more`, so that the items are seen as they were made.
            let mut next = lane.made.load(Ordering::Acquire);
            while let Some(item) = next {
                f(item);
                // Relaxed: comes with the item.
                next = item.link().before.load(Ordering::Relaxed);
            }
        }
    }

    #[cold]
    fn take_shared(&self) -> &'static T {
        let (turn, lane) = &self.shared;
        let _turn = turn.lock();
        lane.pop().unwrap_or_else(|| self.refill(lane, self.lanes.len()))
    }

    /// Takes what others have given back, or makes more: twice as many each time.
    #[cold]
    fn refill(&self, lane: &Lane<T>, index: usize) -> &'static T {
        // Acquire: pairs with the Release of `push_from_outside`.
        let mut rest = lane.returned.swap(None, Ordering::Acquire);
        if rest.is_none() {
            rest = self.make_more(lane, index);
        }
        // Relaxed: only the owner's.
        lane.free.store(rest, Ordering::Relaxed);
        lane.pop().unwrap_or_else(|| unreachable!("it was just filled"))
    }

    fn make_more(&self, lane: &Lane<T>, index: usize) -> Option<&'static T> {
        // Relaxed, all that are not said otherwise: only the owner's.
        let count = (lane.last.load(Ordering::Relaxed) * 2).clamp(1, self.block);
        lane.last.store(count, Ordering::Relaxed);
        let link =
            || Link { next: AtomicRef::default(), before: AtomicRef::default(), lane: index };
        let items: &'static [T] = Box::leak((0..count).map(|_| (self.make)(link())).collect());
        let mut before = lane.made.load(Ordering::Relaxed);
        let mut rest = None;
        for item in items {
            item.link().before.store(before.replace(item), Ordering::Relaxed);
            item.link().next.store(rest.replace(item), Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of `each`.
        lane.made.store(before, Ordering::Release);
        rest
    }
}

impl<T: Item> Lane<T> {
    fn new() -> Self {
        Self {
            free: AtomicRef::default(),
            returned: AtomicRef::default(),
            made: AtomicRef::default(),
            last: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn pop(&self) -> Option<&'static T> {
        // Relaxed, all: only the owner takes from here, and gives to it.
        let item = self.free.load(Ordering::Relaxed)?;
        self.free.store(item.link().next.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(item)
    }

    #[inline]
    fn push(&self, item: &'static T) {
        // Relaxed, all: as in `pop`.
        item.link().next.store(self.free.load(Ordering::Relaxed), Ordering::Relaxed);
        self.free.store(Some(item), Ordering::Relaxed);
    }

    /// From a thread that is not the owner.
    #[cold]
    fn push_from_outside(&self, item: &'static T) {
        let mut head = self.returned.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange.
            item.link().next.store(head, Ordering::Relaxed);
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            // Release: pairs with the Acquire in `refill`. Relaxed: tried again with what is there.
            match self.returned.compare_exchange(head, Some(item), success, failure) {
                Ok(()) => return,
                Err(now) => head = now,
            }
        }
    }
}
