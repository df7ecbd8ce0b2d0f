//! A section that neither signals nor force may cut.

use std::{
    panic,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::task::JoinHandle;

use crate::{
    handle::scope_ref::ScopeRef,
    program::state::Program,
    tracking::{
        label::{Abort, Label},
        tracked::{self, Job, Tracked, Weight},
        work::Key,
    },
};

/// What [`Shutdown::shield`](crate::Shutdown::shield) returns: begins at the first poll, gives the value of the shielded future.
#[must_use = "the shielded work does not begin until it is awaited"]
pub struct Shield<F: Future> {
    step: Step<F>,
    /// The piece of work that waits here, to be spared by a force.
    waits: Option<Waits>,
    target: ScopeRef,
    label: Label,
}

enum Step<F: Future> {
    New(Pin<Box<F>>),
    Running(JoinHandle<F::Output>),
    /// Finalization has begun: whoever calls is not interrupted either.
    InPlace(Pin<Box<F>>),
    Done,
}

/// A piece of work waits in a shield for as long as this lives. It may be in another part of the program, which may be gone before this is.
struct Waits(Key, Arc<Program>);

impl<F> Shield<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    pub(crate) fn new(target: ScopeRef, label: Label, future: F) -> Self {
        Self { step: Step::New(Box::pin(future)), target, label, waits: None }
    }

    fn begin(&mut self, future: Pin<Box<F>>) -> Step<F> {
        let ScopeRef { program, scope, .. } = &self.target;
        let entered = program.tracker.enter(scope, self.label.clone());
        let (Ok(work), Some(runtime)) = (entered, program.runtime.get()) else {
            return Step::InPlace(future);
        };
        self.waits = tracked::current(scope).map(|key| Waits::begin(key, program));
        let key = work.key();
        let job = Job::new(Some(work), Weight::Ordinary);
        let task = runtime.spawn(Tracked::new(future, job, |_| None));
        key.set_abort(Abort::Task(task.abort_handle()));
        Step::Running(task)
    }
}

impl<F> Future for Shield<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            match std::mem::replace(&mut self.step, Step::Done) {
                Step::New(future) => self.step = self.begin(future),
                Step::Running(mut task) => {
                    let Poll::Ready(result) = Pin::new(&mut task).poll(cx) else {
                        self.step = Step::Running(task);
                        return Poll::Pending;
                    };
                    self.waits = None;
                    match result {
                        Ok(value) => return Poll::Ready(value),
                        Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                        // Ended with the time of all shields, or with the runtime: there is no value, and the caller ends as well.
                        Err(_) => return Poll::Pending,
                    }
                }
                Step::InPlace(mut future) => {
                    let poll = future.as_mut().poll(cx);
                    if poll.is_pending() {
                        self.step = Step::InPlace(future);
                    }
                    return Poll::Ready(ready!(poll));
                }
                Step::Done => return Poll::Pending,
            }
        }
    }
}

// Nothing is pinned in place: the future is in a box.
impl<F: Future> Unpin for Shield<F> {}

impl<F: Future> std::fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shield").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Waits {
    fn begin(key: Key, program: &Arc<Program>) -> Self {
        program.tracker.shield(key);
        Self(key, Arc::clone(program))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let Self(key, program) = self;
        program.tracker.unshield(*key);
        tracked::shield_ended();
    }
}
