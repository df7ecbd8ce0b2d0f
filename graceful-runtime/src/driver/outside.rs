//! Steps of a future that are taken outside of the `block_on` that drives it.
//!
//! Inside of one a thread must not block: to drop a runtime there, as clients that can block do when they are dropped, panics. So what
//! is dropped or run for the user at the end of a life is a step outside, between two stays inside.
//!
//! The whole future is polled outside then, once, with a waker that does nothing. Nothing is missed by that: the next stay inside begins
//! with a poll.

use std::{
    cell::Cell,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

thread_local! {
    /// The future that this thread drives asks to be polled outside.
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// What follows, up to the next point at which the caller waits, happens where blocking is allowed. Only for what [`drive`] drives.
pub(crate) async fn outside() {
    let mut is_outside = false;
    poll_fn(|_| {
        if is_outside {
            return Poll::Ready(());
        }
        is_outside = true;
        IS_ASKED.set(true);
        Poll::Pending
    })
    .await;
}

/// Drives a future to its end by a `block_on`, and outside of it where it asks for that. The caller is in the context of the runtime.
pub(crate) fn drive<F: Future>(
    future: F,
    block_on: impl Fn(Inside<'_, F>) -> Option<F::Output>,
) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = block_on(Inside { future: future.as_mut(), was_polled: false }) {
            return output;
        }
        let step = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = step {
            return output;
        }
    }
}

/// A stay inside of `block_on`: until the future ends, or `None` when it asks to be polled outside.
///
/// It lasts for a turn of the runtime at least, so that a future that asks again and again does not stop what it waits for.
pub(crate) struct Inside<'a, F> {
    future: Pin<&'a mut F>,
    was_polled: bool,
}

impl<F: Future> Future for Inside<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let is_first = !mem::replace(&mut self.was_polled, true);
        if !IS_ASKED.get() {
            if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
        }
        if !IS_ASKED.get() {
            return Poll::Pending;
        }
        if is_first {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        IS_ASKED.set(false);
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
            let life = async {
                yield_now().await;
                outside().await;
                drop(owned);
                yield_now().await;
                "over"
            };
            assert_eq!(drive(life, |inside| runtime.block_on(inside)), "over");
        }
    }

    /// A task of the runtime is what it waits for, and it does nothing but ask.
    #[test]
    fn who_asks_again_and_again_lets_the_runtime_go_on() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn(async { yield_now().await });
        let life = async {
            while !task.is_finished() {
                outside().await;
            }
        };
        drive(life, |inside| runtime.block_on(inside));
    }
}
