//! Whether a thread is in the middle of dropping work that was aborted.

use std::cell::Cell;

thread_local! {
    static ABORTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is dropping work that was aborted, so that what is dropped with it did not end by itself.
pub(crate) fn is_being_aborted() -> bool {
    ABORTING.try_with(Cell::get).unwrap_or(false)
}

/// From its begin until it is dropped, this thread drops work that was aborted.
pub(crate) struct Aborting {
    outer: bool,
}

impl Aborting {
    pub(crate) fn begin() -> Self {
        Self { outer: ABORTING.replace(true) }
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        ABORTING.set(self.outer);
    }
}
