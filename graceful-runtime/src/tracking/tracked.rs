//! The wrappers around a tracked future or closure, which report its end, error, panic or abort.
//!
//! # Shields
//!
//! A force spares a task that waits in a shield, and after that until the task's next `.await`, so that the task can use the value of the shield. Three
//! thread-locals implement this rule:
//!
//! * [`CURRENT`] is the work that this thread polls. A shield that begins to wait finds the task to protect there, and tells the tracker.
//! * [`LEFT_SHIELD`] is set when a shield returns its value. If that poll of the task ends with `Pending`, the task has reached its next `.await`, and a
//!   force that came meanwhile aborts it ([`Key::left_shield`]).
//! * [`Aborting`] marks that this thread drops aborted work, so that work dropped together with it counts as aborted, too.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::{
    model::panics::{caught, message, quietly},
    tracking::{
        aborting::Aborting,
        scope::Scope,
        work::{Key, Work},
    },
};

/// What the end of a piece of work means to the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// Its error or panic is reported.
    Ordinary,
    /// Its error or panic is reported, and its end stops the program.
    Essential,
    /// It is `init` or `main`, whose caller handles the end itself.
    Life,
}

/// A piece of work while it runs: what a wrapper holds beside the future or closure.
#[derive(Debug)]
pub(crate) struct Job {
    /// `None` after the work has ended, or if it was refused and runs untracked.
    work: Option<Work>,
    weight: Weight,
}

impl Job {
    pub(crate) fn new(work: Option<Work>, weight: Weight) -> Self {
        Self { work, weight }
    }

    /// Runs a closure as this work. `error` returns the text of the error if the closure has failed.
    pub(crate) fn run<T>(mut self, f: impl FnOnce() -> T, error: fn(&T) -> Option<String>) -> T {
        // Formatting the error is user code as well, so its panic is caught, too.
        let f = || {
            let value = f();
            let error = error(&value);
            (value, error)
        };
        let result = self.within(|| panic::catch_unwind(AssertUnwindSafe(f)));
        match result {
            Ok((value, error)) => {
                self.ended(error);
                value
            }
            Err(payload) => {
                self.panicked(&*payload);
                panic::resume_unwind(payload)
            }
        }
    }

    /// Calls `f` with this work as the current one of the thread.
    fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        let Some(work) = &self.work else { return f() };
        let (key, outer) = (work.key(), CURRENT.get());
        // Work inside other work, such as a tracked future in a task, ends with the outer work. So shields protect the outer work, and a force aborts it.
        if outer.is_some_and(|outer| outer.same_program(key)) {
            return f();
        }
        CURRENT.set(Some(key));
        let result = f();
        CURRENT.set(outer);
        result
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.work.is_some()
    }

    /// Polls a future as this work.
    pub(crate) fn poll<T>(&self, f: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let poll = self.within(f);
        // Skip if an outer task is running: the shield was registered for that task, and its own poll handles it.
        if let (true, None, true, Some(work)) =
            (poll.is_pending(), CURRENT.get(), LEFT_SHIELD.get(), &self.work)
        {
            LEFT_SHIELD.set(false);
            work.key().left_shield();
        }
        poll
    }

    /// The work has finished, with this error if it failed.
    pub(crate) fn ended(&mut self, error: Option<String>) {
        let Some(work) = self.work.take() else { return };
        let essential = self.weight == Weight::Essential;
        if self.weight != Weight::Life && (essential || error.is_some()) {
            if let Some(listener) = work.key().listener() {
                listener.task_ended(&work.label(), essential, error);
            }
        }
        work.end();
    }

    /// The work has panicked, which counts as finished.
    pub(crate) fn panicked(&mut self, payload: &(dyn Any + Send)) {
        let Some(work) = self.work.take() else { return };
        if let (Some(listener), true) = (work.key().listener(), self.weight != Weight::Life) {
            let essential = self.weight == Weight::Essential;
            listener.task_panicked(&work.label(), essential, message(payload));
        }
        work.end();
    }
}

impl Drop for Job {
    /// If the work has not finished, it was aborted by a force or by the user, or was dropped before it began.
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        if let (Weight::Essential, Some(listener)) = (self.weight, work.key().listener()) {
            listener.task_ended(&work.label(), true, None);
        }
        work.abandon();
    }
}

pin_project! {
    /// A future that is tracked until it ends or is dropped.
    pub(crate) struct Tracked<F: Future> {
        #[pin]
        future: Option<F>,
        job: Job,
        error: fn(&F::Output) -> Option<String>,
    }

    impl<F: Future> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _aborting = Aborting::begin();
                this.future.set(None);
            }
        }
    }
}

impl<F: Future> Tracked<F> {
    /// `error` returns the text of the error if the future has failed.
    pub(crate) fn new(future: F, job: Job, error: fn(&F::Output) -> Option<String>) -> Self {
        Self { future: Some(future), job, error }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        let error = *this.error;
        let poll = || {
            future.poll(cx).map(|value| {
                let error = error(&value);
                (value, error)
            })
        };
        match ready!(this.job.poll(|| caught(poll))) {
            Ok((value, error)) => {
                this.future.set(None);
                this.job.ended(error);
                Poll::Ready(value)
            }
            Err(payload) => {
                // A second panic, in the drop of the future, would hide the first, which is the one to report.
                quietly(|| this.future.set(None));
                this.job.panicked(&*payload);
                panic::resume_unwind(payload)
            }
        }
    }
}

thread_local! {
    /// The work that this thread polls or runs.
    static CURRENT: Cell<Option<Key>> = const { Cell::new(None) };
    /// A shield has returned its value to the current work, which has not reached its next `.await` since.
    static LEFT_SHIELD: Cell<bool> = const { Cell::new(false) };
}

/// The work that this thread polls or runs, if it belongs to the program of this scope.
pub(crate) fn current(scope: &Scope) -> Option<Key> {
    CURRENT.get().filter(|key| key.is_of_same_program(scope))
}

/// A shield has returned its value to the current work.
pub(crate) fn shield_ended() {
    LEFT_SHIELD.set(true);
}
