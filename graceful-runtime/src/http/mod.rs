//! Serving HTTP until the program stops: [`serve`] and [`health`].
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
//! | not ready | the lame duck begins | `/readyz` answers 503; connections and requests are accepted as before |
//! | retire | at the same moment | each answer has `Connection: close`; an HTTP/2 connection that has served a request gets GOAWAY, in two steps |
//! | stop accepting | the drain begins | connections in the backlog are accepted; then the listener is closed, and new connections are refused at once |
//! | close | at the same moment | requests in flight are answered; an HTTP/1.1 connection that has been idle for longer than the [linger](Serve::linger) closes at once, a fresher one may send one more request until its linger is over; HTTP/2 gets GOAWAY |
//! | force | a second signal, or the deadline | connections with a request in flight, and upgraded ones, fail; each request is listed: `http 10.0.0.7:51234 GET /reports/42 12.3s` |
//!
//! Without a lame duck, *retire*, *stop accepting* and *close* happen at the same moment. `serve` returns when all its connections have ended. A request
//! that arrives at the end of the lame duck has `timeout` − `lame_duck` − `finalize_timeout`. If handlers pass work to other components of the program,
//! put those into a scope that drains [`after`](Shutdown::after) the server, so that the last requests find them running.
//!
//! A request is in flight until its answer is written; on HTTP/2, until the peer has room for all of it. An upgraded connection (a WebSocket) is in
//! flight until it is dropped, and an endless answer (server-sent events) until it ends. Their handlers learn of the stop from
//! [`Shutdown::requested`]. The end of a tunnel within an HTTP/2 connection is not visible, so the tunnel counts until its connection ends. Such a
//! connection gets GOAWAY after a thousand tunnels.
//!
//! The following do not hold the drain for longer than the linger: a silent connection, an incomplete head, and a TLS handshake that hangs. (HTTP/2
//! connections end as described below.) A peer that takes nothing of its answer is given up after its *patience*: a quarter of the time that the drain had
//! when it began, or the [`write_timeout`](Serve::write_timeout) if that is shorter. A peer that still takes another of its answers is not given up.
//! A peer that closes its half of an HTTP/1.1 connection after its request counts as gone, as with hyper and axum.
//! A peer that does not send the rest of its request's *body* is waited for like any request in flight, until the force.
//!
//! # How HTTP/2 ends
//!
//! HTTP/2 connections end as RFC 9113, section 6.8 describes. The first GOAWAY asks the peer to send no more requests and names no last stream; what the
//! peer sent before it saw the GOAWAY is served. A PING is sent along. Once the peer has answered the PING, however slow its link is, no earlier request
//! can be under way, and a second GOAWAY names the last stream that is served. Later streams are ignored: the peer knows that they were not processed, and
//! sends them to another server. The connection ends when all its streams are answered and the peer has closed its side, so that the end of the last
//! answer arrives.
//!
//! The linger plays no role in this. A peer that does not answer the PING gets the second GOAWAY after its patience; after that only requests in flight
//! are waited for. A peer that stopped in the middle of a frame cannot get the second GOAWAY, and is cut one linger later. A peer that does not
//! close its side has its patience once more. If a stream arrives after finalization has begun, on a connection that a force left open, it is refused
//! (`REFUSED_STREAM`), which also means that it was not processed.
//!
//! # More connections than places
//!
//! While the server serves, connections beyond [`max_connections`](Serve::max_connections) wait in the listener's backlog. When the drain begins they are
//! accepted, so that the listener can be closed, and wait within the program for a place until the drain ends. Each needs a descriptor. If descriptors run
//! out, the rest stays in the backlog for as long as open connections could free some. A connection that has sent nothing when it gets its place, and has
//! waited for longer than the linger, is closed.
//!
//! How many connections are accepted this way is the length of the backlog when the drain begins (Linux reports it for TCP; otherwise at most 4096), so
//! that clients that keep connecting do not hold the drain. Connections that arrive later are accepted for half a second and only if a place is
//! free; the others are reset. The number of connections that were not served is logged.
//!
//! # Failures
//!
//! | failure | logged as | what the client sees on HTTP/1.1 | on HTTP/2 |
//! |---|---|---|---|
//! | the service returns an error (`poll_ready` or `call`) | `WARN`, with the request | the connection ends without an answer | `RST_STREAM`, `INTERNAL_ERROR` |
//! | the body of an answer returns an error | `WARN`, with the request | the connection ends within the answer: without its last chunk, or short of its `content-length` | `RST_STREAM`, `INTERNAL_ERROR` |
//! | either, after the client went away on HTTP/1.1 | `DEBUG`, with the request | | |
//! | making a service for a connection returns an error | `WARN`, with the peer | the connection ends | the same |
//! | an answer that HTTP/1.1 cannot send, such as one shorter than its `content-length` | `WARN`, with the peer | the connection ends within it | |
//! | a service or a body panics | `ERROR`, with the request | 500, or as above if the answer had begun | the same |
//! | making a service panics | `ERROR` | the connection ends | the same |
//! | a connection or its TLS handshake fails | `DEBUG`, with the peer | | |
//!
//! If the error of a service or body has an `h2::Error` among its sources, the stream is reset with the reason of that error.
//!
//! # A limit of HTTP/1.1
//!
//! A server that closes an idle connection cannot know whether a request is on its way. The linger makes that rare, because a connection in use is not
//! closed, but not impossible. A client has to retry a request that got no answer at all on a connection that it had used before, or had kept
//! open for a while without a request, as RFC 9112, section 9.3.1 describes for idempotent requests. HTTP/2 has no such gap: GOAWAY says which requests
//! were not processed. With a lame duck that is longer than a balancer needs to see that the program is not ready, no request arrives any more when
//! connections are closed.

mod accept;
mod accept_error;
mod connection;
mod connection_task;
mod drive;
mod frames;
mod health;
mod keep_alive;
mod listener;
mod rare_wakeups;
mod request;
mod serve;
mod server;
mod services;
mod shared_socket;
mod timestamp;
mod transport;
mod unsent;
mod wait_queue;

#[cfg(doc)]
use crate::handle::shutdown::Shutdown;

pub use self::{
    health::{Health, health},
    listener::Listener,
    serve::{Serve, serve},
    services::{ForConnections, ForRequests, Services},
};
