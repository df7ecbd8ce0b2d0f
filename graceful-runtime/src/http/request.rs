//! One request of a connection: counted from its head to the end of its answer's body, or of what the connection has become by it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response, StatusCode, Version};
use hyper::{
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{Server, connection::Connection, keep::Limits};
use crate::{
    flight::Flight,
    tower::{self, Body, BoxError, Name, ResponseFuture, Watch},
};

/// The service that hyper asks: the user's, counted.
pub(super) fn answers<S, B>(
    server: Arc<Server>,
    connection: Arc<Connection>,
    service: S,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body<B, Exchange>>,
    Error = BoxError,
    Future: Send,
>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Error: Into<BoxError>> + Send + 'static,
{
    let service = TowerToHyperService::new(service);
    service_fn(move |request: Request<Incoming>| {
        let (version, is_connect) = (request.version(), *request.method() == Method::CONNECT);
        // Here, not in the future, which HTTP/2 polls on a task of its own, later.
        let future = match Exchange::begin(&connection, &server.limits, version) {
            Some(exchange) => {
                let name = Name::of(&request, Peer(Arc::clone(&connection.peer)));
                // A stream of HTTP/2 is ended by itself: its neighbours may wait in a shield. A tunnel is the connection's.
                let own = (exchange.is_http2 && !is_connect).then(CancellationToken::new);
                let cut = own.as_ref().unwrap_or(&connection.cut).clone();
                let flight = server.flights.begin(name, cut);
                if flight.is_counted() {
                    ResponseFuture::of(|| service.call(request), flight, exchange, own)
                } else {
                    ResponseFuture::refused(version, None)
                }
            }
            None => ResponseFuture::refused(version, None),
        };
        let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
        Answer { future, server, connection, version, is_connect }
    })
}

pin_project! {
    /// Not an `async` block: that has room for the request and for what the service makes of it, one beside the other, and is moved as a whole.
    struct Answer<F> {
        #[pin]
        future: ResponseFuture<F, Exchange>,
        server: Arc<Server>,
        connection: Arc<Connection>,
        version: Version,
        is_connect: bool,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body<B, Exchange>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (server, connection, version) = (this.server, this.connection, *this.version);
        let mut response = ready!(this.future.poll(cx)).map_err(Into::into)?;
        let status = response.status();
        let switches = status == StatusCode::SWITCHING_PROTOCOLS && version < Version::HTTP_2;
        if switches || *this.is_connect && status.is_success() {
            if let Some((flight, exchange)) = response.body_mut().take() {
                connection.tunnel(flight, version < Version::HTTP_2);
                exchange.stay();
            }
        } else if server.is_stopping() || connection.keep().says_close() {
            tower::close(&mut response, version);
        }
        Poll::Ready(Ok(response))
    }
}

/// A request and its answer, as far as their connection is concerned.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: Arc<Connection>,
    is_http2: bool,
    is_handed: bool,
    stays: bool,
}

impl Exchange {
    /// `None` once the connection takes nothing any more.
    fn begin(connection: &Arc<Connection>, limits: &Limits, version: Version) -> Option<Self> {
        let is_http2 = version == Version::HTTP_2;
        let is_taken = connection.keep().begin(is_http2, limits, Instant::now);
        is_taken.then(|| {
            let connection = Arc::clone(connection);
            Self { connection, is_http2, is_handed: false, stays: false }
        })
    }

    /// The connection is in the middle of it until it ends itself.
    fn stay(mut self) {
        self.stays = true;
    }
}

impl Watch for Exchange {
    fn handed(&mut self) {
        if !self.is_handed {
            self.is_handed = true;
            self.connection.keep().handed(Instant::now());
        }
    }

    fn asked(&mut self) {
        if self.is_handed {
            self.is_handed = false;
            self.connection.keep().taken();
        }
    }

    /// HTTP/2 does: it has a window for each stream. HTTP/1.1 waits for the transport alone.
    fn takes_early(&self) -> bool {
        self.is_http2
    }

    /// HTTP/1.1 has done with a body when it has copied it: then it is still to be written.
    fn done(self, flight: Flight) {
        if self.is_http2 {
            flight.complete();
        } else {
            Arc::clone(&self.connection).hold(flight, self);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.asked();
        if !self.stays {
            self.connection.keep().end(Instant::now());
        }
    }
}

/// How a peer is named before its request.
struct Peer(Arc<dyn fmt::Debug + Send + Sync>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.0)
    }
}
