//! The model checker's stand-in for `graceful::sync::atomic`.

use loom::sync::atomic::fence;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        // A model that panics is over.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What `membarrier` makes of the fast side.
pub(crate) fn light_fence() {
    fence(Ordering::SeqCst);
}

/// One step, because of a store the checker only sees the access before it: of a load and a store, the load, which conflicts with nobody's.
pub(crate) fn add_one(counter: &AtomicUsize, order: Ordering) {
    counter.fetch_add(1, order);
}

pub(crate) fn take_one(counter: &AtomicUsize, order: Ordering) {
    counter.fetch_sub(1, order);
}

pub(crate) fn heavy_fence() {
    fence(Ordering::SeqCst);
}
