//! Small dense numbers for threads, given again when a thread has ended: the index of what a thread has for itself.
//!
//! A number belongs to one thread at a time. It passes on through the lock, so whatever its last owner wrote is seen by the next.

use std::cell::Cell;

use crate::os::mutex::Mutex;

/// Not asked for yet, or the thread is on its end: no table has this many entries.
pub(crate) const NONE: usize = usize::MAX;

struct Numbers {
    free: Vec<usize>,
    next: usize,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { free: Vec::new(), next: 0 });

/// Gives the number back when the thread ends.
struct Lease(usize);

thread_local! {
    /// Beside the lease, because what has no destructor is one load away.
    static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    static LEASE: Lease = Lease::new();
}

impl Lease {
    fn new() -> Self {
        let mut numbers = NUMBERS.lock();
        let free = numbers.free.pop();
        Self(free.unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        NUMBER.set(NONE);
        NUMBERS.lock().free.push(self.0);
    }
}

/// The number of this thread; larger than any table where it has none.
#[inline]
pub(crate) fn current() -> usize {
    NUMBER.get()
}

/// Gets this thread its number, if it can still have one.
#[cold]
pub(crate) fn obtain() -> usize {
    // After the lease has gone, what other thread-locals drop finds none.
    let number = LEASE.try_with(|lease| lease.0).unwrap_or(NONE);
    NUMBER.set(number);
    number
}
