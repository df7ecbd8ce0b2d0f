//! One piece of work in flight, without a task of its own.

use std::{panic::Location, sync::OnceLock};

use crate::tracking::scope::{GuardSlot, Origin, Scope};

/// One piece of work in flight, until dropped, on any thread, on any runtime or none.
///
/// The drain waits for it. A force cannot end it: one that is still there afterwards is left behind and reported.
///
/// A clone of a guard is a further piece of work; it is let in for as long as work that belongs to running work is, that is
/// until finalization begins.
///
/// Taking and dropping one costs a few nanoseconds and no more on many threads than on one: nothing that other threads
/// write is written. What it leaves behind is room for the next one of its thread, 24 bytes.
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as the guard is dropped"]
pub struct Guard {
    /// Without a scope: refused, because finalization had begun.
    slot: &'static GuardSlot,
}

impl Guard {
    #[inline]
    pub(crate) fn new(scope: &'static Scope, place: &'static Location<'static>) -> Self {
        let slot = scope.guard(Origin::Inside, place).unwrap_or_else(|| refused(place));
        Self { slot }
    }

    #[inline]
    pub(crate) fn try_new(
        scope: &'static Scope,
        place: &'static Location<'static>,
    ) -> Option<Self> {
        scope.guard(Origin::Outside, place).map(|slot| Self { slot })
    }

    /// Whether the guard counts: it does not if it was asked for after finalization had begun.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.slot.scope().is_some()
    }
}

#[cold]
fn refused(place: &Location<'_>) -> &'static GuardSlot {
    tracing::warn!(target: "graceful", guard = %place, "refused: finalization has begun");
    nowhere()
}

/// The slot of all guards that do not count.
fn nowhere() -> &'static GuardSlot {
    static NOWHERE: OnceLock<GuardSlot> = OnceLock::new();
    NOWHERE.get_or_init(GuardSlot::new)
}

impl Clone for Guard {
    fn clone(&self) -> Self {
        match (self.slot.scope(), self.slot.read()) {
            (Some(scope), Some((place, _))) => Self::new(scope, place),
            _ => Self { slot: nowhere() },
        }
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if let Some(scope) = self.slot.scope() {
            scope.end_guard(self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_one_word() {
        assert_eq!(size_of::<Option<Guard>>(), size_of::<usize>());
    }
}
