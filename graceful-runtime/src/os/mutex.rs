//! A mutex without poison. The library runs no user code under a lock, so no panic leaves guarded data half changed.

use std::sync::{self, MutexGuard, PoisonError};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
