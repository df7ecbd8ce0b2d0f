//! Serving HTTP, and stopping: [`serve`] and [`health`].
//!
//! ```
//! use axum::{Router, routing::get};
//! use graceful::Shutdown;
//!
//! #[graceful::main(timeout = "30s", lame_duck = "5s")]
//! async fn main(shutdown: Shutdown) -> std::io::Result<()> {
//! #   if true { return Ok(()) } // the documentation does not listen
//!     let health = graceful::http::health(&shutdown);
//!     let routes = Router::new()
//!         .route("/", get(|| async { "hello" }))
//!         .route_service("/livez", health.clone())
//!         .route_service("/readyz", health);
//!     let listener = shutdown.listen("http", "127.0.0.1:8080").await?;
//!     graceful::http::serve(listener, routes, &shutdown).await
//! }
//! ```
//!
//! # How it stops
//!
//! | event | when | what happens |
//! |---|---|---|
//! | not ready | the lame duck begins | `/readyz` answers 503; connections and requests are taken as before |
//! | retire | the same moment | each answer says `Connection: close`; a connection of HTTP/2 that has served a request gets GOAWAY, in two steps |
//! | stop accepting | the drain begins | what the system had accepted is taken; then the listener is closed, and a connection is refused at once |
//! | close | the same moment | requests in flight are answered; a connection of HTTP/1.1 that has been idle for longer than the [linger](Serve::linger) closes at once, a fresher one is answered once more, until its linger is over; HTTP/2 gets GOAWAY |
//! | force | a second signal, the deadline | connections with a request in flight, and upgraded ones, fail; each request is listed: `http 10.0.0.7:51234 GET /reports/42 12.3s` |
//!
//! Without a lame duck, *retire*, *stop accepting* and *close* come at once. `serve` returns when all its connections are gone. So a request that comes at the end
//! of the lame duck has `timeout` − `lame_duck` − `finalize_timeout`. What is handed to other parts of the program belongs into a scope that drains
//! [`after`](Shutdown::after) the server, so that the last requests find it at work.
//!
//! A request is in flight until its answer is written: on HTTP/2, until the peer has room for all of it. An upgraded connection (a WebSocket) is, until it is dropped; an endless
//! answer (server-sent events) is, until it ends. Their handlers hear of the stop from [`Shutdown::requested`]. Of a tunnel inside of an HTTP/2
//! connection the end is not seen: it counts until its connection ends, which
//! gets GOAWAY after a thousand of them.
//!
//! What does not hold the drain for longer than the linger: a silent connection, half a head, a TLS handshake that hangs; a connection of HTTP/2 ends otherwise, see below. A peer that takes
//! nothing of its answer is given up after its *patience*: a quarter of what was left of the drain at its begin, or the [`write_timeout`](Serve::write_timeout) where that is shorter.
//! A peer whose other answers go on is not. A peer that closes its half of an HTTP/1.1 connection after its request counts as gone, as with hyper and axum.
//! A peer that does not send the rest of its request's *body* is waited for like any request in flight, until the force.
//!
//! # How HTTP/2 ends
//!
//! As RFC 9113, section 6.8 has it. The first GOAWAY says that no more is wanted, and names no last stream; what the peer had sent before it heard of
//! that is served. A PING goes along. Once the peer has answered that, however slow its link is, nothing can be on its way any more, and a second GOAWAY names the last
//! stream that is served. What comes after it is ignored: the peer knows that it was not begun, and asks somebody else. The connection ends when all its streams are answered and the peer
//! has closed its end, so that the last of an answer arrives.
//!
//! The linger has no part in that. A peer that does not answer the PING gets the second GOAWAY after its patience; then only what is in flight is waited for. In the middle of
//! a frame it cannot be told, and is cut a linger later. One that does not close its end has its patience once more.
//! A stream that comes when finalization has begun, on a connection that a force has left open, is refused (`REFUSED_STREAM`), which also says that it was not begun.
//!
//! # Where more wait than may be served at once
//!
//! As long as the server serves, connections beyond [`max_connections`](Serve::max_connections) wait in the listener's backlog. When the drain begins they are taken out of that, so
//! that it can be closed, and wait inside of the program for a place, as long as there is any drain left. Each needs a descriptor. If descriptors are short, the rest stays in the backlog, as long as connections are
//! open that could give some back. One that has sent nothing by the time it gets its place, and has waited for longer than the linger, is closed.
//!
//! Their number is what the backlog has when it is emptied (Linux tells it for TCP; where nothing does, at most 4096), so that who goes on to connect does not hold the drain: what comes
//! later is taken for half a second, only where a place is free, and reset otherwise. How many were not served is logged.
//!
//! # What fails
//!
//! | what | logged | what the client sees on HTTP/1.1 | on HTTP/2 |
//! |---|---|---|---|
//! | the service gives an error (`poll_ready` or `call`) | `WARN`, with the request | the connection ends without an answer | `RST_STREAM`, `INTERNAL_ERROR` |
//! | the body of an answer gives an error | `WARN`, with the request | the connection ends within the answer: without its last chunk, or short of its `content-length` | `RST_STREAM`, `INTERNAL_ERROR` |
//! | either, after the client went away on HTTP/1.1 | `DEBUG`, with the request | | |
//! | what makes a service for a connection gives an error | `WARN`, with the peer | the connection ends | the same |
//! | an answer that HTTP/1.1 cannot send, such as one shorter than its `content-length` | `WARN`, with the peer | the connection ends within it | |
//! | a service or a body panics | `ERROR`, with the request | 500, or as above where the answer had begun | the same |
//! | what makes services panics | `ERROR` | the connection ends | the same |
//! | a connection fails, or its TLS handshake does | `DEBUG`, with the peer | | |
//!
//! Where the error of a service or body has an `h2::Error` among its sources, its reason is what the stream is reset with.
//!
//! # What HTTP/1.1 cannot give
//!
//! A server that closes an idle connection cannot know whether a request is on its way on it. The linger makes that rare (a
//! connection that is in use is not closed), not impossible: a client has to try again what was not answered at all on a connection that
//! it had used before, or opened without a request and kept for a while, as RFC 9112, section 9.3.1 has it for idempotent requests. HTTP/2 has no such gap: GOAWAY says which requests were not begun.
//! With a lame duck that is longer than it takes a balancer to see that the program is not ready, nothing comes any more when connections are closed.

mod accept;
mod connection;
mod drive;
mod frames;
mod health;
mod keep_alive;
mod listener;
mod rare_wakeups;
mod request;
mod server;
mod services;
mod serving;
mod transport;
mod unsent;

use std::{
    fmt, io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

use self::{
    accept::{Acceptor, Queue},
    keep_alive::{Limits, Stage},
    server::{FAR, Server},
    serving::Taken,
};
pub use self::{
    health::{Health, health},
    listener::Listener,
    services::{ForConnections, ForRequests, Services},
};
use crate::{
    handle::{flight::Flights, shutdown::Shutdown},
    model::{lifecycle::Phase, select::alongside},
};

/// Serves HTTP/1.1 and HTTP/2 (with and without TLS, told apart by the first bytes) until the stop is requested and all connections are gone.
///
/// `service` is any tower service for requests, such as an axum `Router`, or one that makes such a service for each connection, such as
/// `Router::into_make_service_with_connect_info::<SocketAddr>()`. It is cloned for each connection and each request.
///
/// What a handler panics with is logged and reported, and answered with 500. What else can fail, and what the client sees of it, is in a table of the [module](self#what-fails).
///
/// The [module](self) says how it stops. `shutdown` may be the handle of a scope: then it stops with that. Await it in `main`, or give it to
/// [`Shutdown::spawn`], so that the drain waits for it.
///
/// # Errors
///
/// If the listener fails for good. A system that has run out of descriptors is none: that is logged, and tried again at least once a second.
///
/// # Cancel safety
///
/// Dropped, it closes the listener; its connections close by themselves as they do in the drain.
///
/// # Panics
///
/// When awaited outside of a Tokio runtime with I/O and time.
///
/// ```
/// # async fn f(shutdown: graceful::Shutdown, listener: tokio::net::TcpListener) -> std::io::Result<()> {
/// use http_body_util::Full;
/// use hyper::{Request, Response, body::{Bytes, Incoming}};
/// use std::{convert::Infallible, time::Duration};
///
/// let hello = tower::service_fn(async |_: Request<Incoming>| {
///     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
/// });
/// graceful::http::serve(listener, hello, &shutdown).header_timeout(Duration::from_secs(10)).await
/// # }
/// ```
#[track_caller]
pub fn serve<L, S, M>(listener: L, service: S, shutdown: &Shutdown) -> Serve
where
    L: Listener,
    S: Services<L::Address, M>,
    M: 'static,
{
    let options = Options {
        limits: Limits {
            header: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(60),
            linger: Duration::from_millis(500),
        },
        max_connections: 32_768,
        keep_alive: (Duration::from_secs(60), Duration::from_secs(20)),
    };
    let (shutdown, flights) = (shutdown.clone(), shutdown.flights("http"));
    let parts = Parts { listener, service, shutdown, flights };
    let start = |options| -> Running { Box::pin(parts.run::<M>(options)) };
    Serve { options, start: Some(Box::new(start)), running: None }
}

/// A server that is about to be awaited: see [`serve`].
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve {
    options: Options,
    /// Until it is polled.
    start: Option<Box<dyn FnOnce(Options) -> Running + Send>>,
    running: Option<Running>,
}

type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// How it is to be.
impl Serve {
    /// How long a peer may take for the head of a request: from the begin of its connection, a TLS handshake
    /// included; on a kept connection, from the head's first byte. 30 s by default, which is hyper's.
    pub fn header_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.limits.header = timeout.min(FAR))
    }

    /// How long a connection is kept on which nobody asks for anything. 75 s by default, which is nginx's: more than the 60 s
    /// after which the usual balancers close theirs, so that it is they who do.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.limits.idle = timeout.min(FAR))
    }

    /// How long a peer may take nothing of its answer, or of each of its answers. 60 s by default, which is nginx's; in the drain not more than a quarter
    /// of its time. What a peer takes is seen in steps of 16 KiB on HTTP/2, and of some 64 KiB on HTTP/1.1.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.limits.write = timeout.min(FAR))
    }

    /// How long after its last activity a connection of HTTP/1.1 is still expected to ask for something, once the drain has begun. 500 ms by default: what
    /// zero costs is in the [module](self).
    pub fn linger(self, linger: Duration) -> Self {
        self.with(|options| options.limits.linger = linger.min(FAR))
    }

    /// How many connections there may be, at least one; more wait in the listener's backlog, those of health checks too, which is
    /// logged. The [module](self) says what becomes of them in the drain. 32,768 by default: more than
    /// one address can open to one port, so that a single balancer never meets it.
    pub fn max_connections(self, most: usize) -> Self {
        self.with(|options| {
            options.max_connections = u32::try_from(most).unwrap_or(u32::MAX).max(1)
        })
    }

    /// How often a peer of HTTP/2 is asked whether it is still there, and how long it may take to say so. 60 s and 20 s by default.
    pub fn http2_keep_alive(self, interval: Duration, timeout: Duration) -> Self {
        self.with(|options| options.keep_alive = (interval.min(FAR), timeout.min(FAR)))
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        self
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Future for Serve {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { options, start, running } = self.get_mut();
        if let Some(start) = start.take() {
            *running = Some(start(*options));
        }
        let Some(future) = running else { panic!("polled after it had ended") };
        let result = ready!(future.as_mut().poll(cx));
        *running = None;
        Poll::Ready(result)
    }
}

#[derive(Clone, Copy, Debug)]
struct Options {
    limits: Limits,
    max_connections: u32,
    keep_alive: (Duration, Duration),
}

struct Parts<L, S> {
    listener: L,
    service: S,
    shutdown: Shutdown,
    flights: Flights,
}

impl<L: Listener, S> Parts<L, S> {
    async fn run<M: 'static>(self, options: Options) -> io::Result<()>
    where
        S: Services<L::Address, M>,
    {
        let Self { listener, service, shutdown, flights } = self;
        let Options { limits, max_connections, keep_alive } = options;
        let stages = watch::Sender::new(Stage::Serving);
        let server = Server::new(limits, keep_alive, &shutdown, flights, stages.subscribe());
        let server = Arc::new(server);
        let places = Arc::new(Semaphore::new(max_connections as usize));
        let (news, for_all) = (&stages, Arc::clone(&server));
        // It owns the service, which need not be `Sync`.
        let mut spawn = move |taken: Taken<L>| {
            let (server, service) = (Arc::clone(&for_all), service.clone());
            tokio::spawn(serving::serve::<L, S, M>(server, service, taken, news.subscribe()));
        };
        let mut acceptor = Acceptor::new(listener);
        alongside(acceptor.run(&shutdown, &places, &mut spawn), retire(&shutdown, &stages)).await?;
        // Before the rest of the backlog, which may have to wait for the descriptors and places that this frees.
        stages.send_replace(server.closing());
        let (sender, queue) = Queue::new();
        let mut waiting = pin!(queue.serve(&places, &mut spawn));
        let emptied = acceptor.finish(&places, max_connections as usize, sender);
        alongside(emptied, waiting.as_mut()).await?;
        waiting.await;
        // They are given back when their connections have gone.
        drop(places.acquire_many(max_connections).await);
        Ok(())
    }
}

/// Retires the connections once the program is a lame duck.
async fn retire(shutdown: &Shutdown, stages: &watch::Sender<Stage>) {
    let mut phases = shutdown.phases();
    if phases.wait_for(|&phase| phase >= Phase::LameDuck).await.is_ok() {
        stages.send_if_modified(|stage| {
            let is_serving = matches!(stage, Stage::Serving);
            *stage = if is_serving { Stage::Retiring } else { *stage };
            is_serving
        });
    }
}
