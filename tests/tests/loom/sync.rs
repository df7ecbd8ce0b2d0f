//! The model checker's stand-in for `graceful::sync`.

use std::ptr;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use loom::sync::atomic::{AtomicPtr, fence};

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

pub(crate) fn heavy_fence() {
    fence(Ordering::SeqCst);
}

#[derive(Debug)]
pub(crate) struct AtomicRef<T: 'static>(AtomicPtr<T>);

impl<T> Default for AtomicRef<T> {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl<T> AtomicRef<T> {
    pub(crate) fn load(&self, order: Ordering) -> Option<&'static T> {
        // SAFETY: null, or a `&'static T` that was stored.
        unsafe { self.0.load(order).as_ref() }
    }

    pub(crate) fn store(&self, value: Option<&'static T>, order: Ordering) {
        self.0.store(pointer(value), order);
    }

    pub(crate) fn swap(&self, value: Option<&'static T>, order: Ordering) -> Option<&'static T> {
        // SAFETY: as in `load`.
        unsafe { self.0.swap(pointer(value), order).as_ref() }
    }

    pub(crate) fn compare_exchange(
        &self,
        old: Option<&'static T>,
        new: Option<&'static T>,
        success: Ordering,
        failure: Ordering,
    ) -> Result<(), Option<&'static T>> {
        let result = self.0.compare_exchange(pointer(old), pointer(new), success, failure);
        // SAFETY: as in `load`.
        result.map(drop).map_err(|now| unsafe { now.as_ref() })
    }
}

fn pointer<T>(value: Option<&'static T>) -> *mut T {
    value.map_or(ptr::null_mut(), |value| ptr::from_ref(value).cast_mut())
}
