//! How long a test waits for what has to come.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a step waits before the test fails: long enough for any machine, so that it never decides about a correct program.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds that nothing tells of; it is asked again each millisecond.
///
/// # Panics
///
/// If it does not hold within [`PATIENCE`].
#[track_caller]
pub fn wait_until(holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "the condition never holds");
        thread::sleep(Duration::from_millis(1));
    }
}
