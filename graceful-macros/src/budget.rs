//! The budget that the durations of the attribute make, with the runtime's defaults for those that are not written.
//!
//! The defaults are a second copy: only the runtime knows what the environment sets, and only the macro can point at the user's token.
//! `tests/tests/durations.rs` includes this file and compares it with the runtime's `Builder`.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) timeout: Duration,
    pub(crate) finalize_timeout: Duration,
    pub(crate) lame_duck: Duration,
}

impl Budget {
    pub(crate) fn new(
        timeout: Option<Duration>,
        finalize_timeout: Option<Duration>,
        lame_duck: Option<Duration>,
    ) -> Self {
        let timeout = timeout.unwrap_or(Duration::from_secs(30));
        let finalize_timeout =
            finalize_timeout.unwrap_or_else(|| (timeout / 4).min(Duration::from_secs(5)));
        Self { timeout, finalize_timeout, lame_duck: lame_duck.unwrap_or_default() }
    }

    /// Whether the drain gets any of the `timeout`.
    pub(crate) fn leaves_time_for_the_drain(&self) -> bool {
        self.finalize_timeout.saturating_add(self.lame_duck) < self.timeout
    }
}
