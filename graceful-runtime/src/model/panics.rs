//! Catches panics of user code, and formats them.

use std::{
    any::Any,
    mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::model::sanitize;

/// Calls `poll`. A panic becomes `Ready` with the payload.
pub(crate) fn caught<T>(poll: impl FnOnce() -> Poll<T>) -> Poll<Result<T, Box<dyn Any + Send>>> {
    match panic::catch_unwind(AssertUnwindSafe(poll)) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

pin_project! {
    /// The future of [`catch_unwind`].
    pub(crate) struct CatchUnwind<F> {
        #[pin]
        future: F,
    }
}

/// Resolves to the output of `future`, or to the payload of its panic.
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

/// Calls user code whose panic must not unwind into the library. Returns `None` after a panic, whose message the panic hook has printed by then. The
/// payload is leaked, because its drop is user code, too, and may panic again.
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(mem::forget).ok()
}

/// The message of a panic as it is shown, with its line breaks.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    sanitize::lines(text.unwrap_or("a panic without a message")).to_string()
}
