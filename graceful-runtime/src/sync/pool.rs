//! A pool of items that are taken and given back with a few plain instructions.
//!
//! This is the magazine and depot of Bonwick's slab allocator. Each thread has a magazine: an array of references to unused items that only this thread
//! uses. An item stays with the thread that gives it back. A thread with a full magazine moves half of it, a block, to the depot, under a
//! lock; a thread with an empty magazine takes a block from there. So a thread that only takes and a thread that only gives back meet once for each block. The pool makes no more
//! items than were ever in use at once, plus two blocks for each magazine. Items are never freed.
//!
//! ```text
//!  magazine:  [ item, item, item,      │                 ]    take: the last item; give back: append
//!                                count ┘    ▲         │
//!                          empty: one block │         ▼ full: one block
//!  depot:     [ item, item, item, item, … ]                   shared by all threads
//!  made:      [ [item], [item; 2], [item; 4], … ]             all items, in use or not
//! ```
//!
//! No bookkeeping is in the items: a thread that takes an item or gives one back writes to its own magazine, not to a cache line of the item.

use std::{array, iter};

use crate::sync::{
    atomic::{AtomicUsize, Mutex, Ordering},
    atomic_ref::AtomicRef,
};

/// The unused items of one thread, at most `N`.
///
/// Only its owner uses it, so all its atomics are Relaxed. The count comes before the items, so that it shares a cache line with the first few, which are
/// all that a small program has.
#[derive(Debug)]
#[repr(C, align(128))]
struct Magazine<T: 'static, const N: usize> {
    count: AtomicUsize,
    /// How many items its owner made the last time.
    last: AtomicUsize,
    /// The first `count` are set.
    items: [AtomicRef<T>; N],
}

/// The magazine of a thread; unset until the thread first uses the pool.
type Own<T, const N: usize> = AtomicRef<Magazine<T, N>>;

/// See the [module](self). A block is half a magazine, `N / 2`.
#[derive(Debug)]
pub(crate) struct Pool<T: 'static, const N: usize> {
    own: Box<[Own<T, N>]>,
    /// The magazine for all threads that have none of their own; they use it under the lock.
    shared: (Mutex<()>, Own<T, N>),
    depot: Mutex<Vec<&'static T>>,
    made: Mutex<Vec<&'static [T]>>,
    make: fn() -> T,
}

impl<T: Sync, const N: usize> Pool<T, N> {
    /// Makes an empty pool in which `threads` threads have a magazine of their own.
    pub(crate) fn new(threads: usize, make: fn() -> T) -> Self {
        Self {
            own: (0..threads).map(|_| Own::default()).collect(),
            shared: (Mutex::new(()), Own::default()),
            depot: Mutex::new(Vec::new()),
            made: Mutex::new(Vec::new()),
            make,
        }
    }

    /// Takes an unused item, or makes one.
    #[inline]
    pub(crate) fn take(&self, thread: usize) -> &'static T {
        match self.magazine(thread) {
            Some(magazine) => self.take_from(magazine),
            None => self.with_magazine(thread, |magazine| self.take_from(magazine)),
        }
    }

    /// Gives an item back. The thread that takes it next sees all writes to it.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, item: &'static T) {
        match self.magazine(thread) {
            Some(magazine) => self.give_to(magazine, item),
            None => self.with_magazine(thread, |magazine| self.give_to(magazine, item)),
        }
    }

    /// Calls `f` with every item, in use or not, including those that other threads make meanwhile.
    pub(crate) fn each(&self, f: impl FnMut(&'static T)) {
        // The lock is released before `f` is called.
        let block = |index| self.made.lock().get(index).copied();
        (0..).map_while(block).flatten().for_each(f);
    }

    #[inline]
    fn magazine(&self, thread: usize) -> Option<&'static Magazine<T, N>> {
        // Relaxed: only this thread writes it.
        self.own.get(thread)?.load(Ordering::Relaxed)
    }

    /// The slow path: the thread has no magazine yet, or uses the shared one.
    #[cold]
    fn with_magazine<R>(&self, thread: usize, f: impl FnOnce(&Magazine<T, N>) -> R) -> R {
        let (turn, shared) = &self.shared;
        let own = self.own.get(thread);
        let _turn = own.is_none().then(|| turn.lock());
        let own = own.unwrap_or(shared);
        // Relaxed, both: only this thread uses it, or the lock of the shared magazine is held.
        let magazine = own.load(Ordering::Relaxed).unwrap_or_else(|| {
            let new = Box::leak(Box::new(Magazine::new()));
            own.store(Some(new), Ordering::Relaxed);
            new
        });
        f(magazine)
    }

    #[inline]
    fn take_from(&self, magazine: &Magazine<T, N>) -> &'static T {
        magazine.pop().unwrap_or_else(|| self.refill(magazine))
    }

    #[inline]
    fn give_to(&self, magazine: &Magazine<T, N>, item: &'static T) {
        if !magazine.push(item) {
            self.hand_on(magazine, item);
        }
    }

    /// Moves a block from a full magazine to the depot, then adds the item.
    #[cold]
    fn hand_on(&self, magazine: &Magazine<T, N>, item: &'static T) {
        self.depot.lock().extend(iter::from_fn(|| magazine.pop()).take(N / 2));
        magazine.push(item);
    }

    /// Fills an empty magazine from the depot, or else with new items, and takes an item.
    #[cold]
    fn refill(&self, magazine: &Magazine<T, N>) -> &'static T {
        let mut depot = self.depot.lock();
        let rest = depot.len().saturating_sub(N / 2);
        for item in depot.drain(rest..) {
            magazine.push(item);
        }
        drop(depot);
        magazine.pop().unwrap_or_else(|| self.make_more(magazine))
    }

    /// Makes twice as many items as the last time, at most a block. Returns the first; the others are taken later in the order in which they lie in memory.
    fn make_more(&self, magazine: &Magazine<T, N>) -> &'static T {
        // Relaxed, both: only the owner of the magazine uses it.
        let count = (magazine.last.load(Ordering::Relaxed) * 2).clamp(1, N / 2);
        magazine.last.store(count, Ordering::Relaxed);
        let items: &'static [T] = Box::leak(iter::repeat_with(self.make).take(count).collect());
        // Before any of them is used, so that `each` finds every item in use.
        self.made.lock().push(items);
        let (first, others) = items.split_first().unwrap_or_else(|| unreachable!("at least one"));
        for item in others.iter().rev() {
            magazine.push(item);
        }
        first
    }
}

impl<T: Sync, const N: usize> Magazine<T, N> {
    fn new() -> Self {
        let items = array::from_fn(|_| AtomicRef::default());
        Self { count: AtomicUsize::new(0), last: AtomicUsize::new(0), items }
    }

    #[inline]
    fn pop(&self) -> Option<&'static T> {
        // Relaxed, all: only the owner uses it. For an empty magazine the index wraps, and `get` returns `None`.
        let count = self.count.load(Ordering::Relaxed).wrapping_sub(1);
        let item = self.items.get(count)?.load(Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
        item
    }

    /// Adds an item. Returns `false` if the magazine is full.
    #[inline]
    fn push(&self, item: &'static T) -> bool {
        // Relaxed, all: only the owner uses it.
        let count = self.count.load(Ordering::Relaxed);
        let Some(room) = self.items.get(count) else { return false };
        room.store(Some(item), Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        true
    }
}
