//! A clock that is read with one load. It dates guards, which are taken too often to ask the system for the time of each.
//!
//! Like the kernel's tick, it is stopped while little happens; then each guard asks the system, which costs little because guards are rare. A
//! thread that takes many guards makes the driver tick the clock, ten times a second, until guards become rare again.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::{Handle, TryCurrentError};

/// The period of the tick: the age of a guard is exact to a tenth of a second.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The clock starts after this many guards of one thread, and stops after a tick in which all threads took fewer. Asking the system for the time costs
/// 25 ns, so this many calls cost less than one wake-up of the driver.
pub(crate) const MANY: usize = 1024;

/// The time of the last tick, in milliseconds since the first call of [`now`]; 0 while the clock is stopped.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicUsize);

impl Clock {
    /// The time of the last tick; `None` while the clock is stopped.
    #[inline]
    pub(crate) fn ticked(&self) -> Option<usize> {
        // Relaxed: the value guards no other memory.
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

/// Asks the system for the time, in milliseconds since the first call. On a runtime with a paused clock, this is the paused time.
pub(crate) fn now() -> usize {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let now = if has_clock() { tokio::time::Instant::now().into_std() } else { Instant::now() };
    let since = now.saturating_duration_since(*ORIGIN.get_or_init(|| now));
    usize::try_from(since.as_millis()).unwrap_or(usize::MAX)
}

/// Whether tokio can be asked for the time. With a clock that can be paused, it panics while a thread drops its thread-locals.
fn has_clock() -> bool {
    let is_over = |error: TryCurrentError| error.is_thread_local_destroyed();
    !cfg!(feature = "testing") || !Handle::try_current().is_err_and(is_over)
}

/// The time that has passed since `since`, a value of [`now`].
pub(crate) fn age(since: usize) -> Duration {
    Duration::from_millis(now().saturating_sub(since) as u64)
}
