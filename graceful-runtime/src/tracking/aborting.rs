//! Whether a thread is dropping aborted work.

use std::cell::Cell;

thread_local! {
    static ABORTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is dropping aborted work. Work that is dropped with it, such as a guard inside an aborted task, did not end by itself either.
pub(crate) fn is_being_aborted() -> bool {
    ABORTING.try_with(Cell::get).unwrap_or(false)
}

/// While this value lives, its thread is dropping aborted work.
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
