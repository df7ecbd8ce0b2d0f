//! Cleanup steps: how they are registered, how each runs within its time, and who runs them.
//!
//! # Invariants
//!
//! 1. A hook is popped under the lock by the one runner whose turn it is: it runs at most once.
//! 2. Hooks are popped in reverse order of registration, one after the other.
//! 3. A runner that lost its turn, because its thread did not come back, starts no further hook.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    lock::Mutex,
    outcome::Outcome,
    report::{FinalizerEnd, FinalizerReport},
    settings::TICK,
};

/// A cleanup step, run after the drain.
///
/// Implemented by `async` closures that return `()` or `Result<(), E>`, and by types of your own:
///
/// ```
/// use graceful::Finalize;
///
/// struct Store;
///
/// impl Finalize for Store {
///     type Error = std::io::Error;
///
///     async fn finalize(self) -> Result<(), Self::Error> {
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a finalizer",
    note = "give an `async` closure without parameters that returns `()` or `Result<(), E>`, or a type that implements `Finalize`"
)]
pub trait Finalize: Send + 'static {
    /// What tells that the step went wrong.
    type Error;

    /// Takes the step. It is not interrupted by signals; it is dropped unfinished only when its time has passed.
    ///
    /// # Errors
    ///
    /// Whatever went wrong: it is printed, logged and reported, makes the exit status 1, and does not stop the other finalizers.
    fn finalize(self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

#[diagnostic::do_not_recommend]
impl<F, Fut, O> Finalize for F
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = O> + Send,
    O: Outcome,
{
    type Error = O::Error;

    async fn finalize(self) -> Result<(), O::Error> {
        self().await.into_result().map(|_| ())
    }
}

/// A registered finalizer, to be changed or taken back. Dropping it changes nothing.
#[derive(Debug)]
pub struct Finalizer {
    pub(crate) program: Arc<crate::program::Program>,
    pub(crate) id: u64,
}

impl Finalizer {
    /// Gives the step a time of its own, instead of an even share of what is left.
    ///
    /// It is a maximum: where the budget has less left, the step gets less, and the steps still to run keep half of their
    /// even share. The time starts when the step does.
    #[allow(clippy::must_use_candidate, reason = "the handle need not be kept")]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.program.hooks.set_timeout(self.id, timeout);
        self
    }

    /// Takes the step back: it will not run. Returns whether that was in time.
    #[allow(clippy::must_use_candidate, reason = "often it does not matter")]
    pub fn cancel(self) -> bool {
        self.program.hooks.cancel(self.id)
    }
}

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
    pub(crate) deadline: Instant,
    /// Tells the runner to drop it.
    pub(crate) cut: CancellationToken,
}

#[derive(Default)]
struct Inner {
    stack: Vec<Hook>,
    next: u64,
    /// Whose turn it is; 0 before the first.
    runner: u64,
    current: Option<Current>,
    done: Vec<FinalizerReport>,
    closed: bool,
    /// The main thread has done with the hooks.
    is_main_back: bool,
}

#[derive(Default)]
pub(crate) struct Hooks {
    inner: Mutex<Inner>,
    /// Wakes the driver.
    changed: Arc<Notify>,
}

impl Hooks {
    pub(crate) fn new(changed: Arc<Notify>) -> Self {
        Self { inner: Mutex::default(), changed }
    }

    /// Registers a hook; `None` once all have run.
    pub(crate) fn push(&self, name: String, step: Step) -> Option<u64> {
        let mut inner = self.inner.lock();
        let id = inner.next;
        inner.next += 1;
        if inner.closed {
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

    fn set_timeout(&self, id: u64, timeout: Duration) {
        if let Some(hook) = self.inner.lock().stack.iter_mut().find(|hook| hook.id == id) {
            hook.timeout = Some(timeout);
        }
    }

    fn cancel(&self, id: u64) -> bool {
        let mut inner = self.inner.lock();
        let at = inner.stack.iter().position(|hook| hook.id == id);
        // Its drop is user code: after the lock.
        let hook = at.map(|at| inner.stack.remove(at));
        drop(inner);
        hook.is_some()
    }

    /// Takes the turn, if nobody has had it yet.
    pub(crate) fn claim(&self) -> Option<u64> {
        let mut inner = self.inner.lock();
        (inner.runner == 0).then(|| {
            inner.runner = 1;
            1
        })
    }

    /// Takes the turn from whoever has it, and leaves the hook behind that it is in.
    ///
    /// The first runner is the main thread, also where it never had its turn: from here on it is not waited for.
    pub(crate) fn take_over(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.runner = inner.runner.max(1) + 1;
        if let Some(current) = inner.current.take() {
            let end = FinalizerEnd::LeftBehind;
            inner.done.push(
                current.report(
                    end,
                    Some("it blocked its thread until its time had passed".to_owned()),
                ),
            );
        }
        inner.runner
    }

    /// The next hook of the runner whose turn it is, with the time it has until `end`.
    pub(crate) fn next(
        &self,
        runner: u64,
        end: Instant,
    ) -> Option<(String, Step, CancellationToken)> {
        let mut inner = self.inner.lock();
        if inner.runner != runner {
            return None;
        }
        let Some(hook) = inner.stack.pop() else {
            inner.closed = true;
            return None;
        };
        let since = Instant::now();
        let share = share(end.saturating_duration_since(since), inner.stack.len(), hook.timeout);
        let cut = CancellationToken::new();
        inner.current = Some(Current {
            name: hook.name.clone(),
            since,
            deadline: since + share,
            cut: cut.clone(),
        });
        drop(inner);
        // It watches the time of this one from now on, and would be too late by itself.
        if share < TICK {
            self.changed.notify_one();
        }
        Some((hook.name, hook.step, cut))
    }

    /// The hook of this runner has ended.
    pub(crate) fn ended(&self, runner: u64, end: FinalizerEnd, error: Option<String>) {
        let mut inner = self.inner.lock();
        if inner.runner != runner {
            return;
        }
        if let Some(current) = inner.current.take() {
            inner.done.push(current.report(end, error));
        }
    }

    pub(crate) fn current(&self) -> Option<Current> {
        self.inner.lock().current.clone()
    }

    pub(crate) fn runner(&self) -> u64 {
        self.inner.lock().runner
    }

    /// The main thread has done with the hooks, or found that others run them.
    pub(crate) fn main_came_back(&self) {
        self.inner.lock().is_main_back = true;
    }

    /// Whether the hooks were taken over from the main thread, and it has not come back.
    pub(crate) fn is_main_stuck(&self) -> bool {
        let inner = self.inner.lock();
        inner.runner > 1 && !inner.is_main_back
    }

    /// Whether every hook has run or was left behind.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Gives up: what has not run is left behind.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.runner += 1;
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

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
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

    fn hooks(names: &[&str]) -> Hooks {
        let hooks = Hooks::default();
        for name in names {
            hooks.push((*name).to_owned(), Step::State).unwrap();
        }
        hooks
    }

    #[test]
    fn hooks_are_handed_out_in_reverse_and_once() {
        let hooks = hooks(&["a", "b"]);
        let (runner, end) = (hooks.claim().unwrap(), Instant::now() + Duration::from_secs(1));
        assert_eq!(hooks.next(runner, end).unwrap().0, "b");
        assert_eq!(hooks.next(runner, end).unwrap().0, "a");
        assert!(hooks.next(runner, end).is_none());
        assert!(hooks.push("late".to_owned(), Step::State).is_none());
    }

    #[test]
    fn a_runner_that_lost_its_turn_gets_nothing() {
        let hooks = hooks(&["a", "b"]);
        let (first, end) = (hooks.claim().unwrap(), Instant::now() + Duration::from_secs(1));
        assert!(hooks.claim().is_none());
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
