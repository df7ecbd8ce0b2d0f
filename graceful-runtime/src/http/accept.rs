//! Taking connections: as long as the server serves, then the backlog, and after that none.

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::{
    listener::{Listener, UNSENT},
    serving::Taken,
};
use crate::{
    handle::shutdown::Shutdown,
    model::{sanitize, select::race},
    os::sys::{backlog, file_of, is_readable, limit_unsent},
};

/// The shortest and the longest pause after the system had nothing left for a connection. Without one it would spin; descriptors come back
/// when requests end, which is in the order of milliseconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// So many connections that fail in a row are the listener's fault.
const MANY: u32 = 64;

/// For how long a shortage that was said is not said again: it comes and goes with each connection.
const SILENCE: Duration = Duration::from_secs(10);

/// For how long connections are taken once the drain has begun that were not known of then. To take a full backlog needs some 50 ms.
const EMPTYING: Duration = Duration::from_millis(500);

/// How many connections a backlog holds at most, where the system does not tell how many it holds: Linux' own limit (`somaxconn`).
const MOST: usize = 4096;

fn end_of_backlog() -> Instant {
    Instant::now() + EMPTYING
}

/// A listener, and how it gets on.
#[derive(Debug)]
pub(super) struct Acceptor<L> {
    listener: L,
    /// `None` while the system has what a connection needs.
    pause: Option<Duration>,
    /// How many connections in a row have failed.
    failed: u32,
    /// When it was said that something is short, or wrong.
    said: Option<Instant>,
}

impl<L: Listener> Acceptor<L> {
    pub(super) fn new(listener: L) -> Self {
        if let Some(socket) = listener.socket() {
            // Its connections inherit it, but for those that are there already.
            limit_unsent(socket, UNSENT);
        }
        Self { listener, pause: None, failed: 0, said: None }
    }

    /// Takes connections until the stop is requested. Where the system cannot be asked for what is left, as [`Self::finish`] does, those that the runtime has
    /// not heard of yet are waited for.
    pub(super) async fn run(
        &mut self,
        shutdown: &Shutdown,
        places: &Arc<Semaphore>,
        take: &mut impl FnMut(Taken<L>),
    ) -> io::Result<()> {
        let mut end = None;
        loop {
            let can_be_asked = self.listener.socket().is_some();
            let next = self.next(places);
            let taken = match can_be_asked {
                true => race(next, shutdown.requested()).await,
                false => shutdown.until_requested(next).await,
            };
            let Some(taken) = taken else { return Ok(()) };
            take(taken?);
            if shutdown.is_requested() && *end.get_or_insert_with(end_of_backlog) < Instant::now() {
                return Ok(());
            }
        }
    }

    /// Empties the backlog into `queue`, and closes the listener. There are `most` places in all.
    ///
    /// What the system had accepted by now is taken, whether or not there is a place for it, and as long as connections are open that could give a
    /// descriptor back. What comes meanwhile is not for the close to reset, so it is taken too where a place is free; but it could come for ever.
    pub(super) async fn finish(
        mut self,
        places: &Semaphore,
        most: usize,
        queue: UnboundedSender<Waiting<L>>,
    ) -> io::Result<()> {
        let is_shared = self.listener.socket().is_some_and(is_shared);
        let mut known = self.listener.socket().and_then(backlog).unwrap_or(MOST);
        let (mut end, mut is_any_open) = (end_of_backlog(), true);
        // What is short may be there by now.
        self.pause = None;
        // The system is asked, not the runtime, which hears of a connection later: the close resets whoever it has not heard of.
        while self.listener.socket().is_some_and(is_readable)
            && (known > 0 || places.available_permits() > 0)
        {
            match timeout_at(end, self.accept()).await {
                Ok(accepted) => {
                    let (handshake, peer) = accepted?;
                    known = known.saturating_sub(1);
                    // It fails where nobody takes them any more.
                    let _dropped = queue.send(Waiting { handshake, peer, since: Instant::now() });
                }
                Err(_elapsed) => {
                    // Also once after the last has ended: what that gave back was not asked for yet.
                    let was_any_open = is_any_open;
                    is_any_open = places.available_permits() < most;
                    if known == 0 || !was_any_open && !is_any_open {
                        break;
                    }
                    end = end_of_backlog();
                }
            }
        }
        self.close(is_shared);
        Ok(())
    }

    /// Waits for the next connection and a place for it. An error says that none will ever come.
    async fn next(&mut self, places: &Arc<Semaphore>) -> io::Result<Taken<L>> {
        if places.available_permits() == 0 && self.is_news() {
            tracing::warn!(target: "graceful", "as many connections as there may be: more wait, also those of health checks");
        }
        let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
        let (handshake, peer) = self.accept().await?;
        Ok(Taken { handshake, peer, place, since: Instant::now() })
    }

    async fn accept(&mut self) -> io::Result<(L::Handshake, L::Address)> {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    (self.pause, self.failed) = (None, 0);
                    return Ok(accepted);
                }
                Err(error) if is_of_one_connection(&error) && self.failed < MANY => {
                    self.failed += 1;
                    yield_now().await;
                }
                Err(error) if is_for_good(&error) => return Err(error),
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        let (shortest, longest) = PAUSES;
        if self.is_news() {
            let error = sanitize::message(error);
            tracing::error!(target: "graceful", %error, "cannot accept; trying again, at least once a second");
        }
        let pause = self.pause.map_or(shortest, |pause| (pause * 2).min(longest));
        self.pause = Some(pause);
        sleep(pause).await;
    }

    /// Whether something is to be said, because nothing was for a while.
    fn is_news(&mut self) -> bool {
        let is_news = self.said.is_none_or(|said| said.elapsed() > SILENCE);
        if is_news {
            self.said = Some(Instant::now());
        }
        is_news
    }

    /// From here on nobody is let in; what is left in the backlog is reset. Where the program has another descriptor of the socket, so that closing this one leaves it listening,
    /// connections are taken and closed for as long as the runtime lives.
    fn close(mut self, is_shared: bool) {
        let left = self.listener.socket().filter(|socket| is_readable(*socket));
        if let Some(count) = left.map(|socket| backlog(socket).unwrap_or(1)) {
            tracing::warn!(target: "graceful", count, "connections are closed without being served: they came too late, or descriptors are short");
        }
        if is_shared {
            tokio::spawn(async move { while self.accept().await.is_ok() {} });
        }
    }
}

/// A connection that was taken from the system, and has no place yet.
pub(super) struct Waiting<L: Listener> {
    handshake: L::Handshake,
    peer: L::Address,
    since: Instant,
}

/// What waits for a place in the drain, in the order in which it came. Dropped, it says how many got none.
pub(super) struct Queue<L: Listener> {
    next: Option<Waiting<L>>,
    later: UnboundedReceiver<Waiting<L>>,
}

impl<L: Listener> Queue<L> {
    pub(super) fn new() -> (UnboundedSender<Waiting<L>>, Self) {
        let (sender, later) = unbounded_channel();
        (sender, Self { next: None, later })
    }

    /// Gives each its place, until nothing waits and nothing more can come.
    pub(super) async fn serve(mut self, places: &Arc<Semaphore>, take: &mut impl FnMut(Taken<L>)) {
        while let Some(waiting) = self.later.recv().await {
            self.next = Some(waiting);
            let place = Arc::clone(places).acquire_owned().await;
            if let (Ok(place), Some(waiting)) = (place, self.next.take()) {
                let Waiting { handshake, peer, since } = waiting;
                take(Taken { handshake, peer, place, since });
            }
        }
    }
}

impl<L: Listener> Drop for Queue<L> {
    fn drop(&mut self) {
        let count = self.later.len() + usize::from(self.next.is_some());
        if count > 0 {
            tracing::warn!(target: "graceful", count, "connections are closed without being served: they have waited for a place until there was no drain left");
        }
    }
}

/// The connection was gone before it was taken; `accept(2)` hands out its error.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        Interrupted, NetworkDown, NetworkUnreachable, NotConnected, PermissionDenied, TimedOut,
        UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | PermissionDenied
            | TimedOut
            | UnexpectedEof
    ) || error.raw_os_error() == Some(libc::EPROTO)
}

/// The socket is none that connections could come from. Whatever else the system says may be over in a moment.
fn is_for_good(error: &io::Error) -> bool {
    let codes = [libc::EBADF, libc::EFAULT, libc::EINVAL, libc::ENOTSOCK, libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Whether the program has another descriptor of the same socket, so that closing this one leaves it listening.
///
/// Where the system does not tell, no: where no descriptor is left to look with, and everywhere but on Linux. macOS and FreeBSD list descriptors in
/// `/dev/fd`, but `fstat` says the same of all their TCP sockets: device 0, inode 0.
fn is_shared(socket: BorrowedFd<'_>) -> bool {
    descriptors_of(socket).unwrap_or(1) > 1
}

/// Each number that could be a descriptor is asked. There may be as many as there are connections, and to list `/proc/self/fd` makes the system keep an
/// entry for each, which costs more to take down when the program has gone than all the rest of it.
fn descriptors_of(socket: BorrowedFd<'_>) -> Option<usize> {
    let own = file_of(socket.as_raw_fd());
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let room = status.lines().find_map(|line| line.strip_prefix("FDSize:"))?.trim().parse().ok()?;
    Some((0..room).filter(|&number| file_of(number) == own).count())
}
