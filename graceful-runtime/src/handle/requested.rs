//! Hearing of the stop: `requested`, and `until_requested`, with which a loop that takes work from outside ends without losing what had
//! already arrived.

use std::{
    future::poll_fn,
    marker::PhantomData,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use tokio::{
    io::Interest,
    net::UnixStream,
    task::{coop, yield_now},
};

use crate::{handle::scope_ref::ScopeRef, sync::wait_list::Ticket, tracking::scope::Scope};

/// What [`Shutdown::requested`] returns: resolves once the stop is requested.
///
/// Waiting costs 16 bytes in a list of the thread that polls it first; no lock is shared by all that wait.
///
/// # Cancel safety
///
/// Cancel safe.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Requested<'a> {
    scope: &'static Scope,
    ticket: Option<Ticket>,
    /// A part is used again once its program is gone, which the handle keeps from going.
    target: PhantomData<&'a ScopeRef>,
}

impl Requested<'_> {
    pub(crate) fn new(target: &ScopeRef) -> Self {
        Self { scope: target.scope, ticket: None, target: PhantomData }
    }
}

impl Future for Requested<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let scope = self.scope;
        scope.poll_requested(&mut self.ticket, cx)
    }
}

impl Drop for Requested<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.scope.leave(ticket);
        }
    }
}

type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a waiting future is on its way to the end.
enum Step {
    Waiting,
    /// Requested; the I/O driver takes a turn, so that what the system has is known to the runtime.
    Turning(Turn),
    /// What is not ready now had not arrived.
    Turned,
}

/// Resolves to what `future` gives, or to `None` once the stop is requested and `future` is not ready after a turn of the I/O driver.
///
/// `future` is polled first each time, so that a value that is ready is never lost. `Pending` for want of coop budget says
/// nothing about readiness: it is polled again with a fresh budget.
pub(crate) async fn until<F: Future>(target: &ScopeRef, future: F) -> Option<F::Output> {
    let (mut future, mut requested) = (pin!(future), pin!(Requested::new(target)));
    let mut step = Step::Waiting;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            if target.is_requested() && !coop::has_budget_remaining() {
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

/// Resolves to what `future` gives, or to `None` if the stop is requested before it is ready.
pub(crate) async fn before<F: Future>(target: &ScopeRef, future: F) -> Option<F::Output> {
    let (mut future, mut requested) = (pin!(future), pin!(Requested::new(target)));
    poll_fn(|cx| match requested.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(cx).map(Some),
    })
    .await
}

/// Ends once the runtime has seen every event of I/O that the system had before: the system hands events out in the order in
/// which they came, so the readiness of a socket that is written to now comes after theirs.
///
/// That order is that of the list which a kernel keeps of what is ready: Linux (`epoll`) and the BSDs and macOS (`kqueue`) append a socket when it becomes
/// ready, or is registered and ready, and hand out from the front. No manual promises it. Tests see it on Linux; of the others the sources were read.
async fn turn() {
    // A runtime that is not ours may be without I/O, for which tokio panics; it then has nothing that could be ready.
    let Some(Ok((probe, mut other))) =
        crate::program::current::current().map(|_| std::os::unix::net::UnixStream::pair())
    else {
        return yield_now().await;
    };
    let written = std::io::Write::write(&mut other, &[0]).and_then(|_| probe.set_nonblocking(true));
    match written.and_then(|()| UnixStream::from_std(probe)) {
        Ok(probe) => drop(probe.ready(Interest::READABLE).await),
        Err(_) => yield_now().await,
    }
}
