//! The queue of finalizers: registration, the order they run in, and the time each one gets.
//!
//! # Invariants
//!
//! 1. A finalizer is popped under the lock by the one runner whose turn it is, so it runs at most once.
//! 2. Finalizers are popped in reverse order of registration, and one runs at a time.
//! 3. [`Turns`](crate::model::finalizer_turns::Turns) decides whose turn it is.

use std::{fmt, mem, pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        finalizer_turns::{Look, Next, Runner, Turns},
        report::{FinalizerEnd, FinalizerReport},
        settings::TICK,
    },
    os::mutex::Mutex,
};

/// The result of a finalizer, with its error as text.
pub(crate) type FinalizerResult = Result<(), String>;
pub(crate) type FinalizerFuture = Pin<Box<dyn Future<Output = FinalizerResult> + Send>>;

/// What a finalizer runs.
pub(crate) enum Body {
    /// A closure that any thread may run.
    Shared(Box<dyn FnOnce() -> FinalizerFuture + Send>),
    /// `Builder::finalize`. Only the main thread can run it, because it holds the state.
    WithState,
}

/// A registered finalizer that has not begun.
struct Entry {
    id: u64,
    name: String,
    timeout: Option<Duration>,
    body: Body,
}

/// The finalizer that is running.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) since: Instant,
    /// Cancelled when the finalizer's time is over; its runner then drops it.
    pub(crate) timed_out: CancellationToken,
}

/// A finalizer that a runner has taken from the queue and has to run now.
pub(crate) struct Begun {
    pub(crate) name: String,
    pub(crate) body: Body,
    pub(crate) timed_out: CancellationToken,
}

/// What [`FinalizerQueue::watch`] has done, and when it is to be called again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Watched {
    /// Nothing more is due before this.
    Until(Instant),
    /// The turn now belongs to this runner, whose thread is to be started.
    TookOver(Runner),
    /// The budget is used up, and what has not run is left behind.
    GaveUp,
    /// Finalization was over already.
    Over,
}

#[derive(Default)]
struct Inner {
    /// Popped from the back: invariant 2.
    stack: Vec<Entry>,
    next_id: u64,
    turns: Turns,
    running: Option<Running>,
    reports: Vec<FinalizerReport>,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct FinalizerQueue {
    inner: Mutex<Inner>,
    /// Wakes the driver.
    changed: Arc<Notify>,
}

impl FinalizerQueue {
    pub(crate) fn new(changed: Arc<Notify>) -> Self {
        Self { inner: Mutex::default(), changed }
    }

    /// Registers a finalizer and returns its id, or `None` once finalization is over.
    pub(crate) fn push(&self, name: String, body: Body) -> Option<u64> {
        let mut inner = self.inner.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        if inner.turns.is_over() {
            return None;
        }
        inner.stack.push(Entry { id, name, timeout: None, body });
        drop(inner);
        // The driver opens the finalizers' runtime when the first one is registered.
        if id == 0 {
            self.changed.notify_one();
        }
        Some(id)
    }

    /// Whether a finalizer was ever registered.
    pub(crate) fn is_used(&self) -> bool {
        self.inner.lock().next_id > 0
    }

    pub(crate) fn set_timeout(&self, id: u64, timeout: Duration) {
        if let Some(entry) = self.inner.lock().stack.iter_mut().find(|entry| entry.id == id) {
            entry.timeout = Some(timeout);
        }
    }

    /// Removes a finalizer. Returns false if it has begun already.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let mut inner = self.inner.lock();
        let at = inner.stack.iter().position(|entry| entry.id == id);
        // Dropping the entry runs user code, so the lock is released first.
        let entry = at.map(|at| inner.stack.remove(at));
        drop(inner);
        entry.is_some()
    }

    /// Takes the turn for the main thread. Returns false if a thread of the library has it.
    pub(crate) fn claim(&self) -> bool {
        self.inner.lock().turns.claim()
    }

    /// Does what is due now, in one step: tells a finalizer whose time has passed to end, and takes the turn from a runner that does not come
    /// back from one. The finalizer that this runner is in is left behind.
    pub(crate) fn watch(&self, look: &Look) -> Watched {
        let mut inner = self.inner.lock();
        let mut left = Vec::new();
        let (late, watched) = match inner.turns.next(look) {
            Next::WaitUntil(at) => (None, Watched::Until(at)),
            Next::CutAndWaitUntil(at) => (inner.running.clone(), Watched::Until(at)),
            Next::TakeOver => {
                let late = inner.leave_running("it blocked its thread until its time had passed");
                (late, Watched::TookOver(inner.turns.take_over()))
            }
            Next::GiveUp => {
                let late = inner.leave_running(OVER);
                left = inner.leave_rest();
                inner.turns.finish();
                (late, Watched::GaveUp)
            }
            Next::Rest => (None, Watched::Over),
        };
        drop(inner);
        // This wakes the runner, so it comes after the lock. The runner drops the finalizer, if its thread is not blocked.
        if let Some(late) = late {
            late.timed_out.cancel();
        }
        // Leaked on purpose: a drop is user code that could block, and this is the driver's thread.
        mem::forget(left);
        watched
    }

    /// Begins the next finalizer, with its share of the time until `end`. Returns `None` if it is not the runner's turn or no
    /// finalizer is left.
    pub(crate) fn begin_next(&self, runner: Runner, end: Instant) -> Option<Begun> {
        let mut inner = self.inner.lock();
        if !inner.turns.may_begin(runner) {
            return None;
        }
        let Some(Entry { id: _, name, timeout, body }) = inner.stack.pop() else {
            inner.turns.finish();
            return None;
        };
        let since = Instant::now();
        let share = share(end.saturating_duration_since(since), inner.stack.len(), timeout);
        let timed_out = CancellationToken::new();
        inner.turns.begin(since + share);
        inner.running = Some(Running { name: name.clone(), since, timed_out: timed_out.clone() });
        drop(inner);
        // The driver wakes up once a tick by itself, which is too late for a shorter time.
        if share < TICK {
            self.changed.notify_one();
        }
        Some(Begun { name, body, timed_out })
    }

    /// Records the end of the runner's finalizer, unless the runner has lost its turn.
    pub(crate) fn ended(&self, runner: Runner, end: FinalizerEnd, error: Option<String>) {
        let mut inner = self.inner.lock();
        if inner.turns.end(runner) {
            let running = inner.running.take();
            inner.reports.extend(running.map(|running| running.report(end, error)));
        }
    }

    pub(crate) fn running(&self) -> Option<Running> {
        self.inner.lock().running.clone()
    }

    /// Records that the main thread has finished with the finalizers, or has seen that another thread runs them.
    pub(crate) fn main_came_back(&self) {
        self.inner.lock().turns.main_came_back();
    }

    /// Whether a thread of the library took over from the main thread, which has not come back since.
    pub(crate) fn is_main_stuck(&self) -> bool {
        self.inner.lock().turns.is_main_stuck()
    }

    /// Whether every finalizer has run or was left behind.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().turns.is_over()
    }

    pub(crate) fn reports(&self) -> Vec<FinalizerReport> {
        self.inner.lock().reports.clone()
    }
}

/// Why a finalizer is left behind at the end of the budget.
const OVER: &str = "the program's time was over";

impl Inner {
    /// Reports the finalizer that is running as left behind.
    fn leave_running(&mut self, why: &str) -> Option<Running> {
        let running = self.running.take();
        let report =
            |running: Running| running.report(FinalizerEnd::LeftBehind, Some(why.to_owned()));
        self.reports.extend(running.clone().map(report));
        running
    }

    /// Reports the finalizers that have not begun as left behind.
    fn leave_rest(&mut self) -> Vec<Entry> {
        let left = mem::take(&mut self.stack);
        self.reports.extend(left.iter().rev().map(|entry| FinalizerReport {
            name: entry.name.clone(),
            duration: Duration::ZERO,
            error: Some(OVER.to_owned()),
            end: FinalizerEnd::LeftBehind,
        }));
        left
    }
}

impl Running {
    fn report(self, end: FinalizerEnd, error: Option<String>) -> FinalizerReport {
        FinalizerReport { name: self.name, duration: self.since.elapsed(), error, end }
    }
}

impl fmt::Debug for FinalizerQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinalizerQueue").finish_non_exhaustive()
    }
}

/// The time that one finalizer gets of the time that is `left`, with `others` still to run after it: an even share, or its
/// `own` timeout. That timeout may use at most half of the other finalizers' even shares.
fn share(left: Duration, others: usize, own: Option<Duration>) -> Duration {
    let all = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    let even = left / all;
    match own {
        None => even,
        Some(own) => own.min(left - even * (all - 1) / 2),
    }
}

/// Replaces the error by its `Debug` text.
pub(crate) fn with_text<E: fmt::Debug>(result: Result<(), E>) -> FinalizerResult {
    result.map_err(|error| format!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(names: &[&str]) -> FinalizerQueue {
        let queue = FinalizerQueue::default();
        for name in names {
            queue.push((*name).to_owned(), Body::WithState).unwrap();
        }
        queue
    }

    #[test]
    fn finalizers_begin_once_and_in_reverse_order() {
        let queue = queue(&["a", "b"]);
        assert!(queue.claim());
        let (runner, end) = (Runner::Main, Instant::now() + Duration::from_secs(1));
        for name in ["b", "a"] {
            assert_eq!(queue.begin_next(runner, end).unwrap().name, name);
            assert!(queue.begin_next(runner, end).is_none(), "one at a time");
            queue.ended(runner, FinalizerEnd::Ended, None);
        }
        assert!(queue.begin_next(runner, end).is_none());
        assert!(queue.push("late".to_owned(), Body::WithState).is_none());
    }

    #[test]
    fn a_runner_that_lost_its_turn_begins_no_finalizer() {
        let queue = queue(&["a", "b"]);
        let (first, end) = (Runner::Main, Instant::now() + Duration::from_secs(1));
        assert!(queue.claim());
        assert!(!queue.claim());
        queue.begin_next(first, end).unwrap();
        let now = end + Duration::from_secs(2);
        let is_main_stuck = false;
        let late = Look {
            now,
            began: end,
            end: now + Duration::from_secs(9),
            is_main_stuck,
            can_take_over: true,
        };
        let Watched::TookOver(second) = queue.watch(&late) else { panic!("it is late") };
        queue.ended(first, FinalizerEnd::Ended, None);
        assert!(queue.begin_next(first, end).is_none());
        assert_eq!(queue.begin_next(second, end).unwrap().name, "a");
        assert_eq!(queue.reports().len(), 1);
        assert_eq!(queue.reports()[0].end, FinalizerEnd::LeftBehind);
    }

    /// A runner that has come back by the time of the look keeps its turn, and what it runs is not taken for what was late.
    #[test]
    fn a_runner_that_has_come_back_keeps_its_turn() {
        let queue = queue(&["a", "b"]);
        let (runner, end) = (Runner::Main, Instant::now() + Duration::from_secs(60));
        assert!(queue.claim());
        queue.begin_next(runner, Instant::now()).unwrap();
        queue.ended(runner, FinalizerEnd::Ended, None);
        let running = queue.begin_next(runner, end).unwrap();
        let (now, is_main_stuck) = (Instant::now() + Duration::from_secs(5), false);
        let look = Look { now, began: now, end, is_main_stuck, can_take_over: true };
        assert!(matches!(queue.watch(&look), Watched::Until(_)));
        assert!(!running.timed_out.is_cancelled());
    }

    #[test]
    fn what_runs_at_the_end_of_the_budget_is_told_to_end() {
        let queue = queue(&["a"]);
        let end = Instant::now() + Duration::from_secs(1);
        assert!(queue.claim());
        let running = queue.begin_next(Runner::Main, end).unwrap();
        let look = Look { now: end, began: end, end, is_main_stuck: false, can_take_over: false };
        assert_eq!(queue.watch(&look), Watched::GaveUp);
        assert!(running.timed_out.is_cancelled());
    }

    #[test]
    fn time_is_shared_evenly_and_unused_time_passes_on() {
        let second = Duration::from_secs(1);
        assert_eq!(share(second * 6, 2, None), second * 2);
        assert_eq!(share(second * 6, 0, None), second * 6);
        assert_eq!(share(second * 6, 2, Some(second)), second);
        assert_eq!(share(second * 6, 2, Some(second * 60)), second * 4);
        assert_eq!(share(second * 6, 0, Some(second * 60)), second * 6);
        assert_eq!(share(Duration::ZERO, 3, Some(second)), Duration::ZERO);
    }
}
