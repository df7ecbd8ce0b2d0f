//! Random tests of the concurrent core on real threads, fences and processors.

use std::{
    hint,
    panic::Location,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    os::{sys, thread_index},
    sync::{
        in_flight::{InFlight, is_empty, mode},
        wait_list::WaitList,
    },
    tracking::{scope::Origin, scope_pool::ScopePool},
};

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
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    time.map_or(1, |time| time.as_nanos() as u64 | 1)
}

/// Ends the threads of a test, even if it fails.
struct EndThreads<'a>(&'a AtomicBool);

impl Drop for EndThreads<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Work enters and exits on several threads, and some of it exits on another thread. Meanwhile the counter is closed, awaited, and opened again, in rounds.
fn rounds(seed: u64) {
    sys::prepare_fences();
    let count = InFlight::new(3);
    let (held, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (wake, woken) = mpsc::channel();
    // Four threads on three shards: one of them uses the shared shard.
    thread::scope(|scope| {
        for shard in 0..4 {
            let (give, take) = mpsc::channel::<()>();
            let (count, held, over) = (&count, &held, &over);
            let exit = move |shard, wake: &mpsc::Sender<()>| {
                held.fetch_sub(1, Ordering::Relaxed);
                if count.exit(shard) {
                    wake.send(()).unwrap();
                }
            };
            let wake_here = wake.clone();
            scope.spawn(move || {
                let mut dice = Dice(seed ^ (shard as u64 + 1) << 32);
                while !over.load(Ordering::Relaxed) {
                    match count.enter(shard, mode::REQUESTED) {
                        Ok(()) => {
                            held.fetch_add(1, Ordering::Relaxed);
                            dice.spin(50);
                            if dice.roll(4) == 0 {
                                give.send(()).unwrap()
                            } else {
                                exit(shard, &wake_here)
                            }
                        }
                        Err(refused) if refused.was_last => wake_here.send(()).unwrap(),
                        Err(_) => hint::spin_loop(),
                    }
                }
            });
            let wake_there = wake.clone();
            // These threads use the shared shard.
            scope.spawn(move || take.iter().for_each(|()| exit(usize::MAX, &wake_there)));
        }
        let _over = EndThreads(&over);
        let (begin, mut dice) = (Instant::now(), Dice(seed));
        let mut rounds = 0;
        while begin.elapsed() < TIME {
            dice.spin(200);
            count.set(mode::REQUESTED);
            loop {
                count.await_empty();
                if is_empty([&count]) {
                    break;
                }
                woken.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| {
                    panic!("seed {seed}: no wake-up came, {} in flight", count.count())
                });
            }
            assert_eq!(
                held.load(Ordering::Relaxed),
                0,
                "seed {seed}: work in flight after round {rounds}"
            );
            count.clear(mode::REQUESTED);
            rounds += 1;
        }
        assert!(rounds > 10, "only {rounds} rounds");
    });
}

#[test]
fn closing_misses_nothing() {
    rounds(seed());
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
        rounds(seed());
    });
}

/// Guards are taken on some threads and dropped on others. Each is listed while it is held, and none afterwards.
#[test]
fn every_guard_is_listed_while_it_is_held() {
    let mut pool = ScopePool::new(None);
    let (scope, slots) = (pool.root(), &pool.roster().guards);
    let place = Location::caller();
    let held = Mutex::new(Vec::new());
    let taken = AtomicUsize::new(0);
    thread::scope(|threads| {
        for thread in 0..4 {
            let (held, taken) = (&held, &taken);
            threads.spawn(move || {
                let (begin, mut dice) = (Instant::now(), Dice(seed() ^ thread << 32));
                while begin.elapsed() < TIME {
                    if dice.roll(2) == 0 {
                        let slot = scope.guard(Origin::Inside, place).unwrap();
                        taken.fetch_add(1, Ordering::Relaxed);
                        held.lock().unwrap().push(slot);
                    } else {
                        let mut held = held.lock().unwrap();
                        let index = dice.roll(held.len().max(1) as u64) as usize;
                        let slot = (index < held.len()).then(|| held.swap_remove(index));
                        drop(held);
                        slot.into_iter().for_each(|slot| scope.end_guard(slot));
                    }
                    if dice.roll(1000) == 0 {
                        let held = held.lock().unwrap();
                        let mut listed = 0;
                        slots.each(|slot| listed += usize::from(slot.read().is_some()));
                        // Other threads may be taking or dropping guards.
                        assert!(listed >= held.len(), "{listed} of {} are listed", held.len());
                    }
                }
            });
        }
    });
    let mut listed = 0;
    slots.each(|slot| listed += usize::from(slot.read().is_some()));
    let held = held.into_inner().unwrap();
    assert_eq!((listed, scope.in_flight.count()), (held.len(), held.len()));
    held.into_iter().for_each(|slot| scope.end_guard(slot));
    slots.each(|slot| assert!(slot.read().is_none(), "listed after its end"));
    assert!(taken.into_inner() > 1000);
    pool.retire(Vec::new());
}

/// Tasks on several threads wait and stop waiting while the flag is set again and again. Each is woken.
#[test]
fn every_waiting_task_is_woken() {
    let list = WaitList::new(4);
    let (waiting, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (list, waiting, over) = (&list, &waiting, &over);
            scope.spawn(move || {
                let mut dice = Dice(seed() ^ thread << 32);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                while !over.load(Ordering::Relaxed) {
                    let mut ticket = None;
                    let gives_up = dice.roll(3) == 0;
                    waiting.fetch_add(1, Ordering::Relaxed);
                    let wait = std::future::poll_fn(|cx| {
                        let poll = list.poll(thread as usize, &mut ticket, cx);
                        if gives_up { std::task::Poll::Ready(()) } else { poll }
                    });
                    runtime.block_on(wait);
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    ticket.into_iter().for_each(|ticket| list.leave(ticket));
                    dice.spin(100);
                }
            });
        }
        let (begin, mut dice) = (Instant::now(), Dice(seed()));
        while begin.elapsed() < TIME {
            dice.spin(1000);
            list.set();
            list.wake(|waker| waker.wake());
            list.reset();
        }
        over.store(true, Ordering::Relaxed);
        list.set();
        list.wake(|waker| waker.wake());
    });
    assert_eq!(waiting.into_inner(), 0);
}

#[test]
fn an_index_belongs_to_one_thread_at_a_time() {
    let used: Vec<_> = (0..64).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let number = thread::scope(|scope| {
                        let number = scope.spawn(|| {
                            let number = thread_index::obtain();
                            let flag = used.get(number);
                            assert!(
                                flag.is_none_or(|used| !used.swap(true, Ordering::AcqRel)),
                                "{number} belongs to two"
                            );
                            thread::yield_now();
                            flag.inspect(|used| used.store(false, Ordering::Release));
                            number
                        });
                        number.join().unwrap()
                    });
                    assert_ne!(number, thread_index::NONE);
                }
            });
        }
    });
}

/// The core relies on this: one thread writes, executes the light fence and reads; another writes, executes the heavy fence and reads. At least one of the
/// two sees the write of the other.
#[test]
fn one_of_two_fenced_threads_sees_the_other() {
    sys::prepare_fences();
    // Each on a cache line of its own, so that they become visible independently.
    #[derive(Default)]
    #[repr(align(128))]
    struct Line(AtomicUsize);
    let far: Vec<_> = (0..1 << 18).map(|_| Line::default()).collect();
    let (fast, slow, ready, last) =
        (Line::default(), Line::default(), Line::default(), AtomicUsize::new(usize::MAX));
    let meet = |round: usize| {
        ready.0.fetch_add(1, Ordering::AcqRel);
        while ready.0.load(Ordering::Acquire) < 2 * round {
            hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        let light = scope.spawn(|| {
            let (mut dice, mut seen) = (Dice(seed()), Vec::new());
            while seen.len() < last.load(Ordering::Relaxed) {
                let round = seen.len() + 1;
                meet(round);
                dice.spin(10);
                // These stores miss every cache, so that the store below waits behind them in the store buffer, where only a fence drains it.
                for step in 0..4 {
                    far[(round * 4 + step) * 977 % far.len()].0.store(round, Ordering::Relaxed);
                }
                fast.0.store(round, Ordering::Relaxed);
                sys::light_fence();
                seen.push(slow.0.load(Ordering::Relaxed));
            }
            seen
        });
        let (mut dice, mut seen, begin) = (Dice(seed()), Vec::new(), Instant::now());
        while seen.len() < last.load(Ordering::Relaxed) {
            let round = seen.len() + 1;
            if begin.elapsed() > TIME {
                // The other thread sees it, because the store precedes the meeting.
                last.store(round, Ordering::Relaxed);
            }
            meet(round);
            dice.spin(20);
            slow.0.store(round, Ordering::Relaxed);
            sys::heavy_fence();
            seen.push(fast.0.load(Ordering::Relaxed));
        }
        let light = light.join().unwrap();
        for (round, (light, heavy)) in (1..).zip(light.into_iter().zip(seen)) {
            assert!(light == round || heavy == round, "round {round}: neither saw the other");
        }
    });
}
