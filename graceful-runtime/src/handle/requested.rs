//! Waiting for the stop: `requested`, and `until_requested`, which ends a loop that takes work from outside without losing work that
//! had already arrived.

use std::{
    future::poll_fn,
    io::Write,
    marker::PhantomData,
    os::unix::net::UnixStream as StdUnixStream,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use tokio::{
    io::Interest,
    net::UnixStream,
    task::{coop, yield_now},
};

use crate::{
    handle::scope_ref::ScopeRef, program::current, sync::wait_list::Ticket, tracking::scope::Scope,
};

/// The future of [`Shutdown::requested`](crate::Shutdown::requested): ready once the stop is requested.
///
/// # Performance
///
/// A waiting future takes 16 bytes in a list that belongs to the thread which polled it first. Waiting tasks share no lock.
///
/// # Cancel safety
///
/// Cancel safe.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Requested<'a> {
    scope: &'static Scope,
    ticket: Option<Ticket>,
    /// The handle keeps the scope from being used again for another program.
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

/// The state of [`until`].
enum Until {
    Waiting,
    /// The stop is requested. The I/O driver takes a turn, so that the runtime learns of all I/O that the system has ready.
    DriverTurn(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The turn is over. If the future is not ready now, its I/O had not arrived before the request.
    Turned,
}

/// Returns the output of `future`, or `None` if the stop is requested and `future` is not ready after a turn of the I/O driver.
///
/// `future` is polled first each time, so that a value that is ready is never lost. A future that is pending only because its task
/// has used up its coop budget may be ready: it is polled again with a fresh budget.
pub(crate) async fn until<F: Future>(target: &ScopeRef, future: F) -> Option<F::Output> {
    let (mut future, mut requested) = (pin!(future), pin!(Requested::new(target)));
    let mut state = Until::Waiting;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            if target.is_requested() && !coop::has_budget_remaining() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match &mut state {
                Until::Waiting => {
                    ready!(requested.as_mut().poll(cx));
                    state = Until::DriverTurn(Box::pin(driver_turn()));
                }
                Until::DriverTurn(turn) => {
                    ready!(turn.as_mut().poll(cx));
                    state = Until::Turned;
                }
                Until::Turned => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// Waits until the runtime has seen all I/O events that the system had before this call.
///
/// The system reports events in the order in which they occurred. So this makes a socket readable and waits for its event, which
/// comes after all earlier ones.
///
/// The order is that of the kernel's list of ready sockets: Linux (`epoll`), the BSDs and macOS (`kqueue`) append a socket when it
/// becomes ready, or when it is registered and ready, and report from the front. No manual promises this. Tests check it on Linux;
/// for the other systems the kernels' sources were read.
pub(crate) async fn driver_turn() {
    // A runtime of other code may lack I/O, in which case Tokio panics. Then no I/O can be ready either.
    let Some(Ok((probe, mut other))) = current::current().map(|_| StdUnixStream::pair()) else {
        return yield_now().await;
    };
    let written = other.write(&[0]).and_then(|_| probe.set_nonblocking(true));
    match written.and_then(|()| UnixStream::from_std(probe)) {
        Ok(probe) => drop(probe.ready(Interest::READABLE).await),
        Err(_) => yield_now().await,
    }
}
