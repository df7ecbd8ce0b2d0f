//! Guards: pieces of work in flight without a task of their own.

use std::{panic::Location, sync::OnceLock};

use crate::tracking::scope::{GuardSlot, Origin, Scope};

/// A piece of work in flight. It ends when the guard is dropped, on any thread, on any runtime or none.
///
/// [`Shutdown::guard`](crate::Shutdown::guard) and [`try_guard`](crate::Shutdown::try_guard) create one. The drain waits until it is
/// dropped. A force cannot end it: a guard that still exists after the force is left behind and reported.
///
/// A clone is a further piece of work. It counts if it is made before finalization begins.
///
/// # Performance
///
/// Creating and dropping a guard takes a few nanoseconds, on many threads as on one, because it writes nothing that other threads
/// write. It leaves 24 bytes behind, which the next guard of the same thread uses.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # graceful::Builder::new().test(async |shutdown| {
/// let guard = shutdown.guard();
/// assert_eq!(shutdown.in_flight(), 1);
/// drop(guard);
/// assert_eq!(shutdown.in_flight(), 0);
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as the guard is dropped"]
pub struct Guard {
    /// A slot without a scope belongs to guards that do not count.
    slot: &'static GuardSlot,
}

impl Guard {
    #[inline]
    pub(crate) fn new(scope: &'static Scope, location: &'static Location<'static>) -> Self {
        let slot = scope.guard(Origin::Inside, location).unwrap_or_else(|| refused(location));
        Self { slot }
    }

    #[inline]
    pub(crate) fn try_new(
        scope: &'static Scope,
        location: &'static Location<'static>,
    ) -> Option<Self> {
        scope.guard(Origin::Outside, location).map(|slot| Self { slot })
    }

    /// Whether the drain waits for the guard. False if it was created after finalization had begun.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.slot.scope().is_some()
    }
}

#[cold]
fn refused(location: &Location<'_>) -> &'static GuardSlot {
    tracing::warn!(target: "graceful", guard = %location, "refused: finalization has begun");
    uncounted()
}

/// The slot that all guards which do not count share.
fn uncounted() -> &'static GuardSlot {
    static UNCOUNTED: OnceLock<GuardSlot> = OnceLock::new();
    UNCOUNTED.get_or_init(GuardSlot::new)
}

impl Clone for Guard {
    fn clone(&self) -> Self {
        match (self.slot.scope(), self.slot.read()) {
            (Some(scope), Some((location, _))) => Self::new(scope, location),
            _ => Self { slot: uncounted() },
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
