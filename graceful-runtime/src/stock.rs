//! Things that are used, given back and used again, found with plain instructions by the thread that needs one.
//!
//! Each thread has a shelf, which it alone takes from and gives to: what was taken on another thread stays with the thread that gives it back. A
//! thread that only gives, because another only takes, hands on a whole pile at once, under a lock; a thread with an empty shelf takes one pile. So no
//! more is made than was ever in use at once, but for two piles on each shelf. Whatever was ever made stays, for the next use.
//!
//! ```text
//!  shelf:  top ──► item ──► item ──► item      take: the top; give back: push; two piles high: the upper one is handed on
//!  piles:  [pile, pile, …]                     handed on by all threads
//!  lister: made ──► item ──► item ──► item     whatever was ever made, in use or not
//! ```

use crate::sync::{AtomicRef, AtomicUsize, Mutex, Ordering};

/// What a stock needs of each of its items.
#[derive(Debug)]
pub(crate) struct Link<T: 'static> {
    /// The next one that is not in use.
    next: AtomicRef<T>,
    /// How high it lies on its shelf, or in its pile.
    height: AtomicUsize,
    /// The one that was made before it. In the item, because an allocation beside it would be one more.
    before: AtomicRef<T>,
}

/// An item of a stock.
pub(crate) trait Item: Sized + Sync + 'static {
    fn link(&self) -> &Link<Self>;
}

/// The items of one thread that are not in use.
#[derive(Debug)]
#[repr(align(128))]
struct Shelf<T: 'static> {
    /// Only the owner uses it, so it is Relaxed, as are the links of what lies there.
    top: AtomicRef<T>,
    made: AtomicRef<T>,
    /// How many were made the last time.
    last: AtomicUsize,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Stock<T: 'static> {
    shelves: Box<[Shelf<T>]>,
    /// Of the threads that have no shelf, which take turns at owning it.
    shared: (Mutex<()>, Shelf<T>),
    /// What has been handed on: the top of each pile.
    piles: Mutex<Vec<&'static T>>,
    make: fn(Link<T>) -> T,
    /// How many a pile has, and how many are made at once, at most.
    block: usize,
}

impl<T: Item> Stock<T> {
    pub(crate) fn new(shelves: usize, block: usize, make: fn(Link<T>) -> T) -> Self {
        let shared = (Mutex::new(()), Shelf::new());
        let shelves = (0..shelves).map(|_| Shelf::new()).collect();
        Self { shelves, shared, piles: Mutex::new(Vec::new()), make, block }
    }

    /// Takes an item, or makes one.
    #[inline]
    pub(crate) fn take(&self, thread: usize) -> &'static T {
        let Some(shelf) = self.shelves.get(thread) else { return self.take_shared() };
        shelf.pop().unwrap_or_else(|| self.refill(shelf))
    }

    /// Gives an item back. The thread that takes it next sees all that was done to it.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, item: &'static T) {
        let Some(shelf) = self.shelves.get(thread) else { return self.give_back_shared(item) };
        self.push(shelf, item);
    }

    #[inline]
    fn push(&self, shelf: &Shelf<T>, item: &'static T) {
        if shelf.push(item) >= 2 * self.block {
            self.hand_on(shelf);
        }
    }

    /// All items there are, in use or not.
    pub(crate) fn each(&self, mut f: impl FnMut(&'static T)) {
        for shelf in self.shelves.iter().chain([&self.shared.1]) {
            // Acquire: pairs with the Release in `make_more`, so that the items are seen as they were made.
            let mut next = shelf.made.load(Ordering::Acquire);
            while let Some(item) = next {
                f(item);
                // Relaxed: comes with the item.
                next = item.link().before.load(Ordering::Relaxed);
            }
        }
    }

    #[cold]
    fn take_shared(&self) -> &'static T {
        let (turn, shelf) = &self.shared;
        let _turn = turn.lock();
        shelf.pop().unwrap_or_else(|| self.refill(shelf))
    }

    #[cold]
    fn give_back_shared(&self, item: &'static T) {
        let (turn, shelf) = &self.shared;
        let _turn = turn.lock();
        self.push(shelf, item);
    }

    /// Hands on the upper one of two piles.
    #[cold]
    fn hand_on(&self, shelf: &Shelf<T>) {
        let pile = shelf.take_pile(self.block);
        self.piles.lock().extend(pile);
    }

    /// Takes a pile that others have handed on, or makes more: twice as many each time.
    #[cold]
    fn refill(&self, shelf: &Shelf<T>) -> &'static T {
        let handed_on = self.piles.lock().pop();
        // Relaxed: only the owner's.
        shelf.top.store(handed_on.or_else(|| self.make_more(shelf)), Ordering::Relaxed);
        shelf.pop().unwrap_or_else(|| unreachable!("it was just filled"))
    }

    fn make_more(&self, shelf: &Shelf<T>) -> Option<&'static T> {
        // Relaxed, all that are not said otherwise: only the owner's.
        let count = (shelf.last.load(Ordering::Relaxed) * 2).clamp(1, self.block);
        shelf.last.store(count, Ordering::Relaxed);
        let link = || Link {
            next: AtomicRef::default(),
            height: AtomicUsize::new(0),
            before: AtomicRef::default(),
        };
        let items: &'static [T] = Box::leak((0..count).map(|_| (self.make)(link())).collect());
        let mut before = shelf.made.load(Ordering::Relaxed);
        let mut rest = None;
        for item in items {
            item.link().before.store(before.replace(item), Ordering::Relaxed);
            item.link().next.store(rest.replace(item), Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of `each`.
        shelf.made.store(before, Ordering::Release);
        rest
    }
}

/// Used by the owner alone, so all is Relaxed.
impl<T: Item> Shelf<T> {
    fn new() -> Self {
        Self { top: AtomicRef::default(), made: AtomicRef::default(), last: AtomicUsize::new(0) }
    }

    #[inline]
    fn pop(&self) -> Option<&'static T> {
        let item = self.top.load(Ordering::Relaxed)?;
        self.top.store(item.link().next.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(item)
    }

    /// Returns how high it lies.
    #[inline]
    fn push(&self, item: &'static T) -> usize {
        let top = self.top.load(Ordering::Relaxed);
        let height = top.map_or(0, |top| top.link().height.load(Ordering::Relaxed)) + 1;
        item.link().height.store(height, Ordering::Relaxed);
        item.link().next.store(top, Ordering::Relaxed);
        self.top.store(Some(item), Ordering::Relaxed);
        height
    }

    /// Takes a pile of so many from the top, which are there.
    fn take_pile(&self, count: usize) -> Option<&'static T> {
        let top = self.top.load(Ordering::Relaxed);
        let mut bottom = None;
        for height in (1..=count).rev() {
            let item = self.pop()?;
            item.link().height.store(height, Ordering::Relaxed);
            bottom = Some(item);
        }
        bottom?.link().next.store(None, Ordering::Relaxed);
        top
    }
}
