//! The two sides of a fence between threads.

use std::{
    hint,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::{Dice, TIME, seed};
use crate::os::sys;

/// The core relies on this: one thread writes, executes the light fence and reads; another writes, executes the heavy fence and reads. At least one of the
/// two sees the write of the other.
#[test]
fn one_of_two_fenced_threads_sees_the_other() {
    sys::prepare_fences();
    let meeting = Meeting::default();
    thread::scope(|scope| {
        let light = scope.spawn(|| meeting.light_side());
        let heavy = meeting.heavy_side();
        let light = light.join().unwrap();
        for (round, (light, heavy)) in (1..).zip(light.into_iter().zip(heavy)) {
            assert!(light == round || heavy == round, "round {round}: neither saw the other");
        }
    });
}

/// Both threads write the number of the round, each to its own line, at about the same time.
#[derive(Default)]
struct Meeting {
    light: Line,
    heavy: Line,
    arrived: Line,
    /// The last round; 0 while it is not known.
    last: AtomicUsize,
}

/// On a cache line of its own, so that each write becomes visible independently.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicUsize);

impl Meeting {
    /// Returns what the light side read in each round.
    fn light_side(&self) -> Vec<usize> {
        let far: Vec<_> = (0..1 << 18).map(|_| Line::default()).collect();
        let (mut dice, mut seen) = (Dice(seed()), Vec::new());
        while !self.is_over(&seen) {
            let round = seen.len() + 1;
            self.meet(round);
            dice.spin(10);
            // These stores miss every cache, so that the store below waits behind them in the store buffer, where only a fence drains it.
            for step in 0..4 {
                far[(round * 4 + step) * 977 % far.len()].0.store(round, Ordering::Relaxed);
            }
            self.light.0.store(round, Ordering::Relaxed);
            sys::light_fence();
            seen.push(self.heavy.0.load(Ordering::Relaxed));
        }
        seen
    }

    /// Returns what the heavy side read in each round. It decides which round is the last.
    fn heavy_side(&self) -> Vec<usize> {
        let (mut dice, mut seen, begin) = (Dice(seed()), Vec::new(), Instant::now());
        while !self.is_over(&seen) {
            let round = seen.len() + 1;
            if begin.elapsed() > TIME {
                // The light side sees it, because the store precedes the meeting.
                self.last.store(round, Ordering::Relaxed);
            }
            self.meet(round);
            dice.spin(20);
            self.heavy.0.store(round, Ordering::Relaxed);
            sys::heavy_fence();
            seen.push(self.light.0.load(Ordering::Relaxed));
        }
        seen
    }

    fn is_over(&self, seen: &[usize]) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && seen.len() >= last
    }

    fn meet(&self, round: usize) {
        self.arrived.0.fetch_add(1, Ordering::AcqRel);
        while self.arrived.0.load(Ordering::Acquire) < 2 * round {
            hint::spin_loop();
        }
    }
}
