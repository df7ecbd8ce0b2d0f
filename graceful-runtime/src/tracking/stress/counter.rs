//! Counting, closing and waiting for zero.

use std::{
    hint,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Dice, EndThreads, TIME, seed};
use crate::{
    os::sys,
    sync::in_flight::{InFlight, is_empty, mode},
};

/// A counter, and how much work it must count.
struct Rounds {
    seed: u64,
    count: InFlight,
    held: AtomicUsize,
    over: AtomicBool,
}

#[test]
fn closing_misses_nothing() {
    Rounds::new(seed()).run();
}

#[test]
fn closing_misses_nothing_with_every_processor_loaded() {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        let _over = EndThreads(&over);
        Rounds::new(seed()).run();
    });
}

impl Rounds {
    fn new(seed: u64) -> Self {
        sys::prepare_fences();
        let (count, held, over) = (InFlight::new(3), AtomicUsize::new(0), AtomicBool::new(false));
        Self { seed, count, held, over }
    }

    /// Work enters and exits on several threads, and some of it exits on another thread. Meanwhile the counter is closed, awaited, and opened again.
    fn run(&self) {
        let (wake, woken) = mpsc::channel();
        thread::scope(|scope| {
            // Four threads on three shards: one of them uses the shared shard.
            for shard in 0..4 {
                let (give, take) = mpsc::channel();
                let (wake_here, wake_there) = (wake.clone(), wake.clone());
                scope.spawn(move || self.work(shard, &give, &wake_here));
                // These threads use the shared shard.
                scope.spawn(move || take.iter().for_each(|()| self.exit(usize::MAX, &wake_there)));
            }
            let _over = EndThreads(&self.over);
            self.close_and_open(&woken);
        });
    }

    /// Begins work, and ends it or gives it to another thread that does.
    fn work(&self, shard: usize, give: &Sender<()>, wake: &Sender<()>) {
        let mut dice = Dice(self.seed ^ (shard as u64 + 1) << 32);
        while !self.over.load(Ordering::Relaxed) {
            match self.count.enter(shard, mode::REQUESTED) {
                Ok(()) => {
                    self.held.fetch_add(1, Ordering::Relaxed);
                    dice.spin(50);
                    if dice.roll(4) == 0 {
                        give.send(()).unwrap();
                    } else {
                        self.exit(shard, wake);
                    }
                }
                Err(refused) if refused.was_last => wake.send(()).unwrap(),
                Err(_) => hint::spin_loop(),
            }
        }
    }

    fn exit(&self, shard: usize, wake: &Sender<()>) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        if self.count.exit(shard) {
            wake.send(()).unwrap();
        }
    }

    fn close_and_open(&self, woken: &Receiver<()>) {
        let Self { seed, count, held, .. } = self;
        let (begin, mut dice, mut rounds) = (Instant::now(), Dice(*seed), 0);
        while begin.elapsed() < TIME {
            dice.spin(200);
            count.set(mode::REQUESTED);
            loop {
                count.await_empty();
                if is_empty([count]) {
                    break;
                }
                woken.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| {
                    panic!("seed {seed}: no wake-up came, {} in flight", count.count())
                });
            }
            let held = held.load(Ordering::Relaxed);
            assert_eq!(held, 0, "seed {seed}: work in flight after round {rounds}");
            count.clear(mode::REQUESTED);
            rounds += 1;
        }
        assert!(rounds > 10, "only {rounds} rounds");
    }
}
