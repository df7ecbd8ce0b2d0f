//! Races and joins of two futures, without a runtime and without an allocation.
//!
//! Each function is as cancel safe as its futures are.

use std::{future::poll_fn, pin::pin, task::Poll};

/// Returns the output of `future`, or `None` if `other` is ready first. `future` is polled first, so it wins if both are ready.
pub(crate) async fn race<F: Future>(future: F, other: impl Future) -> Option<F::Output> {
    let (mut future, mut other) = (pin!(future), pin!(other));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => other.as_mut().poll(cx).map(|_| None),
    })
    .await
}

/// Runs both futures to their ends and returns the output of `future`. At each wake-up `future` is polled first.
pub(crate) async fn join_with<T>(
    future: impl Future<Output = T>,
    other: impl Future<Output = ()>,
) -> T {
    let mut other = pin!(other);
    let mut other_ended = false;
    let output = {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let output = future.as_mut().poll(cx);
            other_ended = other_ended || other.as_mut().poll(cx).is_ready();
            output
        })
        .await
    };
    if !other_ended {
        other.await;
    }
    output
}

/// Runs `helper` alongside `future`, and drops it unfinished once `future` ends. At each wake-up `helper` is polled first.
#[cfg(feature = "http")]
pub(crate) async fn alongside<T>(
    future: impl Future<Output = T>,
    helper: impl Future<Output = ()>,
) -> T {
    let (mut future, mut helper) = (pin!(future), pin!(helper));
    let mut helper_ended = false;
    poll_fn(|cx| {
        helper_ended = helper_ended || helper.as_mut().poll(cx).is_ready();
        future.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::Pin,
        task::{Context, Waker},
    };

    use tokio_util::sync::CancellationToken;

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_race_is_won_by_the_first_argument_if_both_are_ready() {
        assert_eq!(poll(pin!(race(ready(1), ready(2)))), Poll::Ready(Some(1)));
        assert_eq!(poll(pin!(race(pending::<()>(), ready(2)))), Poll::Ready(None));
        assert_eq!(poll(pin!(race(pending::<()>(), pending::<()>()))), Poll::Pending);
    }

    #[test]
    fn a_join_waits_for_both_and_polls_neither_after_its_end() {
        for first in [0, 1] {
            let ends = [CancellationToken::new(), CancellationToken::new()];
            let output = async {
                ends[0].cancelled().await;
                "output"
            };
            let mut join = pin!(join_with(output, async { ends[1].cancelled().await }));
            assert_eq!(poll(join.as_mut()), Poll::Pending);
            ends[first].cancel();
            assert_eq!(poll(join.as_mut()), Poll::Pending);
            ends[1 - first].cancel();
            assert_eq!(poll(join.as_mut()), Poll::Ready("output"));
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_helper_is_polled_first_and_not_waited_for() {
        let end = CancellationToken::new();
        let mut served = pin!(alongside(end.cancelled(), async { end.cancel() }));
        assert_eq!(poll(served.as_mut()), Poll::Ready(()));
        assert_eq!(poll(pin!(alongside(ready(1), pending()))), Poll::Ready(1));
    }
}
