//! The server: its options, and its life from the first connection to the last.

use std::{
    fmt, io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

use super::{
    accept::Acceptor,
    connection_task::{self, Accepted},
    keep_alive::{Limits, Stage},
    listener::Listener,
    server::{FAR, Server},
    services::Services,
    wait_queue::WaitQueue,
};
use crate::{
    handle::{flight::Flights, requested::driver_turn, shutdown::Shutdown},
    model::{lifecycle::Phase, select::alongside},
};

/// Serves HTTP/1.1 and HTTP/2 until the stop is requested and all connections have ended.
///
/// The first bytes of each connection show which of the two it speaks, with and without TLS.
///
/// `service` is any tower service for requests, such as an axum `Router`, or one that makes such a service for each connection, such as
/// `Router::into_make_service_with_connect_info::<SocketAddr>()`. It is cloned for each connection and each request.
///
/// A panic of a handler is logged and reported, and answered with 500. The [module](super#failures) has a table of all failures, and of what the client
/// sees of each; it also describes how the server stops. `shutdown` may be the handle of a scope: then the server stops with that scope.
///
/// Await the server in `main`, or pass it to [`Shutdown::spawn`], so that the drain waits for it.
///
/// # Errors
///
/// Returns an error if the listener can never accept a connection again. Running out of descriptors is not an error: it is logged, and the server
/// retries at least once a second.
///
/// # Panics
///
/// When awaited outside of a Tokio runtime with I/O and time.
///
/// # Cancel safety
///
/// If it is dropped, it closes the listener. Its connections close by themselves, as they do in the drain.
///
/// # Examples
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
    let unstarted = Unstarted { listener, service, shutdown, flights };
    let start = |options| -> Running { Box::pin(unstarted.run::<M>(options)) };
    Serve { options, start: Some(Box::new(start)), running: None }
}

/// The future of a server, returned by [`serve`].
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve {
    options: Options,
    /// `None` after the first poll.
    start: Option<Box<dyn FnOnce(Options) -> Running + Send>>,
    running: Option<Running>,
}

type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Options.
///
/// ```
/// # use std::{convert::Infallible, time::Duration};
/// # use http_body_util::Full;
/// # use hyper::{Request, Response, body::{Bytes, Incoming}};
/// # async fn f(shutdown: graceful::Shutdown, listener: tokio::net::TcpListener) -> std::io::Result<()> {
/// # let service = tower::service_fn(async |_: Request<Incoming>| {
/// #     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
/// # });
/// graceful::http::serve(listener, service, &shutdown)
///     .header_timeout(Duration::from_secs(10)) // less than the default, for clients nearby
///     .idle_timeout(Duration::from_secs(130)) // more than the balancer's, so that the balancer closes first
///     .write_timeout(Duration::from_secs(20))
///     .linger(Duration::from_secs(1))
///     .max_connections(10_000)
///     .http2_keep_alive(Duration::from_secs(30), Duration::from_secs(10))
///     .await
/// # }
/// ```
impl Serve {
    /// Sets how long a peer may take for the head of a request. The time begins with the connection, so that a TLS handshake is included, and on a
    /// connection that has served a request with the first byte of the head.
    ///
    /// Defaults to 30 s, as in hyper.
    pub fn header_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.limits.header = timeout.min(FAR))
    }

    /// Sets how long a connection without requests is kept.
    ///
    /// Defaults to 75 s, as in nginx. That is more than the 60 s after which the usual balancers close their connections, so that the balancer closes
    /// first.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.limits.idle = timeout.min(FAR))
    }

    /// Sets how long a peer may take nothing of its answer, or of any of its answers on HTTP/2.
    ///
    /// Defaults to 60 s, as in nginx. In the drain it is at most a quarter of the time that the drain has. Progress of a peer is visible in steps of
    /// 16 KiB on HTTP/2, and of about 64 KiB on HTTP/1.1.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.limits.write = timeout.min(FAR))
    }

    /// Sets how long after its last activity an HTTP/1.1 connection may still send a request, once the drain has begun.
    ///
    /// Defaults to 500 ms. The [module](super#a-limit-of-http11) says what a linger of zero costs.
    pub fn linger(self, linger: Duration) -> Self {
        self.with(|options| options.limits.linger = linger.min(FAR))
    }

    /// Sets the maximum number of connections, at least one. Further connections wait in the listener's backlog, those of health checks included, and
    /// a warning is logged. The [module](super#more-connections-than-places) says what happens to them in the drain.
    ///
    /// Defaults to 32,768. One address can open fewer connections to one port, so that a single balancer never reaches it.
    pub fn max_connections(self, most: usize) -> Self {
        self.with(|options| {
            let most = most.clamp(1, Semaphore::MAX_PERMITS);
            options.max_connections = u32::try_from(most).unwrap_or(u32::MAX);
        })
    }

    /// Sets how often an HTTP/2 peer gets a PING, and how long it may take to answer.
    ///
    /// Defaults to 60 s and 20 s.
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
        let Some(future) = running else { panic!("`Serve` was polled after it had returned") };
        let result = ready!(future.as_mut().poll(cx));
        *running = None;
        Poll::Ready(result)
    }
}

#[derive(Clone, Copy, Debug)]
struct Options {
    limits: Limits,
    max_connections: u32,
    /// Interval and timeout of HTTP/2 PINGs.
    keep_alive: (Duration, Duration),
}

/// The arguments of [`serve`].
struct Unstarted<L, S> {
    listener: L,
    service: S,
    shutdown: Shutdown,
    flights: Flights,
}

impl<L: Listener, S> Unstarted<L, S> {
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
        let (shared, stage_changes) = (Arc::clone(&server), &stages);
        // `move`: it owns the service, which need not be `Sync`.
        let mut spawn = move |accepted: Accepted<L>| {
            let (server, service) = (Arc::clone(&shared), service.clone());
            let stages = stage_changes.subscribe();
            tokio::spawn(connection_task::serve::<L, S, M>(server, service, accepted, stages));
        };
        let mut acceptor = Acceptor::new(listener);
        alongside(acceptor.run(&shutdown, &places, &mut spawn), retire(&shutdown, &stages)).await?;
        // A request that the system received before the drain, on a connection that was idle, is known to the runtime after this. Otherwise the
        // connection would be closed with the request in it.
        driver_turn().await;
        // Before the backlog is emptied, because its connections may need the descriptors and places that this frees.
        stages.send_replace(server.closing());
        let (sender, queue) = WaitQueue::new();
        let mut waiting = pin!(queue.serve(&places, &mut spawn));
        let emptied = acceptor.finish(&places, max_connections as usize, sender);
        alongside(emptied, waiting.as_mut()).await?;
        waiting.await;
        // Each connection holds a place until it has ended.
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
            if is_serving {
                *stage = Stage::Retiring;
            }
            is_serving
        });
    }
}
