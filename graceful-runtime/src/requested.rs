//! `until_requested`: a loop that takes work from outside ends, without losing what had already arrived.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Poll, ready},
};

use tokio::{
    io::Interest,
    net::UnixStream,
    task::{coop, yield_now},
};
use tokio_util::sync::CancellationToken;

type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a waiting future is on its way to the end.
enum Step {
    Waiting,
    /// Requested; the I/O driver takes a turn, so that what the system has is known to the runtime.
    Turning(Turn),
    /// What is not ready now had not arrived.
    Turned,
}

/// Resolves to what `future` gives, or to `None` once `token` is cancelled and `future` is not ready after a turn of the I/O driver.
///
/// `future` is polled first each time, so that a value that is ready is never lost. `Pending` for want of coop budget says
/// nothing about readiness: it is polled again with a fresh budget.
pub(crate) async fn until<F: Future>(token: &CancellationToken, future: F) -> Option<F::Output> {
    let (mut future, mut requested) = (pin!(future), pin!(token.cancelled()));
    let mut step = Step::Waiting;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            if token.is_cancelled() && !coop::has_budget_remaining() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match &mut step {
                Step::Waiting => {
                    ready!(requested.as_mut().poll(cx));
                    step = Step::Turning(Box::pin(turn()));
                }
                Step::Turning(turn) => {
                    ready!(turn.as_mut().poll(cx));
                    step = Step::Turned;
                }
                Step::Turned => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// Ends once the runtime has seen every event of I/O that the system had before: the system hands events out in the order in
/// which they came, so the readiness of a socket that is written to now comes after theirs.
async fn turn() {
    // A runtime that is not ours may be without I/O, for which tokio panics; it then has nothing that could be ready.
    let Some(Ok((probe, mut other))) =
        crate::registry::current().map(|_| std::os::unix::net::UnixStream::pair())
    else {
        return yield_now().await;
    };
    let written = std::io::Write::write(&mut other, &[0]).and_then(|_| probe.set_nonblocking(true));
    match written.and_then(|()| UnixStream::from_std(probe)) {
        Ok(probe) => drop(probe.ready(Interest::READABLE).await),
        Err(_) => yield_now().await,
    }
}
