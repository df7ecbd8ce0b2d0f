//! Polling a future outside of the `block_on` that drives it.
//!
//! Inside of `block_on` a thread must not block: dropping a runtime there panics, and blocking clients own a runtime. So user
//! code that runs or is dropped at the end of a program gets one poll outside of `block_on`, between two calls of it.
//!
//! That poll polls the whole future, with a waker that does nothing. No wake-up is lost, because the next call of `block_on`
//! begins with a poll.

use std::{
    cell::Cell,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

thread_local! {
    /// Set while the future that this thread drives asks to be polled outside.
    static WANTS_OUTSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The code after this call, up to the caller's next `.await` that waits, runs where blocking is allowed. Only for futures that
/// [`drive`] drives.
pub(crate) async fn outside() {
    let mut is_outside = false;
    poll_fn(|_| {
        if is_outside {
            return Poll::Ready(());
        }
        is_outside = true;
        WANTS_OUTSIDE.set(true);
        Poll::Pending
    })
    .await;
}

/// Drives a future to its end with `block_on`, and polls it outside of `block_on` when it calls [`outside`].
///
/// The caller must have entered the context of the runtime.
pub(crate) fn drive<F: Future>(
    future: F,
    block_on: impl Fn(Inside<'_, F>) -> Option<F::Output>,
) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = block_on(Inside { future: future.as_mut(), was_polled: false }) {
            return output;
        }
        let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = poll {
            return output;
        }
    }
}

/// One call of `block_on`: returns the future's output, or `None` when the future asks to be polled outside.
///
/// Each call lasts for at least one turn of the runtime, so that a future that asks again and again lets the runtime's tasks run.
pub(crate) struct Inside<'a, F> {
    future: Pin<&'a mut F>,
    was_polled: bool,
}

impl<F: Future> Future for Inside<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let is_first = !mem::replace(&mut self.was_polled, true);
        if !WANTS_OUTSIDE.get() {
            if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
        }
        if !WANTS_OUTSIDE.get() {
            return Poll::Pending;
        }
        if is_first {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        WANTS_OUTSIDE.set(false);
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, task::yield_now};

    use super::*;

    #[test]
    fn outside_of_a_runtime_another_may_be_dropped() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.build().unwrap();
            let owned = Builder::new_current_thread().build().unwrap();
            let future = async {
                yield_now().await;
                outside().await;
                drop(owned);
                yield_now().await;
                "over"
            };
            assert_eq!(drive(future, |inside| runtime.block_on(inside)), "over");
        }
    }

    /// The future waits for a task of the runtime and does nothing but ask.
    #[test]
    fn a_future_that_asks_again_and_again_lets_the_runtime_run() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn(async { yield_now().await });
        let future = async {
            while !task.is_finished() {
                outside().await;
            }
        };
        drive(future, |inside| runtime.block_on(inside));
    }
}
