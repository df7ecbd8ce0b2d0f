//! The atomics, fences and locks of the concurrent core. The model checker compiles the same core on its own atomics by replacing this module; see
//! `tests/tests/loom.rs`.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicUsize, Ordering};

pub(crate) use crate::os::{
    mutex::Mutex,
    sys::{heavy_fence, light_fence},
};

/// Adds one to a counter that only this thread writes, without a locked instruction.
#[inline]
pub(crate) fn add_one(counter: &AtomicUsize, order: Ordering) {
    // Relaxed: this thread wrote the last value, or the previous owner of its index did, whose writes the lock in `thread_index` has passed on.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), order);
}

/// Subtracts one from a counter that only this thread writes.
#[inline]
pub(crate) fn take_one(counter: &AtomicUsize, order: Ordering) {
    // Relaxed: as in `add_one`.
    counter.store(counter.load(Ordering::Relaxed).wrapping_sub(1), order);
}
