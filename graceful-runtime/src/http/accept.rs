//! Accepts connections: while the server serves, and then what is in the backlog when the drain begins.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc::UnboundedSender},
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::{
    accept_error::{is_of_one_connection, is_permanent},
    connection_task::Accepted,
    listener::{Listener, UNSENT},
    shared_socket::is_shared,
    wait_queue::Waiting,
};
use crate::{
    handle::shutdown::Shutdown,
    model::{sanitize, select::race},
    os::sys::{backlog, is_readable, limit_unsent},
};

/// The shortest and the longest pause after an error such as "too many open files". Without a pause the loop would spin. Descriptors are freed when
/// requests end, which takes milliseconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// After this many failed connections in a row the listener itself is assumed to fail.
const MAX_FAILED: u32 = 64;

/// Minimum interval between two warnings about a shortage, which may begin and end with each connection.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How long connections are accepted after the start of the drain, beyond those that the backlog had then. Accepting a full backlog takes about
/// 50 ms.
const EMPTYING: Duration = Duration::from_millis(500);

/// The assumed length of a backlog if the system does not report it: Linux's own maximum (`somaxconn`).
const MAX_BACKLOG: usize = 4096;

fn end_of_emptying() -> Instant {
    Instant::now() + EMPTYING
}

/// A listener and the state of its accept loop.
#[derive(Debug)]
pub(super) struct Acceptor<L> {
    listener: L,
    /// The pause after the last error. `None` after a connection was accepted.
    pause: Option<Duration>,
    /// How many connections in a row have failed.
    failed: u32,
    /// When the last warning about a shortage was logged.
    logged: Option<Instant>,
}

impl<L: Listener> Acceptor<L> {
    pub(super) fn new(listener: L) -> Self {
        if let Some(socket) = listener.socket() {
            // Accepted connections inherit the option, except those that are in the backlog already.
            limit_unsent(socket, UNSENT);
        }
        Self { listener, pause: None, failed: 0, logged: None }
    }

    /// Accepts connections until the stop is requested. A listener without a [socket](Listener::socket) has no backlog that [`Self::finish`] could
    /// empty; then this gives the runtime the time to report connections that the system has accepted.
    pub(super) async fn run(
        &mut self,
        shutdown: &Shutdown,
        places: &Arc<Semaphore>,
        start: &mut impl FnMut(Accepted<L>),
    ) -> io::Result<()> {
        let mut end = None;
        loop {
            let has_socket = self.listener.socket().is_some();
            let next = self.next(places);
            let accepted = match has_socket {
                true => race(next, shutdown.requested()).await,
                false => shutdown.until_requested(next).await,
            };
            let Some(accepted) = accepted else { return Ok(()) };
            start(accepted?);
            // The loop ends even if connections keep arriving.
            if shutdown.is_requested() && *end.get_or_insert_with(end_of_emptying) < Instant::now()
            {
                return Ok(());
            }
        }
    }

    /// Empties the backlog into `queue` and closes the listener. The server has `max_connections` places.
    ///
    /// Connections that are in the backlog now are accepted even without a free place. If descriptors run out, that goes on for as long as open
    /// connections could free some. A connection that arrives meanwhile is accepted if a place is free, for half a second: closing the
    /// listener resets the others.
    pub(super) async fn finish(
        mut self,
        places: &Semaphore,
        max_connections: usize,
        queue: UnboundedSender<Waiting<L>>,
    ) -> io::Result<()> {
        let is_shared = self.listener.socket().is_some_and(is_shared);
        let mut known = self.listener.socket().and_then(backlog).unwrap_or(MAX_BACKLOG);
        let (mut end, mut is_any_open) = (end_of_emptying(), true);
        // A shortage may have ended by now.
        self.pause = None;
        // Asks the system and not the runtime, which learns of a connection later: closing the listener resets every connection in the backlog.
        while self.listener.socket().is_some_and(is_readable)
            && (known > 0 || places.available_permits() > 0)
        {
            match timeout_at(end, self.accept()).await {
                Ok(accepted) => {
                    let (handshake, peer) = accepted?;
                    known = known.saturating_sub(1);
                    // Fails if the server was dropped.
                    let _dropped = queue.send(Waiting { handshake, peer, since: Instant::now() });
                }
                Err(_elapsed) => {
                    // One more round after the last connection has ended: the descriptor that it freed was not tried yet.
                    let was_any_open = is_any_open;
                    is_any_open = places.available_permits() < max_connections;
                    if known == 0 || !was_any_open && !is_any_open {
                        break;
                    }
                    end = end_of_emptying();
                }
            }
        }
        self.close(is_shared);
        Ok(())
    }

    /// Waits for the next connection and a place for it. An error means that no connection can ever come.
    async fn next(&mut self, places: &Arc<Semaphore>) -> io::Result<Accepted<L>> {
        if places.available_permits() == 0 && self.may_log() {
            tracing::warn!(target: "graceful", "reached max_connections: further connections wait, those of health checks included");
        }
        let permit = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
        let (handshake, peer) = self.accept().await?;
        Ok(Accepted { handshake, peer, permit, since: Instant::now() })
    }

    async fn accept(&mut self) -> io::Result<(L::Handshake, L::Address)> {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    (self.pause, self.failed) = (None, 0);
                    return Ok(accepted);
                }
                Err(error) if is_of_one_connection(&error) && self.failed < MAX_FAILED => {
                    self.failed += 1;
                    yield_now().await;
                }
                Err(error) if is_permanent(&error) => return Err(error),
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        let (shortest, longest) = PAUSES;
        if self.may_log() {
            let error = sanitize::message(error);
            tracing::error!(target: "graceful", %error, "cannot accept connections; retrying at least once a second");
        }
        let pause = self.pause.map_or(shortest, |pause| (pause * 2).min(longest));
        self.pause = Some(pause);
        sleep(pause).await;
    }

    /// Whether the last warning is long enough ago. Counts as a warning if so.
    fn may_log(&mut self) -> bool {
        let may_log = self.logged.is_none_or(|logged| logged.elapsed() > LOG_INTERVAL);
        if may_log {
            self.logged = Some(Instant::now());
        }
        may_log
    }

    /// Closes the listener, which resets the connections in the backlog. If another descriptor keeps the socket listening, connections are accepted
    /// and closed for as long as the runtime lives.
    fn close(mut self, is_shared: bool) {
        let left = self.listener.socket().filter(|socket| is_readable(*socket));
        if let Some(count) = left.map(|socket| backlog(socket).unwrap_or(1)) {
            tracing::warn!(target: "graceful", count, "connections are closed without being served: they arrived too late, or descriptors ran out");
        }
        if is_shared {
            tokio::spawn(async move { while self.accept().await.is_ok() {} });
        }
    }
}
