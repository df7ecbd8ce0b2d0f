//! Random tests of the concurrent core on real threads, fences and processors.

use std::{
    hint,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

mod counter;
mod fences;
mod guards;
mod thread_index;
mod wait_list;

/// How long a test runs: long enough for millions of operations, short enough to run every day.
const TIME: Duration = Duration::from_millis(1500);

/// A small random generator, whose seed is in the message of a failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn spin(&mut self, most: u64) {
        (0..self.roll(most)).for_each(|_| hint::spin_loop());
    }
}

fn seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(1, |time| time.as_nanos() as u64 | 1)
}

/// Ends the threads of a test, even if it fails.
struct EndThreads<'a>(&'a AtomicBool);

impl Drop for EndThreads<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
