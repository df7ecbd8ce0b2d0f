//! What the concurrent core stands on. The model checker compiles the same core on its own atomics, by putting another module in
//! this place; see `tests/tests/loom.rs`.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicUsize, Ordering};

pub(crate) use crate::os::{
    mutex::Mutex,
    sys::{heavy_fence, light_fence},
};

/// Adds one to a counter that only this thread writes: no locked instruction.
#[inline]
pub(crate) fn add_one(counter: &AtomicUsize, order: Ordering) {
    // Relaxed: its own last value, or that of the thread that had its number before, which came with the number.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), order);
}

/// Takes one off such a counter.
#[inline]
pub(crate) fn take_one(counter: &AtomicUsize, order: Ordering) {
    // Relaxed: as in `add_one`.
    counter.store(counter.load(Ordering::Relaxed).wrapping_sub(1), order);
}
