//! Items that are used, given back and used again, found with a few plain instructions by the thread that needs one.
//!
//! This is the magazine and depot of Bonwick's slab allocator. Each thread has a magazine, an array of references to items that are not in use, which it
//! alone takes from and gives to; an item stays with the thread that gives it back. A thread with a full magazine hands on half of it to the depot, under a
//! lock, and a thread with an empty one takes as much from there. So a thread that only takes and another that only gives meet once in a block, and no more
//! items are made than were ever in use at once, but for two blocks in each magazine. Items are never freed.
//!
//! ```text
//!  magazine:  [ item, item, item,      │                 ]    take: the last one; give back: behind the last one
//!                                count ┘    ▲         │
//!                          empty: one block │         ▼ full: one block
//!  depot:     [ item, item, item, item, … ]                   of all threads
//!  made:      [ [item], [item; 2], [item; 4], … ]             all items, in use or not
//! ```
//!
//! The items themselves know nothing of this: a thread that takes one or gives it back writes to its own magazine, not to a cache line of the item.

use std::{array, iter};

use crate::sync::{
    atomic::{AtomicUsize, Mutex, Ordering},
    atomic_ref::AtomicRef,
};

/// The items of one thread that are not in use, at most `N`.
///
/// Only its owner uses it, so all its atomics are Relaxed. The count lies before the items, so that
/// it shares a cache line with the first few, which are all that a small program has.
#[derive(Debug)]
#[repr(C, align(128))]
struct Magazine<T: 'static, const N: usize> {
    count: AtomicUsize,
    /// How many items its owner has made the last time.
    last: AtomicUsize,
    /// Those below `count` are there.
    items: [AtomicRef<T>; N],
}

/// The magazine of a thread, once it has used one.
type Own<T, const N: usize> = AtomicRef<Magazine<T, N>>;

/// See the [module](self). A block is half a magazine, `N / 2`.
#[derive(Debug)]
pub(crate) struct Pool<T: 'static, const N: usize> {
    own: Box<[Own<T, N>]>,
    /// Of the threads that have no magazine of their own, which take turns.
    shared: (Mutex<()>, Own<T, N>),
    depot: Mutex<Vec<&'static T>>,
    made: Mutex<Vec<&'static [T]>>,
    make: fn() -> T,
}

impl<T: Sync, const N: usize> Pool<T, N> {
    /// `threads` is how many threads have a magazine of their own.
    pub(crate) fn new(threads: usize, make: fn() -> T) -> Self {
        Self {
            own: (0..threads).map(|_| Own::default()).collect(),
            shared: (Mutex::new(()), Own::default()),
            depot: Mutex::new(Vec::new()),
            made: Mutex::new(Vec::new()),
            make,
        }
    }

    /// Takes an item, or makes one.
    #[inline]
    pub(crate) fn take(&self, thread: usize) -> &'static T {
        match self.magazine(thread) {
            Some(magazine) => self.take_from(magazine),
            None => self.with_magazine(thread, |magazine| self.take_from(magazine)),
        }
    }

    /// Gives an item back. The thread that takes it next sees all that was done to it.
    #[inline]
    pub(crate) fn give_back(&self, thread: usize, item: &'static T) {
        match self.magazine(thread) {
            Some(magazine) => self.give_to(magazine, item),
            None => self.with_magazine(thread, |magazine| self.give_to(magazine, item)),
        }
    }

    /// All items there are, in use or not; also those that are made meanwhile.
    pub(crate) fn each(&self, f: impl FnMut(&'static T)) {
        // `f` is called without the lock.
        let block = |index| self.made.lock().get(index).copied();
        (0..).map_while(block).flatten().for_each(f);
    }

    #[inline]
    fn magazine(&self, thread: usize) -> Option<&'static Magazine<T, N>> {
        // Relaxed: only the owner's.
        self.own.get(thread)?.load(Ordering::Relaxed)
    }

    /// The way of a thread that has used no magazine yet, or that shares one.
    #[cold]
    fn with_magazine<R>(&self, thread: usize, f: impl FnOnce(&Magazine<T, N>) -> R) -> R {
        let (turn, shared) = &self.shared;
        let own = self.own.get(thread);
        let _turn = own.is_none().then(|| turn.lock());
        let own = own.unwrap_or(shared);
        // Relaxed, both: only the owner's, or of the thread whose turn it is.
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

    /// Makes room in a full magazine for an item, and gives it.
    #[cold]
    fn hand_on(&self, magazine: &Magazine<T, N>, item: &'static T) {
        self.depot.lock().extend(iter::from_fn(|| magazine.pop()).take(N / 2));
        magazine.push(item);
    }

    /// Fills an empty magazine with what others have handed on, or makes more, and takes an item.
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

    /// Makes twice as many as the last time. The first of them is taken, the next ones are taken in the order in which they lie in memory.
    fn make_more(&self, magazine: &Magazine<T, N>) -> &'static T {
        // Relaxed, both: only the owner's.
        let count = (magazine.last.load(Ordering::Relaxed) * 2).clamp(1, N / 2);
        magazine.last.store(count, Ordering::Relaxed);
        let items: &'static [T] = Box::leak(iter::repeat_with(self.make).take(count).collect());
        // Before any is used, so that whatever is in use is listed.
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
        // Relaxed, all: only the owner's. Below an empty one, there is no item.
        let count = self.count.load(Ordering::Relaxed).wrapping_sub(1);
        let item = self.items.get(count)?.load(Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
        item
    }

    /// Returns whether there was room.
    #[inline]
    fn push(&self, item: &'static T) -> bool {
        // Relaxed, all: only the owner's.
        let count = self.count.load(Ordering::Relaxed);
        let Some(room) = self.items.get(count) else { return false };
        room.store(Some(item), Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        true
    }
}
