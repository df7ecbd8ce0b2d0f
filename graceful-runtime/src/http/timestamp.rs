//! A point in time that is filled in later, so that many events cost one look at the clock.

use tokio::time::Instant;

/// When a condition began to hold. An event sets it to [`Pending`](Self::Pending); the next poll of the connection replaces that by the
/// current time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Timestamp {
    /// The condition does not hold.
    Unset,
    /// It began to hold after the last poll.
    Pending,
    At(Instant),
}

impl Timestamp {
    /// Marks the start of the condition, unless it holds already.
    pub(super) fn set_once(&mut self) {
        if *self == Self::Unset {
            *self = Self::Pending;
        }
    }

    pub(super) fn is_set(self) -> bool {
        self != Self::Unset
    }

    pub(super) fn at(self) -> Option<Instant> {
        if let Self::At(at) = self { Some(at) } else { None }
    }

    /// Gives all that are pending the same time. Reads the clock only if there is one.
    pub(super) fn resolve<const N: usize>(all: [&mut Self; N], now: impl FnOnce() -> Instant) {
        if all.iter().any(|timestamp| **timestamp == Self::Pending) {
            let at = Self::At(now());
            let pending = all.into_iter().filter(|timestamp| **timestamp == Self::Pending);
            pending.for_each(|timestamp| *timestamp = at);
        }
    }
}
