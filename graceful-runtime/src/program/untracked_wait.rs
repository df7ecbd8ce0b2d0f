//! The wait for untracked work at the end of a program whose `main` ended by itself.

use std::time::Duration;

use tokio::time::Instant;

/// The main thread waits for untracked work on the runtime's blocking pool. The driver logs the wait and ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UntrackedWait {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

impl UntrackedWait {
    /// When the wait ends. A stop signal shortens it to the time that a requested stop grants from the start: `main` has then
    /// no longer ended by itself.
    pub(crate) fn ends_at(self, ended_by_itself: bool) -> Instant {
        if ended_by_itself { self.until } else { self.until.min(self.since + REQUESTED_WAIT) }
    }
}

/// How long a requested stop waits for untracked work. It is short because such work, a read from standard input for example,
/// may never end.
pub(crate) const REQUESTED_WAIT: Duration = Duration::from_millis(100);
