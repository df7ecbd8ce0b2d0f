//! What the parts of one connection share: its transport, its requests, and what drives it.

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
use crate::{handle::flight::Flight, model::sanitize, os::mutex::Mutex, tower::name::Origin};

/// Who is at the other end of a connection, and how the connection is ended. Apart from the connection, because a report that names the peer must not
/// keep its place.
#[derive(Debug)]
pub(super) struct Ends<A> {
    peer: A,
    /// Cancelled by a force that ends a request of this connection.
    cut: CancellationToken,
}

impl<A> Ends<A> {
    pub(super) fn new(peer: A) -> Arc<Self> {
        Arc::new(Self { peer, cut: CancellationToken::new() })
    }
}

impl<A: fmt::Debug + Send + Sync> Origin for Ends<A> {
    fn peer(&self) -> &dyn fmt::Debug {
        &self.peer
    }

    fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

/// What the parts of one connection share. The last of them gives its place back.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) ends: Arc<dyn Origin>,
    state: Mutex<State>,
    /// Set once HTTP is over and somebody else uses the stream.
    upgraded: OnceLock<()>,
    /// What is in flight until the stream is dropped.
    tunnels: Mutex<Vec<Flight>>,
    _place: OwnedSemaphorePermit,
}

struct State {
    keep: KeepAlive,
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
    pub(super) fn new(
        server: Arc<Server>,
        ends: Arc<dyn Origin>,
        keep: KeepAlive,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            server,
            ends,
            state: Mutex::new(State { keep, task: None, held: Some(Vec::new()), is_left: false }),
            upgraded: OnceLock::new(),
            tunnels: Mutex::default(),
            _place: place,
        }
    }

    /// Cancelled by a force that ends a request of this connection.
    pub(super) fn cut(&self) -> &CancellationToken {
        self.ends.cut()
    }

    pub(super) fn shown_peer(&self) -> impl fmt::Display {
        sanitize::name(format!("{:?}", self.ends.peer()))
    }

    pub(super) fn keep<R>(&self, f: impl FnOnce(&mut KeepAlive) -> R) -> R {
        f(&mut self.state.lock().keep)
    }

    /// The same from another task, as the streams of HTTP/2 have: the connection's looks at it.
    pub(super) fn keep_from_afar(&self, f: impl FnOnce(&mut KeepAlive)) {
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
        self.upgraded.get().map(|()| self.cut())
    }

    /// From here on the flight lasts as long as the stream; `is_whole` says that the stream is all of it.
    pub(super) fn tunnel(&self, flight: Flight, is_whole: bool) {
        self.tunnels.lock().push(flight);
        match is_whole {
            true => *self.upgraded.get_or_init(|| ()),
            false => self.keep_from_afar(KeepAlive::opened_tunnel),
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
    pub(super) fn look(&self, cx: &Context<'_>, written: &mut Vec<Flight>) -> Next {
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
        if !self.cut().is_cancelled() {
            flights.into_iter().chain(tunnels).for_each(Flight::complete);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.ends.peer()).finish_non_exhaustive()
    }
}
