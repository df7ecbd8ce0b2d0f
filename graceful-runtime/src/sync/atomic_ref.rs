//! A `&'static T` that threads share and replace. It uses the atomics of [`crate::sync::atomic`], so that the model checker covers it together with its users.

#![allow(
    unsafe_code,
    reason = "the only unsafe code outside `os::sys`, so that the model checker compiles it on its own atomics"
)]

use std::ptr;

use crate::sync::atomic::{AtomicPtr, Ordering};

/// An atomic `Option<&'static T>`.
#[derive(Debug)]
pub(crate) struct AtomicRef<T: 'static>(AtomicPtr<T>);

impl<T> Default for AtomicRef<T> {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl<T: Sync> AtomicRef<T> {
    #[inline]
    pub(crate) fn load(&self, order: Ordering) -> Option<&'static T> {
        // SAFETY: the pointer is null or was a `&'static T` in `store` or `swap`; nothing is ever written through it.
        unsafe { self.0.load(order).as_ref() }
    }

    #[inline]
    pub(crate) fn store(&self, value: Option<&'static T>, order: Ordering) {
        self.0.store(pointer(value), order);
    }

    pub(crate) fn swap(&self, value: Option<&'static T>, order: Ordering) -> Option<&'static T> {
        // SAFETY: as in `load`.
        unsafe { self.0.swap(pointer(value), order).as_ref() }
    }
}

fn pointer<T>(value: Option<&'static T>) -> *mut T {
    value.map_or(ptr::null_mut(), |value| ptr::from_ref(value).cast_mut())
}
