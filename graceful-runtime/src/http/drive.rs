//! Drives one connection: polls its protocol, and does what [`KeepAlive`](super::keep_alive::KeepAlive) decides.

use std::{
    future::{pending, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFuture;

use super::{
    connection::Connection,
    keep_alive::{Next, Stage, TimedOut},
    rare_wakeups::RareWakeups,
    server::Server,
};
use crate::handle::flight::Flight;

/// Why a connection was cut before it ended by itself.
pub(super) enum CutBy {
    Timeout(TimedOut),
    /// The report lists the requests in flight.
    Force,
}

/// The task's side of a connection. It outlives the steps of the connection: handshake, detection of the protocol, and HTTP.
pub(super) struct Drive<'a> {
    connection: &'a Connection,
    stages: watch::Receiver<Stage>,
    /// The server was dropped: there will be no more stages.
    is_server_gone: bool,
    cut: Pin<Box<WaitForCancellationFuture<'a>>>,
    timer: Timer,
    /// Empty between polls. It is kept here for its capacity.
    written: Vec<Flight>,
}

/// What a poll of the connection found.
enum Event<T> {
    Ended(T),
    NewStage(Stage),
    Retire,
    Conclude,
    Cut(CutBy),
}

impl<'a> Drive<'a> {
    pub(super) fn new(connection: &'a Connection, stages: watch::Receiver<Stage>) -> Self {
        Self {
            connection,
            stages,
            is_server_gone: false,
            cut: Box::pin(connection.cut().cancelled()),
            timer: Timer::new(),
            written: Vec::new(),
        }
    }

    /// Runs `future` until it ends or is to be cut. `retire` asks it to end by itself.
    pub(super) async fn run<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
        retire: impl Fn(Pin<&mut F>),
    ) -> Result<F::Output, CutBy> {
        loop {
            match self.next_event(future.as_mut()).await {
                Event::Ended(output) => return Ok(output),
                Event::NewStage(stage) => self.connection.update(|keep| keep.set_stage(stage)),
                Event::Retire => {
                    self.connection.update(|keep| keep.retired(Instant::now()));
                    retire(future.as_mut());
                }
                // The transport sees this at its next read, which follows at once.
                Event::Conclude => self.connection.update(|keep| keep.concluded(Instant::now())),
                Event::Cut(cut) => return Err(cut),
            }
        }
    }

    /// Polls the five sources of events. Their order matters:
    ///
    /// 1. A new stage first, so that `future` is polled with it in force.
    /// 2. `future` before the token and the timer, so that a request that has arrived begins before its connection is cut.
    /// 3. The decision of `KeepAlive` last, because all that `future` did is input to it.
    async fn next_event<F: Future>(&mut self, mut future: Pin<&mut F>) -> Event<F::Output> {
        let Self { connection, stages, is_server_gone, cut, timer, written } = self;
        let mut next_stage = pin!(next_stage(stages, is_server_gone, &connection.server));
        // A connection is polled for each request. Stage, token and timer fire once in its life or never.
        let mut rare = RareWakeups::default();
        poll_fn(|cx| {
            let (has_woken, mut rare_cx) = rare.poll(cx);
            if has_woken {
                if let Poll::Ready(stage) = next_stage.as_mut().poll(&mut rare_cx) {
                    return Poll::Ready(Event::NewStage(stage));
                }
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Event::Ended(output));
            }
            if has_woken {
                if cut.as_mut().poll(&mut rare_cx).is_ready() {
                    return Poll::Ready(Event::Cut(CutBy::Force));
                }
                timer.clear_if_fired(&mut rare_cx);
            }
            let next = connection.next(cx, written);
            written.drain(..).for_each(Flight::complete);
            let (at, event) = match next {
                Next::Wait => return Poll::Pending,
                Next::Retire => return Poll::Ready(Event::Retire),
                Next::RetireAt(at) => (at, Event::Retire),
                Next::ConcludeAt(at) => (at, Event::Conclude),
                Next::CutAt(at, why) => (at, Event::Cut(CutBy::Timeout(why))),
            };
            if timer.is_due(at, &mut rare_cx) { Poll::Ready(event) } else { Poll::Pending }
        })
        .await
    }
}

/// A timer that is moved only to earlier times. Most deadlines move to a later time with each request; resetting a tokio timer costs more than
/// an early wake-up that finds nothing to do.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` fires, if it is in use.
    set_for: Option<Instant>,
}

impl Timer {
    fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now())), set_for: None }
    }

    fn clear_if_fired(&mut self, cx: &mut Context<'_>) {
        if self.set_for.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.set_for = None;
        }
    }

    /// Whether `at` has passed. Otherwise the task is woken at that time, or earlier.
    fn is_due(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        if self.set_for.is_some_and(|set_for| at >= set_for) {
            return false;
        }
        self.set_for = None;
        if at <= Instant::now() {
            return true;
        }
        self.sleep.as_mut().reset(at);
        if self.sleep.as_mut().poll(cx).is_ready() {
            return true;
        }
        self.set_for = Some(at);
        false
    }
}

/// Waits for the next stage. If the server was dropped, its connections close by themselves.
async fn next_stage(
    stages: &mut watch::Receiver<Stage>,
    is_server_gone: &mut bool,
    server: &Server,
) -> Stage {
    if *is_server_gone {
        return pending().await;
    }
    if stages.changed().await.is_ok() {
        return *stages.borrow_and_update();
    }
    *is_server_gone = true;
    server.closing()
}
