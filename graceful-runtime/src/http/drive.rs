//! Driving a connection: it is polled, and done with as [`KeepAlive`](super::keep_alive::KeepAlive) says.

use std::{
    future::{pending, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFuture;

use super::{
    connection::Connection,
    keep_alive::{Next, Stage, Why},
    rare_wakeups::RareWakeups,
    server::Server,
};
use crate::handle::flight::Flight;

/// What ends a connection, other than itself.
pub(super) enum CutBy {
    Time(Why),
    /// What it was in the middle of is listed by the force.
    Force,
}

/// Drives a connection: polls it, and does what [`KeepAlive`] says.
pub(super) struct Drive<'a> {
    connection: &'a Connection,
    stages: watch::Receiver<Stage>,
    /// Nobody accepts any more, nor says anything about it.
    is_left: bool,
    cut: Pin<Box<WaitForCancellationFuture<'a>>>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set for: mostly an earlier time than it has to be, because setting it costs more than looking again.
    set_for: Option<Instant>,
    /// Empty; here so that its room is kept.
    written: Vec<Flight>,
}

enum Step<T> {
    Ended(T),
    Enter(Stage),
    Retire,
    Conclude,
    Cut(CutBy),
}

impl<'a> Drive<'a> {
    pub(super) fn new(connection: &'a Connection, stages: watch::Receiver<Stage>) -> Self {
        let cut = Box::pin(connection.cut().cancelled());
        let timer = Box::pin(sleep_until(Instant::now()));
        let (is_left, set_for, written) = (false, None, Vec::new());
        Self { connection, stages, is_left, cut, timer, set_for, written }
    }

    /// Runs `future` until it has ended or is to be cut; `retire` asks it to end by itself.
    pub(super) async fn run<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
        retire: impl Fn(Pin<&mut F>),
    ) -> Result<F::Output, CutBy> {
        loop {
            match self.step(future.as_mut()).await {
                Step::Ended(output) => return Ok(output),
                Step::Enter(stage) => self.connection.keep(|keep| keep.enter(stage)),
                Step::Retire => {
                    self.connection.keep(|keep| keep.retired(Instant::now()));
                    retire(future.as_mut());
                }
                // The transport sees it when it is read next, which is now.
                Step::Conclude => self.connection.keep(|keep| keep.concluded(Instant::now())),
                Step::Cut(cut) => return Err(cut),
            }
        }
    }

    async fn step<F: Future>(&mut self, mut future: Pin<&mut F>) -> Step<F::Output> {
        let Self { connection, stages, is_left, cut, timer, set_for, written } = self;
        let mut next_stage = pin!(next_stage(stages, is_left, &connection.server));
        // A connection is polled for each request, and hears of the rest once or never.
        let mut rare = RareWakeups::default();
        poll_fn(|cx| {
            let (has_called, mut seldom) = rare.listen(cx);
            if has_called {
                if let Poll::Ready(stage) = next_stage.as_mut().poll(&mut seldom) {
                    return Poll::Ready(Step::Enter(stage));
                }
            }
            // Before its time is looked at: a request that has come is begun.
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Step::Ended(output));
            }
            if has_called {
                if cut.as_mut().poll(&mut seldom).is_ready() {
                    return Poll::Ready(Step::Cut(CutBy::Force));
                }
                if set_for.is_some() && timer.as_mut().poll(&mut seldom).is_ready() {
                    *set_for = None;
                }
            }
            let next = connection.look(cx, written);
            written.drain(..).for_each(Flight::complete);
            let (at, step) = match next {
                Next::Wait => return Poll::Pending,
                Next::Retire => return Poll::Ready(Step::Retire),
                Next::RetireAt(at) => (at, Step::Retire),
                Next::ConcludeAt(at) => (at, Step::Conclude),
                Next::CutAt(at, why) => (at, Step::Cut(CutBy::Time(why))),
            };
            if set_for.is_none_or(|set_for| at < set_for) {
                *set_for = None;
                if at <= Instant::now() {
                    return Poll::Ready(step);
                }
                timer.as_mut().reset(at);
                if timer.as_mut().poll(&mut seldom).is_ready() {
                    return Poll::Ready(step);
                }
                *set_for = Some(at);
            }
            Poll::Pending
        })
        .await
    }
}

/// Waits for the next stage. A server that was dropped leaves its connections to themselves: they close.
async fn next_stage(
    stages: &mut watch::Receiver<Stage>,
    is_left: &mut bool,
    server: &Server,
) -> Stage {
    if *is_left {
        return pending().await;
    }
    if stages.changed().await.is_ok() {
        return *stages.borrow_and_update();
    }
    *is_left = true;
    server.closing()
}
