//! What the time is, at the price of a load: for the age of guards, which are too many to ask the system each time.
//!
//! Like the kernel's own tick, it stands still while little happens: then who wants the time asks the system, which costs little because
//! it is seldom. A thread that takes many guards has the driver tick, ten times a second, until they become few again.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How often it ticks: the ages of guards are right to a tenth of a second.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// After how many guards of a thread the clock begins to tick, and below how many of all threads in a tick it stops: asking the system costs
/// 25 ns, so this many cost less than a wake-up of the driver.
pub(crate) const MANY: usize = 1024;

/// The time in milliseconds since the first look, as of the last tick; 0: it does not tick.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicUsize);

impl Clock {
    #[inline]
    pub(crate) fn ticked(&self) -> Option<usize> {
        // Relaxed: nothing else is read by it.
        let ticked = self.0.load(Ordering::Relaxed);
        (ticked != 0).then_some(ticked)
    }

    pub(crate) fn tick(&self) {
        // Relaxed: as above.
        self.0.store(now().max(1), Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        // Relaxed: as above.
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The time in milliseconds since the first look; on the paused clock of the runtime, if that has one.
pub(crate) fn now() -> usize {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let now = tokio::time::Instant::now().into_std();
    let since = now.saturating_duration_since(*ORIGIN.get_or_init(|| now));
    usize::try_from(since.as_millis()).unwrap_or(usize::MAX)
}

/// How long ago that was.
pub(crate) fn age(since: usize) -> Duration {
    Duration::from_millis(now().saturating_sub(since) as u64)
}
