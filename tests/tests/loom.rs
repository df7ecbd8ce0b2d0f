//! The concurrent core in every interleaving that a few threads can have, within a bound on how often one is preempted: the sources of the
//! product itself, compiled on the model checker's atomics. Each mistake of `build.rs` is found by one of the models.

#![allow(
    unsafe_code,
    reason = "the part of `graceful::sync` that is checked with the core, and what the models leave unordered"
)]

#[allow(dead_code, reason = "the product uses what no model does")]
#[path = "../../graceful-runtime/src/sync/in_flight.rs"]
mod in_flight;
#[allow(dead_code, reason = "as above")]
#[path = "../../graceful-runtime/src/sync/pool.rs"]
mod pool;
#[allow(dead_code, reason = "as above")]
#[path = "loom"]
mod sync {
    #[path = "sync.rs"]
    pub(crate) mod atomic;
    #[path = "../../../graceful-runtime/src/sync/atomic_ref.rs"]
    pub(crate) mod atomic_ref;
}
#[allow(dead_code, reason = "as above")]
#[path = "../../graceful-runtime/src/sync/wait_list.rs"]
mod wait_list;

use std::{
    env,
    process::{Command, Stdio},
};

/// Runs a model in every interleaving with at most two preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(model);
}

/// The models of a module, written for any copy of it, the right one and the broken ones.
macro_rules! in_flight_models {
    () => {
        use loom::{
            cell::UnsafeCell,
            sync::{
                Arc, Mutex, Notify,
                atomic::{AtomicUsize, Ordering},
            },
            thread,
        };

        /// What waits for the end of a drain, as the driver does.
        struct Drain {
            count: InFlight,
            bell: Notify,
            told: AtomicUsize,
            /// What the work leaves behind, written without any order of its own.
            left: AtomicUsize,
            closed: Mutex<bool>,
        }

        impl Drain {
            fn new() -> Arc<Self> {
                Arc::new(Self {
                    count: InFlight::new(2),
                    bell: Notify::new(),
                    told: AtomicUsize::new(0),
                    left: AtomicUsize::new(0),
                    closed: Mutex::new(false),
                })
            }

            fn enter(&self, thread: usize, refused: usize) -> bool {
                let entered = self.count.enter(thread, refused);
                if let Err(Refused { was_last: true }) = entered {
                    self.tell();
                }
                entered.is_ok()
            }

            fn exit(&self, thread: usize) {
                if self.count.exit(thread) {
                    self.tell();
                }
            }

            fn tell(&self) {
                self.told.fetch_add(1, Ordering::Relaxed);
                self.bell.notify();
            }

            /// Waits until nothing is in flight.
            fn wait(&self) {
                loop {
                    self.count.await_empty();
                    if is_empty([&self.count]) {
                        return;
                    }
                    self.bell.wait();
                }
            }

            fn work(&self) {
                self.left.fetch_add(1, Ordering::Relaxed);
            }

            /// Work that was let in is done, and ends on the lane of another thread.
            fn ends_on(drain: &Arc<Self>, lane: usize) -> thread::JoinHandle<()> {
                let drain = Arc::clone(drain);
                thread::spawn(move || {
                    drain.work();
                    drain.exit(lane);
                })
            }
        }

        /// Work from outside on two lanes against the request: what was let in has left its mark when the wait is over.
        pub(crate) fn request() {
            let drain = Drain::new();
            let in_flight = |lane| {
                let drain = Arc::clone(&drain);
                thread::spawn(move || {
                    let is_in = drain.enter(lane, mode::REQUESTED);
                    if is_in {
                        drain.work();
                        drain.exit(lane);
                    }
                    usize::from(is_in)
                })
            };
            let threads = [in_flight(0), in_flight(1)];
            drain.count.set(mode::REQUESTED);
            drain.wait();
            let left = drain.left.load(Ordering::Relaxed);
            let let_in: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(left, let_in, "the wait was over before the work was");
        }

        /// Work that begins on one thread and ends on another.
        pub(crate) fn elsewhere() {
            let drain = Drain::new();
            assert!(drain.enter(0, mode::REQUESTED) && drain.enter(0, mode::REQUESTED));
            let threads = [Drain::ends_on(&drain, 1), Drain::ends_on(&drain, 2)];
            drain.count.set(mode::REQUESTED);
            drain.wait();
            assert_eq!(
                drain.left.load(Ordering::Relaxed),
                2,
                "the wait was over before the work was"
            );
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }

        /// Running work hands on to other work and ends, while other work ends elsewhere: never is nothing in flight.
        pub(crate) fn handing_on() {
            let drain = Drain::new();
            assert!(drain.enter(0, mode::SHUT) && drain.enter(0, mode::SHUT));
            let other = Arc::clone(&drain);
            let other = thread::spawn(move || other.exit(2));
            let chain = Arc::clone(&drain);
            let chain = thread::spawn(move || {
                assert!(chain.enter(1, mode::SHUT));
                chain.exit(1);
                assert!(chain.enter(1, mode::SHUT));
                chain.exit(1);
                chain.work();
                chain.exit(1);
            });
            drain.wait();
            assert_eq!(
                drain.left.load(Ordering::Relaxed),
                1,
                "the wait was over before the work was"
            );
            other.join().unwrap();
            chain.join().unwrap();
        }

        /// Whoever finds the work ended sees what it did, also before it is told.
        pub(crate) fn published() {
            let drain = Drain::new();
            let done = Arc::new(UnsafeCell::new(false));
            assert!(drain.enter(0, mode::REQUESTED));
            let (end, do_it) = (Arc::clone(&drain), Arc::clone(&done));
            let end = thread::spawn(move || {
                // SAFETY: the other thread reads it after the end of the work, or after this thread.
                do_it.with_mut(|done| unsafe { *done = true });
                end.exit(1);
            });
            drain.count.await_empty();
            if is_empty([&drain.count]) {
                // SAFETY: the work has ended.
                assert!(done.with(|done| unsafe { *done }), "ended before it was done");
            }
            end.join().unwrap();
        }

        /// The last one out wakes who waits, once; also where more has come than the hint knows of, and several look.
        pub(crate) fn once() {
            let drain = Drain::new();
            assert!(drain.enter(0, mode::REQUESTED) && drain.enter(0, mode::REQUESTED));
            drain.count.await_empty();
            assert!(drain.enter(0, mode::REQUESTED));
            let end = |lane| {
                let drain = Arc::clone(&drain);
                thread::spawn(move || drain.exit(lane))
            };
            let threads = [end(1), end(2)];
            drain.exit(0);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(drain.told.load(Ordering::Relaxed), 1);
        }

        /// The attempt to close against work that running work begins: it is let in or it is refused for good, and what was let in is waited for.
        pub(crate) fn closing() {
            let drain = Drain::new();
            let late = Arc::clone(&drain);
            let late = thread::spawn(move || {
                let mut is_in = late.enter(0, mode::SHUT);
                if !is_in {
                    let closed = late.closed.lock().unwrap();
                    is_in = !*closed && late.enter(0, 0);
                }
                if is_in {
                    late.work();
                    late.exit(0);
                }
                usize::from(is_in)
            });
            loop {
                drain.wait();
                let mut closed = drain.closed.lock().unwrap();
                drain.count.set(mode::SHUT);
                drain.count.await_empty();
                if is_empty([&drain.count]) {
                    *closed = true;
                    break;
                }
                drain.count.clear(mode::SHUT);
            }
            let left = drain.left.load(Ordering::Relaxed);
            assert_eq!(left, late.join().unwrap(), "closed over running work");
        }

        /// Closed, waited for, opened again, and closed again.
        pub(crate) fn reopening() {
            let drain = Drain::new();
            assert!(drain.enter(0, mode::REQUESTED));
            let first = Drain::ends_on(&drain, 1);
            drain.count.set(mode::REQUESTED);
            drain.wait();
            assert_eq!(drain.left.load(Ordering::Relaxed), 1);
            drain.count.clear(mode::REQUESTED);
            assert!(drain.enter(0, mode::REQUESTED), "reopened");
            let second = Drain::ends_on(&drain, 2);
            drain.count.set(mode::REQUESTED);
            drain.wait();
            assert_eq!(drain.left.load(Ordering::Relaxed), 2);
            first.join().unwrap();
            second.join().unwrap();
        }

        /// Opened again while work is in flight: its end in between wakes nobody and is not missed.
        pub(crate) fn resuming() {
            let drain = Drain::new();
            assert!(drain.enter(0, mode::REQUESTED) && drain.enter(0, mode::REQUESTED));
            let threads = [Drain::ends_on(&drain, 1), Drain::ends_on(&drain, 2)];
            drain.count.set(mode::REQUESTED);
            drain.count.await_empty();
            drain.count.clear(mode::REQUESTED | mode::AWAITED);
            drain.count.set(mode::REQUESTED);
            drain.wait();
            assert_eq!(drain.left.load(Ordering::Relaxed), 2);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    };
}

macro_rules! told_models {
    () => {
        use std::task::{Context, Waker};

        use loom::{sync::Arc, thread};

        /// Whoever waits is woken, or sees the flag.
        pub(crate) fn telling() {
            let told = Arc::new(WaitList::new(2));
            let fire = Arc::clone(&told);
            let fire = thread::spawn(move || {
                fire.set();
                fire.wake(|waker| waker.wake());
            });
            let mut ticket = None;
            loom::future::block_on(std::future::poll_fn(|cx| told.poll(1, &mut ticket, cx)));
            fire.join().unwrap();
        }

        /// One that waits no longer leaves nothing behind and takes nothing from the others.
        pub(crate) fn leaving() {
            let told = Arc::new(WaitList::new(1));
            let mut short = None;
            let context = Context::from_waker(Waker::noop());
            assert!(told.poll(0, &mut short, &context).is_pending());
            let leave = Arc::clone(&told);
            let leave = thread::spawn(move || leave.leave(short.unwrap()));
            let fire = Arc::clone(&told);
            let fire = thread::spawn(move || {
                fire.set();
                fire.wake(|waker| waker.wake());
            });
            let mut ticket = None;
            loom::future::block_on(std::future::poll_fn(|cx| told.poll(0, &mut ticket, cx)));
            leave.join().unwrap();
            fire.join().unwrap();
        }

        /// A ticket of before the last telling takes nobody's place in the next.
        pub(crate) fn telling_again() {
            let told = Arc::new(WaitList::new(1));
            let mut old = None;
            assert!(told.poll(0, &mut old, &Context::from_waker(Waker::noop())).is_pending());
            told.set();
            told.wake(drop);
            told.reset();
            let wait = Arc::clone(&told);
            let wait = thread::spawn(move || {
                let mut ticket = None;
                loom::future::block_on(std::future::poll_fn(|cx| wait.poll(0, &mut ticket, cx)));
            });
            told.leave(old.unwrap());
            told.set();
            told.wake(|waker| waker.wake());
            wait.join().unwrap();
        }
    };
}

macro_rules! stock_models {
    () => {
        use loom::{
            cell::UnsafeCell,
            sync::{
                Arc,
                atomic::{AtomicUsize, Ordering as LoomOrdering},
            },
            thread,
        };

        struct Thing {
            users: AtomicUsize,
            /// Written as it is made, without any order of its own.
            made: UnsafeCell<bool>,
        }

        // SAFETY: written before anybody else has it.
        unsafe impl Sync for Thing {}

        fn thing() -> Thing {
            let thing = Thing { users: AtomicUsize::new(0), made: UnsafeCell::new(false) };
            // SAFETY: nobody else has it yet.
            thing.made.with_mut(|made| unsafe { *made = true });
            thing
        }

        impl Thing {
            fn begin(&self) {
                assert_eq!(self.users.fetch_add(1, LoomOrdering::Relaxed), 0, "used by two");
            }

            fn end(&self) {
                self.users.fetch_sub(1, LoomOrdering::Relaxed);
            }
        }

        /// Two other threads give back what one has taken, and hand some of it on, while it takes more: nothing is used by two, nothing is lost.
        pub(crate) fn coming_back() {
            let stock = Arc::new(Pool::<_, 2>::new(3, thing));
            let taken = [(); 6].map(|()| stock.take(0));
            taken.iter().for_each(|thing| thing.begin());
            let [a, b, c, d, e, f] = taken;
            let threads = [(1, [a, b, c]), (2, [d, e, f])].map(|(number, things)| {
                let stock = Arc::clone(&stock);
                thread::spawn(move || {
                    for thing in things {
                        thing.end();
                        stock.give_back(number, thing);
                    }
                })
            });
            let more = stock.take(0);
            more.begin();
            more.end();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            stock.give_back(0, more);
            let mut made = 0;
            stock.each(|_| made += 1);
            // The other threads have kept two each.
            let kept = [1, 1, 2, 2].map(|number| stock.take(number));
            let rest: Vec<_> = (kept.len()..made).map(|_| stock.take(0)).collect();
            kept.iter().chain(&rest).for_each(|thing| thing.begin());
            let mut now = 0;
            stock.each(|_| now += 1);
            assert_eq!(now, made, "one was lost");
        }

        /// Whoever lists them sees whole ones, and in the end all.
        pub(crate) fn listing() {
            let stock = Arc::new(Pool::<_, 4>::new(1, thing));
            let lister = Arc::clone(&stock);
            let lister = thread::spawn(move || {
                // SAFETY: written as it was made.
                lister.each(|thing| assert!(thing.made.with(|made| unsafe { *made })));
            });
            for _ in 0..3 {
                stock.take(0);
            }
            lister.join().unwrap();
            let mut made = 0;
            stock.each(|_| made += 1);
            assert_eq!(made, 3, "one was lost");
        }

        /// Threads without a lane of their own.
        pub(crate) fn sharing() {
            let stock = Arc::new(Pool::<_, 2>::new(0, thing));
            let threads = [1, 2].map(|number| {
                let stock = Arc::clone(&stock);
                thread::spawn(move || {
                    let thing = stock.take(number);
                    thing.begin();
                    thing.end();
                    stock.give_back(number, thing);
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    };
}

/// The product's own.
mod right {
    pub(super) mod counting {
        use crate::in_flight::{InFlight, Refused, is_empty, mode};
        in_flight_models!();
    }

    pub(super) mod hearing {
        use crate::wait_list::WaitList;
        told_models!();
    }

    pub(super) mod keeping {
        use crate::pool::Pool;
        stock_models!();
    }
}

macro_rules! models {
    ($($module:ident: $($model:ident),*;)*) => {
        $($(
            #[test]
            fn $model() {
                check(right::$module::$model);
            }
        )*)*
    };
}

models! {
    counting: request, elsewhere, handing_on, published, once, closing, reopening, resuming;
    hearing: telling, leaving, telling_again;
    keeping: coming_back, listing, sharing;
}

/// Copies with one mistake each, and the model that finds it.
macro_rules! mistakes {
    ($($models:ident: $($mistake:ident => $model:ident),*;)*) => {
        mod wrong {
            $($(
                #[allow(dead_code, unused, reason = "a copy of the product's")]
                pub(super) mod $mistake {
                    include!(concat!(env!("OUT_DIR"), "/", stringify!($mistake), ".rs"));

                    pub(crate) mod models {
                        use super::*;
                        $models!();
                    }
                }
            )*)*
        }

        $($(
            #[test]
            #[ignore = "a mistake: `every_mistake_is_found` runs it"]
            fn $mistake() {
                check(wrong::$mistake::models::$model);
            }
        )*)*

        const MISTAKES: &[&str] = &[$($(stringify!($mistake)),*),*];
    };
}

mistakes! {
    in_flight_models:
        exit_is_not_released => published,
        set_does_not_fence => closing,
        awaiting_does_not_fence => elsewhere,
        enter_does_not_fence => request,
        exit_does_not_fence => elsewhere,
        the_refused_do_not_look => request,
        the_refused_stay_counted => request,
        enters_are_summed_first => handing_on,
        the_last_but_one_looks => elsewhere,
        both_of_the_last_tell => once,
        the_hint_is_added_without_a_reset => resuming;
    told_models:
        waiters_do_not_look_again => telling,
        a_telling_is_not_a_turn => telling_again,
        a_ticket_is_good_for_ever => telling_again;
    stock_models:
        all_threads_use_the_magazine_of_one => coming_back,
        those_that_share_take_no_turns => sharing,
        what_finds_no_room_is_lost => coming_back,
        what_is_taken_stays_in_the_depot => coming_back,
        what_is_made_is_not_listed => listing;
}

/// Each in a process of its own: what the checker finds ends it.
#[test]
fn every_mistake_is_found() {
    let this = env::current_exe().unwrap();
    let is_found = |mistake: &&&str| {
        let output = Command::new(&this)
            .args([**mistake, "--exact", "--ignored"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("running 1 test"), "{mistake} was not run");
        !output.status.success()
    };
    let missed: Vec<_> = MISTAKES.iter().filter(|mistake| !is_found(mistake)).collect();
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}
