//! The wait for what nothing tracks, at the end of a program whose `main` ended by itself.

use std::time::Duration;

use tokio::time::Instant;

/// The main thread waits for what nothing tracks. The driver ends that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UntrackedWait {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

impl UntrackedWait {
    /// A stop signal ends the wait, and leaves it what it would have had if the signal had come first: then `main` has not `ended_by_itself`.
    pub(crate) fn ends_at(self, ended_by_itself: bool) -> Instant {
        if ended_by_itself { self.until } else { self.until.min(self.since + MOMENT) }
    }
}

/// How long what nothing tracks is waited for where somebody asked for the stop: such as a read from standard input it may never end.
pub(crate) const MOMENT: Duration = Duration::from_millis(100);
