//! One connection, from its handshake to its end.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::{pending, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use hyper_util::{rt::TokioIo, server::conn::auto::UpgradeableConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{
    Server,
    bell::Bell,
    keep::{Keep, Next, Stage, Why},
    listener::Listener,
    request,
    services::Services,
    transport::Transport,
};
use crate::{
    flight::Flight,
    lock::Mutex,
    tower::{BoxError, Peer},
    work::{catch_unwind, message},
};

/// What the parts of one connection share. The last of them gives its place back.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) peer: Peer,
    state: Mutex<State>,
    /// Cancelled by a force that ends a request of this connection.
    pub(super) cut: CancellationToken,
    /// Set once HTTP is over and somebody else uses the stream.
    upgraded: OnceLock<()>,
    /// What is in flight until the stream is dropped.
    tunnels: Mutex<Vec<Flight>>,
    _place: OwnedSemaphorePermit,
}

struct State {
    keep: Keep,
    /// Has the connection's task look again.
    task: Option<Waker>,
    /// What is in flight until all is written; `None` once the stream is gone.
    held: Option<Vec<Flight>>,
    /// The stream has ended or failed.
    is_left: bool,
}

impl State {
    fn release(&mut self, written: &mut Vec<Flight>) {
        if let (true, Some(held)) = (self.keep.release(), &mut self.held) {
            mem::swap(held, written);
        }
    }
}

impl Connection {
    fn new(server: Arc<Server>, peer: Peer, keep: Keep, place: OwnedSemaphorePermit) -> Self {
        Self {
            server,
            peer,
            state: Mutex::new(State { keep, task: None, held: Some(Vec::new()), is_left: false }),
            cut: CancellationToken::new(),
            upgraded: OnceLock::new(),
            tunnels: Mutex::default(),
            _place: place,
        }
    }

    pub(super) fn keep<R>(&self, f: impl FnOnce(&mut Keep) -> R) -> R {
        f(&mut self.state.lock().keep)
    }

    /// The same from another task, as the streams of HTTP/2 have: the connection's looks at it.
    pub(super) fn keep_from_afar(&self, f: impl FnOnce(&mut Keep)) {
        let State { keep, task, .. } = &mut *self.state.lock();
        f(keep);
        if let Some(task) = task {
            task.wake_by_ref();
        }
    }

    /// Whether the peer has gone away.
    pub(super) fn is_left(&self) -> bool {
        self.state.lock().is_left
    }

    pub(super) fn leave(&self) {
        self.state.lock().is_left = true;
    }

    /// How an upgraded connection hears of a force.
    pub(super) fn upgraded(&self) -> Option<&CancellationToken> {
        self.upgraded.get().map(|()| &self.cut)
    }

    /// From here on the flight lasts as long as the stream; `is_whole` says that the stream is all of it.
    pub(super) fn tunnel(&self, flight: Flight, is_whole: bool) {
        self.tunnels.lock().push(flight);
        match is_whole {
            true => *self.upgraded.get_or_init(|| ()),
            false => self.keep_from_afar(Keep::opened_tunnel),
        }
    }

    /// Lets an answer be in flight until it is written; `is_handed` says that something of it was.
    pub(super) fn hold(&self, flight: Flight, is_handed: bool) {
        let mut state = self.state.lock();
        state.keep.hold(is_handed);
        match &mut state.held {
            Some(held) => held.push(flight),
            None => {
                drop(state);
                flight.complete();
            }
        }
    }

    /// What is to be done with the connection. What was held and is written goes into `written`, which is empty.
    fn look(&self, cx: &Context<'_>, written: &mut Vec<Flight>) -> Next {
        let mut state = self.state.lock();
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        state.release(written);
        state.keep.next(&self.server.limits, Instant::now)
    }

    /// The stream is about to be closed: who sees that finds nothing in flight that was written before.
    pub(super) fn closes(&self) {
        let mut written = Vec::new();
        self.state.lock().release(&mut written);
        written.into_iter().for_each(Flight::complete);
    }

    /// The stream is gone. What a force has cut was cut short.
    pub(super) fn end(&self) {
        let flights = self.state.lock().held.take().unwrap_or_default();
        let tunnels = mem::take(&mut *self.tunnels.lock());
        if !self.cut.is_cancelled() {
            flights.into_iter().chain(tunnels).for_each(Flight::complete);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A connection that was taken: who is at its other end, what it has to do before it can be used, its place among all, and since when the
/// program has it.
pub(super) struct Taken<L: Listener> {
    pub(super) handshake: L::Handshake,
    pub(super) peer: L::Address,
    pub(super) place: OwnedSemaphorePermit,
    pub(super) since: Instant,
}

/// Serves a connection until it ends.
pub(super) async fn serve<L, S, M>(
    server: Arc<Server>,
    services: S,
    taken: Taken<L>,
    mut stages: watch::Receiver<Stage>,
) where
    L: Listener,
    S: Services<L::Address, M>,
{
    let Taken { handshake, peer, place, since } = taken;
    let keep = Keep::accepted(since, *stages.borrow_and_update());
    let connection =
        &Arc::new(Connection::new(Arc::clone(&server), Arc::new(peer.clone()), keep, place));
    let mut drive = Drive::new(connection, stages);
    let begin = async {
        let stream = shake(connection, handshake).await?;
        let service = services.service(peer).await.inspect_err(|error| {
            let (peer, error) = (&connection.peer, &**error as &(dyn Error + 'static));
            tracing::warn!(target: "graceful", ?peer, error, "making the service of a connection failed");
        })?;
        Ok::<_, BoxError>((stream, service))
    };
    // It has nothing to retire by.
    let begun = drive.run(pin!(catch_unwind(begin)), |_| ()).await;
    let begun = begun.map(|begun| begun.unwrap_or_else(|payload| Err(panicked(payload))));
    let Some((stream, service)) = connection.said(begun) else { return };
    let io = TokioIo::new(Transport::new(stream, Arc::clone(connection)));
    let answers = request::answers(Arc::clone(connection), service);
    let http = server.builder.serve_connection_with_upgrades(io, answers);
    let ended = drive.run(pin!(http), UpgradeableConnection::graceful_shutdown).await;
    connection.said(ended);
}

/// What a peer begins with has come while it waited for its place; for what it has to answer in a handshake it gets its time from now.
async fn shake<T>(connection: &Connection, handshake: impl Future<Output = T>) -> T {
    let mut handshake = pin!(handshake);
    let begun = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
    match begun {
        Poll::Ready(stream) => stream,
        Poll::Pending => {
            connection.keep(Keep::shakes);
            handshake.await
        }
    }
}

/// Who makes services for connections has panicked. There is no request yet that could be told.
fn panicked(payload: Box<dyn Any + Send>) -> BoxError {
    let message = message(&*payload);
    tracing::error!(target: "graceful", message, "making the service of a connection panicked");
    mem::forget(payload);
    message.into()
}

/// What ends a connection, other than itself.
enum Cut {
    Time(Why),
    /// What it was in the middle of is listed by the force.
    Force,
}

/// Drives a connection: polls it, and does what [`Keep`] says.
struct Drive<'a> {
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
    Cut(Cut),
}

impl<'a> Drive<'a> {
    fn new(connection: &'a Connection, stages: watch::Receiver<Stage>) -> Self {
        let cut = Box::pin(connection.cut.cancelled());
        let timer = Box::pin(sleep_until(Instant::now()));
        let (is_left, set_for, written) = (false, None, Vec::new());
        Self { connection, stages, is_left, cut, timer, set_for, written }
    }

    /// Runs `future` until it has ended or is to be cut; `retire` asks it to end by itself.
    async fn run<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
        retire: impl Fn(Pin<&mut F>),
    ) -> Result<F::Output, Cut> {
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
        let mut bell = Bell::default();
        poll_fn(|cx| {
            let (has_called, mut seldom) = bell.listen(cx);
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
                    return Poll::Ready(Step::Cut(Cut::Force));
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
                Next::CutAt(at, why) => (at, Step::Cut(Cut::Time(why))),
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

impl Connection {
    /// Says what is to be said about an end; gives what it gave.
    fn said<T>(&self, end: Result<Result<T, BoxError>, Cut>) -> Option<T> {
        let peer = &self.peer;
        match end {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) if is_of_an_answer(&error) => {
                tracing::warn!(target: "graceful", ?peer, error, "connection failed: an answer is none of HTTP");
            }
            Ok(Err(error)) => {
                tracing::debug!(target: "graceful", ?peer, error, "connection failed");
            }
            Err(Cut::Force) => {}
            Err(Cut::Time(Why::Stalled)) => {
                tracing::warn!(target: "graceful", ?peer, "connection cut: the peer takes nothing of its answer");
            }
            Err(Cut::Time(why)) => {
                tracing::debug!(target: "graceful", ?peer, ?why, "connection cut");
            }
        }
        None
    }
}

/// Whether the service has answered what cannot be sent, such as less than it has announced. What it said to be an error was logged, with the request.
fn is_of_an_answer(error: &BoxError) -> bool {
    let error = error.downcast_ref::<hyper::Error>().filter(|error| error.is_user());
    error.is_some_and(|error| error.is_body_write_aborted() || error.source().is_none())
}
