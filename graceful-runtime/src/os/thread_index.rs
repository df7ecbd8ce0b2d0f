//! A small index for each thread, for tables with one entry per thread. The index of a thread that has ended is used again.
//!
//! An index belongs to one thread at a time. It changes its owner under a lock, so the next owner sees all writes of the last one.

use std::cell::Cell;

use crate::os::mutex::Mutex;

/// The thread has no index, because it has not obtained one or is ending. No table has this many entries.
pub(crate) const NONE: usize = usize::MAX;

struct Indices {
    /// Indices of threads that have ended.
    free: Vec<usize>,
    /// The first index that was never used.
    next: usize,
}

static INDICES: Mutex<Indices> = Mutex::new(Indices { free: Vec::new(), next: 0 });

/// The right to an index, returned when the thread ends.
struct Lease(usize);

thread_local! {
    /// A copy of the lease's index: reading a thread-local without a destructor takes one load.
    static INDEX: Cell<usize> = const { Cell::new(NONE) };
    static LEASE: Lease = Lease::new();
}

impl Lease {
    fn new() -> Self {
        let mut indices = INDICES.lock();
        let free = indices.free.pop();
        Self(free.unwrap_or_else(|| {
            indices.next += 1;
            indices.next - 1
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        INDEX.set(NONE);
        INDICES.lock().free.push(self.0);
    }
}

/// The index of this thread, or [`NONE`].
#[inline]
pub(crate) fn current() -> usize {
    INDEX.get()
}

/// Obtains an index for this thread. Returns [`NONE`] if the thread is ending.
#[cold]
pub(crate) fn obtain() -> usize {
    // The destructor of another thread-local may run after the lease was dropped.
    let index = LEASE.try_with(|lease| lease.0).unwrap_or(NONE);
    INDEX.set(index);
    index
}
