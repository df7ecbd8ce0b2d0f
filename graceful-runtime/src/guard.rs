//! One piece of work in flight, without a task of its own.

use std::panic::Location;

use crate::{
    part::{Origin, Part},
    places::Slot,
};

/// One piece of work in flight, until dropped, on any thread, on any runtime or none.
///
/// The drain waits for it. A force cannot end it: one that is still there afterwards is left behind and reported.
///
/// A clone of a guard is a further piece of work; it is let in for as long as work that belongs to running work is, that is
/// until finalization begins.
///
/// Taking and dropping one costs a few nanoseconds and no more on many threads than on one: nothing that other threads
/// write is written. What it leaves behind is room for the next one of its thread, 40 bytes.
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as the guard is dropped"]
pub struct Guard {
    part: &'static Part,
    /// `None`: refused, because finalization had begun.
    slot: Option<&'static Slot>,
}

impl Guard {
    #[inline]
    pub(crate) fn new(part: &'static Part, place: &'static Location<'static>) -> Self {
        let slot = part.guard(Origin::Inside, place);
        if slot.is_none() {
            warn_refused(place);
        }
        Self { part, slot }
    }

    #[inline]
    pub(crate) fn try_new(part: &'static Part, place: &'static Location<'static>) -> Option<Self> {
        part.guard(Origin::Outside, place).map(|slot| Self { part, slot: Some(slot) })
    }

    /// Whether the guard counts: it does not if it was asked for after finalization had begun.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.slot.is_some()
    }
}

#[cold]
fn warn_refused(place: &Location<'_>) {
    tracing::warn!(target: "graceful", guard = %place, "refused: finalization has begun");
}

impl Clone for Guard {
    fn clone(&self) -> Self {
        match self.slot.and_then(Slot::read) {
            Some((place, _)) => Self::new(self.part, place),
            None => Self { part: self.part, slot: None },
        }
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.part.end_guard(slot);
        }
    }
}
