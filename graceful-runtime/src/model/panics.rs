//! Panics of user code, caught and put into words.

use std::{
    any::Any,
    mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::model::sanitize;

/// What `poll` gives, or what it panicked with.
pub(crate) fn caught<T>(poll: impl FnOnce() -> Poll<T>) -> Poll<Result<T, Box<dyn Any + Send>>> {
    match panic::catch_unwind(AssertUnwindSafe(poll)) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

pin_project! {
    /// Turns a panic of a future into a value.
    pub(crate) struct CatchUnwind<F> {
        #[pin]
        future: F,
    }
}

/// Runs `future` to its end or its panic.
pub(crate) fn catch_unwind<F: Future>(future: F) -> CatchUnwind<F> {
    CatchUnwind { future }
}

impl<F: Future> Future for CatchUnwind<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        caught(|| future.poll(cx))
    }
}

/// Runs user code whose panic must not end ours; the panic hook has printed its message. `None` after a panic, whose payload is
/// forgotten: its drop is user code too.
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(mem::forget).ok()
}

/// What a panic says of itself, as it is shown with its lines.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    sanitize::lines(text.unwrap_or("a panic without a message")).to_string()
}
