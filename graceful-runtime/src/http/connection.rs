//! The state that the pieces of one connection share: its transport, its requests, and the task that drives it.

use std::{
    fmt, mem,
    sync::{Arc, OnceLock},
    task::{Context, Waker},
};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    keep_alive::{KeepAlive, Next},
    server::Server,
};
use crate::{
    handle::flight::Flight, model::sanitize, os::mutex::Mutex, tower::request_name::Origin,
};

/// The peer of a connection, and the token that cuts the connection. A type apart from [`Connection`], because a report that names the
/// peer must not keep the connection's place.
#[derive(Debug)]
pub(super) struct ConnectionOrigin<A> {
    peer: A,
    /// Cancelled by a force that ends a request of this connection.
    cut: CancellationToken,
}

impl<A> ConnectionOrigin<A> {
    pub(super) fn new(peer: A) -> Arc<Self> {
        Arc::new(Self { peer, cut: CancellationToken::new() })
    }
}

impl<A: fmt::Debug + Send + Sync> Origin for ConnectionOrigin<A> {
    fn peer(&self) -> &dyn fmt::Debug {
        &self.peer
    }

    fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

/// The shared state of one connection. When the last owner drops it, the place among the server's connections is free again.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) origin: Arc<dyn Origin>,
    state: Mutex<State>,
    /// Set once HTTP has ended and the handler of an upgrade uses the stream.
    upgraded: OnceLock<()>,
    /// Flights that last until the stream is dropped.
    tunnels: Mutex<Vec<Flight>>,
    _permit: OwnedSemaphorePermit,
}

struct State {
    keep: KeepAlive,
    /// Wakes the connection's task.
    task: Option<Waker>,
    /// HTTP/1.1: the flights of answers that have ended but may not be written yet. `None` once the stream is dropped.
    unwritten: Option<Vec<Flight>>,
    /// The stream has ended or failed.
    is_peer_gone: bool,
}

impl State {
    /// Moves the flights that end because everything is written into `written`, which is empty.
    fn take_written(&mut self, written: &mut Vec<Flight>) {
        if let (true, Some(unwritten)) = (self.keep.end_written(), &mut self.unwritten) {
            mem::swap(unwritten, written);
        }
    }
}

impl Connection {
    pub(super) fn new(
        server: Arc<Server>,
        origin: Arc<dyn Origin>,
        keep: KeepAlive,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let unwritten = Some(Vec::new());
        Self {
            server,
            origin,
            state: Mutex::new(State { keep, task: None, unwritten, is_peer_gone: false }),
            upgraded: OnceLock::new(),
            tunnels: Mutex::default(),
            _permit: permit,
        }
    }

    /// Cancelled by a force that ends a request of this connection.
    pub(super) fn cut(&self) -> &CancellationToken {
        self.origin.cut()
    }

    /// The peer as logs show it.
    pub(super) fn shown_peer(&self) -> impl fmt::Display {
        sanitize::name(format!("{:?}", self.origin.peer()))
    }

    /// Updates the connection's state. For callers on the connection's own task, which looks at the state after each poll.
    pub(super) fn update<R>(&self, f: impl FnOnce(&mut KeepAlive) -> R) -> R {
        f(&mut self.state.lock().keep)
    }

    /// Updates the state and wakes the connection's task. For callers on other tasks: hyper runs each HTTP/2 stream on its own.
    pub(super) fn update_and_wake(&self, f: impl FnOnce(&mut KeepAlive)) {
        let State { keep, task, .. } = &mut *self.state.lock();
        f(keep);
        if let Some(task) = task {
            task.wake_by_ref();
        }
    }

    /// Whether the stream has ended or failed.
    pub(super) fn is_peer_gone(&self) -> bool {
        self.state.lock().is_peer_gone
    }

    pub(super) fn set_peer_gone(&self) {
        self.state.lock().is_peer_gone = true;
    }

    /// The token that cuts an upgraded connection; `None` before the upgrade.
    pub(super) fn upgraded(&self) -> Option<&CancellationToken> {
        self.upgraded.get().map(|()| self.cut())
    }

    /// HTTP/1.1: an upgrade takes over the whole stream. Its flight lasts until the stream is dropped.
    pub(super) fn upgrade(&self, flight: Flight) {
        self.tunnels.lock().push(flight);
        self.upgraded.get_or_init(|| ());
    }

    /// HTTP/2: one of the streams becomes a tunnel. Its flight lasts until the connection ends.
    pub(super) fn open_tunnel(&self, flight: Flight) {
        self.tunnels.lock().push(flight);
        self.update_and_wake(KeepAlive::tunnel_opened);
    }

    /// HTTP/1.1: an answer has ended. Its flight completes when everything is written. `is_offered`: the answer counts among those whose
    /// data the peer is to take.
    pub(super) fn complete_when_written(&self, flight: Flight, is_offered: bool) {
        let mut state = self.state.lock();
        state.keep.answer_ended(is_offered);
        match &mut state.unwritten {
            Some(unwritten) => unwritten.push(flight),
            None => {
                drop(state);
                flight.complete();
            }
        }
    }

    /// What is to be done with the connection. Moves the flights that end because everything is written into `written`, which is empty.
    pub(super) fn next(&self, cx: &Context<'_>, written: &mut Vec<Flight>) -> Next {
        let mut state = self.state.lock();
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        state.take_written(written);
        state.keep.next(&self.server.limits, Instant::now)
    }

    /// Completes the flights whose answers are written. The transport calls it before it closes the stream, so that a peer that sees the
    /// end of the stream finds none of them in flight.
    pub(super) fn complete_written(&self) {
        let mut written = Vec::new();
        self.state.lock().take_written(&mut written);
        written.into_iter().for_each(Flight::complete);
    }

    /// The stream is dropped. The remaining flights complete, except after a force: then dropping them makes them stragglers.
    pub(super) fn stream_dropped(&self) {
        let flights = self.state.lock().unwritten.take().unwrap_or_default();
        let tunnels = mem::take(&mut *self.tunnels.lock());
        if !self.cut().is_cancelled() {
            flights.into_iter().chain(tunnels).for_each(Flight::complete);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.origin.peer()).finish_non_exhaustive()
    }
}
