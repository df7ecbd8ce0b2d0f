//! Cleanup steps: how they are registered, how each runs within its time, and who runs them.
//!
//! # Invariants
//!
//! 1. A hook is popped under the lock by the one runner whose turn it is: it runs at most once.
//! 2. FinalizerQueue are popped in reverse order of registration, one after the other.
//! 3. Whose turn it is says [`Turns`](crate::model::finalizer_turns::Turns).

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    model::finalizer_turns::{Look, Next, Runner, Turns},
    model::{
        report::{FinalizerEnd, FinalizerReport},
        settings::TICK,
    },
    os::mutex::Mutex,
};

/// What a hook ends with.
pub(crate) type HookResult = Result<(), String>;
pub(crate) type HookFuture = Pin<Box<dyn Future<Output = HookResult> + Send>>;

/// What is run.
pub(crate) enum Step {
    /// Anywhere.
    Shared(Box<dyn FnOnce() -> HookFuture + Send>),
    /// `finalize` of the builder, whose state the main thread has.
    State,
}

struct Hook {
    id: u64,
    name: String,
    timeout: Option<Duration>,
    step: Step,
}

/// The hook that runs now.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) name: String,
    pub(crate) since: Instant,
    /// Tells the runner to drop it.
    pub(crate) cut: CancellationToken,
}

#[derive(Default)]
struct Inner {
    stack: Vec<Hook>,
    next: u64,
    turns: Turns,
    current: Option<Current>,
    done: Vec<FinalizerReport>,
}

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

    /// Registers a hook; `None` once all have run.
    pub(crate) fn push(&self, name: String, step: Step) -> Option<u64> {
        let mut inner = self.inner.lock();
        let id = inner.next;
        inner.next += 1;
        if inner.turns.is_over() {
            return None;
        }
        inner.stack.push(Hook { id, name, timeout: None, step });
        drop(inner);
        if id == 0 {
            self.changed.notify_one();
        }
        Some(id)
    }

    /// Whether a hook was ever registered.
    pub(crate) fn are_there(&self) -> bool {
        self.inner.lock().next > 0
    }

    pub(crate) fn set_timeout(&self, id: u64, timeout: Duration) {
        if let Some(hook) = self.inner.lock().stack.iter_mut().find(|hook| hook.id == id) {
            hook.timeout = Some(timeout);
        }
    }

    pub(crate) fn cancel(&self, id: u64) -> bool {
        let mut inner = self.inner.lock();
        let at = inner.stack.iter().position(|hook| hook.id == id);
        // Its drop is user code: after the lock.
        let hook = at.map(|at| inner.stack.remove(at));
        drop(inner);
        hook.is_some()
    }

    /// Takes the turn for the main thread, if it is still to be had.
    pub(crate) fn claim(&self) -> bool {
        self.inner.lock().turns.claim()
    }

    /// Takes the turn from whoever has it, and leaves the hook behind that it is in.
    pub(crate) fn take_over(&self) -> Runner {
        let mut inner = self.inner.lock();
        if let Some(current) = inner.current.take() {
            let error = "it blocked its thread until its time had passed".to_owned();
            inner.done.push(current.report(FinalizerEnd::LeftBehind, Some(error)));
        }
        inner.turns.take_over()
    }

    /// What the driver has to do now. A hook whose time has passed is cut.
    pub(crate) fn watch(&self, look: &Look) -> Next {
        let inner = self.inner.lock();
        let next = inner.turns.next(look);
        let cuts = matches!(next, Next::CutAndWaitUntil(_) | Next::TakeOver);
        let current = inner.current.as_ref().filter(|_| cuts).map(|current| current.cut.clone());
        drop(inner);
        if let Some(cut) = current {
            cut.cancel();
        }
        next
    }

    /// The next hook of the runner whose turn it is, with the time it has until `end`.
    pub(crate) fn next(
        &self,
        runner: Runner,
        end: Instant,
    ) -> Option<(String, Step, CancellationToken)> {
        let mut inner = self.inner.lock();
        if !inner.turns.may_begin(runner) {
            return None;
        }
        let Some(hook) = inner.stack.pop() else {
            inner.turns.finish();
            return None;
        };
        let since = Instant::now();
        let share = share(end.saturating_duration_since(since), inner.stack.len(), hook.timeout);
        let cut = CancellationToken::new();
        inner.turns.begin(since + share);
        inner.current = Some(Current { name: hook.name.clone(), since, cut: cut.clone() });
        drop(inner);
        // It watches the time of this one from now on, and would be too late by itself.
        if share < TICK {
            self.changed.notify_one();
        }
        Some((hook.name, hook.step, cut))
    }

    /// The hook of this runner has ended.
    pub(crate) fn ended(&self, runner: Runner, end: FinalizerEnd, error: Option<String>) {
        let mut inner = self.inner.lock();
        if inner.turns.end(runner) {
            let current = inner.current.take();
            inner.done.extend(current.map(|current| current.report(end, error)));
        }
    }

    pub(crate) fn current(&self) -> Option<Current> {
        self.inner.lock().current.clone()
    }

    /// The main thread has done with the hooks, or found that others run them.
    pub(crate) fn main_came_back(&self) {
        self.inner.lock().turns.main_came_back();
    }

    /// Whether the hooks were taken over from the main thread, and it has not come back.
    pub(crate) fn is_main_stuck(&self) -> bool {
        self.inner.lock().turns.is_main_stuck()
    }

    /// Whether every hook has run or was left behind.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().turns.is_over()
    }

    /// Gives up: what has not run is left behind.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.turns.finish();
        let current = inner.current.take();
        let error = || Some("the time of the program had passed".to_owned());
        inner.done.extend(current.map(|current| current.report(FinalizerEnd::LeftBehind, error())));
        let left = std::mem::take(&mut inner.stack);
        inner.done.extend(left.iter().rev().map(|hook| FinalizerReport {
            name: hook.name.clone(),
            duration: Duration::ZERO,
            error: error(),
            end: FinalizerEnd::LeftBehind,
        }));
        drop(inner);
        // Neither run nor dropped: a drop is user code, and this thread must come back.
        std::mem::forget(left);
    }

    pub(crate) fn reports(&self) -> Vec<FinalizerReport> {
        self.inner.lock().done.clone()
    }
}

impl Current {
    fn report(self, end: FinalizerEnd, error: Option<String>) -> FinalizerReport {
        FinalizerReport { name: self.name, duration: self.since.elapsed(), error, end }
    }
}

impl fmt::Debug for FinalizerQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinalizerQueue").finish_non_exhaustive()
    }
}

/// The time of one hook out of what is left, with `others` still to run after it: an even share, or its own time as far as
/// that leaves the others half of theirs.
fn share(left: Duration, others: usize, own: Option<Duration>) -> Duration {
    let hooks = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    let even = left / hooks;
    match own {
        None => even,
        Some(own) => own.min(left - even * (hooks - 1) / 2),
    }
}

/// The error of a hook as text.
pub(crate) fn text<E: fmt::Debug>(result: Result<(), E>) -> HookResult {
    result.map_err(|error| format!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(names: &[&str]) -> FinalizerQueue {
        let hooks = FinalizerQueue::default();
        for name in names {
            hooks.push((*name).to_owned(), Step::State).unwrap();
        }
        hooks
    }

    #[test]
    fn hooks_are_handed_out_in_reverse_and_once() {
        let hooks = hooks(&["a", "b"]);
        assert!(hooks.claim());
        let (runner, end) = (Runner::Main, Instant::now() + Duration::from_secs(1));
        for name in ["b", "a"] {
            assert_eq!(hooks.next(runner, end).unwrap().0, name);
            assert!(hooks.next(runner, end).is_none(), "one after the other");
            hooks.ended(runner, FinalizerEnd::Ended, None);
        }
        assert!(hooks.next(runner, end).is_none());
        assert!(hooks.push("late".to_owned(), Step::State).is_none());
    }

    #[test]
    fn a_runner_that_lost_its_turn_gets_nothing() {
        let hooks = hooks(&["a", "b"]);
        let (first, end) = (Runner::Main, Instant::now() + Duration::from_secs(1));
        assert!(hooks.claim());
        assert!(!hooks.claim());
        hooks.next(first, end).unwrap();
        let second = hooks.take_over();
        hooks.ended(first, FinalizerEnd::Ended, None);
        assert!(hooks.next(first, end).is_none());
        assert_eq!(hooks.next(second, end).unwrap().0, "a");
        assert_eq!(hooks.reports().len(), 1);
        assert_eq!(hooks.reports()[0].end, FinalizerEnd::LeftBehind);
    }

    #[test]
    fn time_is_shared_evenly_and_what_is_not_used_passes_on() {
        let second = Duration::from_secs(1);
        assert_eq!(share(second * 6, 2, None), second * 2);
        assert_eq!(share(second * 6, 0, None), second * 6);
        assert_eq!(share(second * 6, 2, Some(second)), second);
        assert_eq!(share(second * 6, 2, Some(second * 60)), second * 4);
        assert_eq!(share(second * 6, 0, Some(second * 60)), second * 6);
        assert_eq!(share(Duration::ZERO, 3, Some(second)), Duration::ZERO);
    }
}
