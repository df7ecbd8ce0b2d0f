//! Work while it runs: what wraps a future or a closure so that its end, error, panic or abort is told.

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
    /// It is reported.
    Ordinary,
    /// It is reported and stops the program.
    Essential,
    /// It is the life itself, which looks at the end of `init` and `main` by its own means.
    Life,
}

/// One piece of tracked work while it runs. `None`: it was refused and goes on all the same, or it has ended.
#[derive(Debug)]
pub(crate) struct Job {
    work: Option<Work>,
    weight: Weight,
}

impl Job {
    pub(crate) fn new(work: Option<Work>, weight: Weight) -> Self {
        Self { work, weight }
    }

    /// Runs a closure as this work.
    pub(crate) fn run<T>(mut self, f: impl FnOnce() -> T, error: fn(&T) -> Option<String>) -> T {
        // What shows the error is user code as well.
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

    fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        let Some(work) = &self.work else { return f() };
        let (key, outer) = (work.key(), CURRENT.get());
        // Work within work, as a tracked future in a task is, ends with the outer: that one is spared and aborted.
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

    /// Polls as this work.
    pub(crate) fn poll<T>(&self, f: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let poll = self.within(f);
        // Not within the work that the shield was counted for: that one takes it.
        if let (true, None, true, Some(work)) =
            (poll.is_pending(), CURRENT.get(), UNSHIELDED.get(), &self.work)
        {
            UNSHIELDED.set(false);
            work.key().unshielded();
        }
        poll
    }

    pub(crate) fn ended(&mut self, error: Option<String>) {
        let Some(work) = self.work.take() else { return };
        let essential = self.weight == Weight::Essential;
        if self.weight != Weight::Life && (essential || error.is_some()) {
            if let Some(listener) = work.key().listener() {
                listener.task_ended(&work.label(), essential, error);
            }
        }
        work.end(false);
    }

    pub(crate) fn panicked(&mut self, payload: &(dyn Any + Send)) {
        let Some(work) = self.work.take() else { return };
        if let (Some(listener), true) = (work.key().listener(), self.weight != Weight::Life) {
            let essential = self.weight == Weight::Essential;
            listener.task_panicked(&work.label(), essential, message(payload));
        }
        work.end(false);
    }
}

impl Drop for Job {
    /// Still here: aborted, by the force or by the user, or dropped before it began.
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        if let (Weight::Essential, Some(listener)) = (self.weight, work.key().listener()) {
            listener.task_ended(&work.label(), true, None);
        }
        work.end(true);
    }
}

pin_project! {
    /// A future that is counted until it ends or is dropped.
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
                // What its drop panics with is less telling than the panic that it died of.
                quietly(|| this.future.set(None));
                this.job.panicked(&*payload);
                panic::resume_unwind(payload)
            }
        }
    }
}

thread_local! {
    /// The work that this thread is in the middle of.
    static CURRENT: Cell<Option<Key>> = const { Cell::new(None) };
    static UNSHIELDED: Cell<bool> = const { Cell::new(false) };
}

/// The piece of work that this thread runs, if it is one of the scope's program.
pub(crate) fn current(scope: &Scope) -> Option<Key> {
    CURRENT.get().filter(|key| key.is_of_same_program(scope))
}

/// A shield gave its value to the work that runs on this thread.
pub(crate) fn shield_ended() {
    UNSHIELDED.set(true);
}
