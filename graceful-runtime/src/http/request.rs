//! One request of a connection, counted from its head to the end of its answer, or of the tunnel that it opens.
//!
//! # Who ends an exchange, and when
//!
//! An [`Exchange`] is one request with its answer. Two counters include it: [`KeepAlive`] keeps the connection open for it, and a [`Flight`] makes
//! the drain wait for it. Both begin in [`counted`]. They end together, in one of these places:
//!
//! | what happens | HTTP/1.1 | HTTP/2 |
//! |---|---|---|
//! | the answer ends, or the service returns an error | hyper has the rest of the answer: [`Connection`] keeps the flight among its `unwritten`, and ends both once everything is written or the stream is dropped | with data left to send: [`Unsent`] ends both when the last piece is sent; otherwise `Exchange::on_body_ended` at once |
//! | the answer becomes a tunnel (`101`, or 2xx to `CONNECT`) | [`Connection`] ends the flight when the stream is dropped | the same, for all tunnels of the connection |
//! | the handler or the body panics | `tower::body` reports the panic and ends the flight; dropping the exchange does the rest | the same |
//! | the peer goes away, or hyper drops the answer | the body is dropped before its end, with the flight and the exchange | the same; if the body had ended, [`Unsent`] drops both with the first piece that is not sent |
//! | a force | the connection is cut, and drops all its requests | the request's own token ends the handler or body, which drops both |
//!
//! While data waits for the peer, the answer counts as `offered`: [`KeepAlive`] measures the peer's patience by that. On HTTP/1.1 it does
//! so from one frame until hyper asks for the next (`is_offered`), on HTTP/2 while [`Unsent`] has pieces.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::{
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{
    connection::Connection,
    keep_alive::KeepAlive,
    unsent::{Piece, Unsent},
};
use crate::{
    handle::flight::Flight,
    tower::{
        body::{BoxError, RequestInFlight, Watch, WatchedBody},
        request_name::RequestName,
        response::{WatchedFuture, close, refusal},
    },
};

/// The service that hyper calls: the user's service, with each request counted.
pub(super) fn counted<S, B>(
    connection: Arc<Connection>,
    service: S,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<WatchedBody<B, Exchange>>,
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
        // Counted now and not at the first poll of the future, which HTTP/2 polls later, on another task.
        let exchange = Exchange::begin(&connection, version, is_connect);
        // A force ends each HTTP/2 stream by a token of its own, because other streams of the connection may be in a shield. It ends a
        // tunnel with its connection.
        let own = (exchange.is_http2() && !is_connect).then(CancellationToken::new);
        let name = Arc::new(RequestName::of(&request, Some(Arc::clone(&connection.origin)), own));
        let flight = connection.server.flights.begin_on(name.clone());
        if !flight.is_counted() {
            return CountedFuture::Refused { version };
        }
        let future = Call { future: service.call(request) };
        let in_flight = RequestInFlight::new(flight, name, exchange);
        CountedFuture::Running { future: WatchedFuture::running(future, in_flight) }
    })
}

pin_project! {
    /// The future of the user's service, with an error that implements `Display`.
    struct Call<F> {
        #[pin]
        future: F,
    }
}

impl<F, T, E> Future for Call<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map_err(Into::into)
    }
}

pin_project! {
    #[project = CountedFutureProjection]
    enum CountedFuture<F> {
        Running {
            #[pin]
            future: WatchedFuture<Call<F>, Exchange>,
        },
        Refused {
            version: Version,
        },
    }
}

impl<F, B, E> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<WatchedBody<B, Exchange>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CountedFutureProjection::Running { future } => future.poll(cx),
            // hyper resets the stream with this reason, which shows the client that it may send the request to another server.
            CountedFutureProjection::Refused { version: &mut Version::HTTP_2 } => {
                Poll::Ready(Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into()))
            }
            CountedFutureProjection::Refused { version } => {
                Poll::Ready(Ok(refusal(*version, None)))
            }
        }
    }
}

/// A request and its answer, as the connection counts them. See the [module](self) for who ends it.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: Arc<Connection>,
    version: Version,
    is_connect: bool,
    /// HTTP/1.1: hyper has a frame that the peer is to take.
    is_offered: bool,
    /// HTTP/2: the data that is not sent, once there was any.
    unsent: Option<Arc<Unsent<Self>>>,
    /// The connection ends the exchange, not its drop.
    is_left_to_connection: bool,
}

impl Exchange {
    fn begin(connection: &Arc<Connection>, version: Version, is_connect: bool) -> Self {
        connection.update(|keep| keep.request_began(version == Version::HTTP_2));
        Self {
            connection: Arc::clone(connection),
            version,
            is_connect,
            is_offered: false,
            unsent: None,
            is_left_to_connection: false,
        }
    }

    fn is_http2(&self) -> bool {
        self.version == Version::HTTP_2
    }

    fn leave_to_connection(mut self) {
        self.is_left_to_connection = true;
    }
}

impl Watch for Exchange {
    type Data = Piece<Self>;

    /// Turns the answer into a tunnel, or adds `Connection: close` to it while the server stops.
    fn on_response<B>(response: &mut Response<WatchedBody<B, Self>>) {
        let status = response.status();
        let Some(Self { connection, version, is_connect, .. }) = response.body().watch() else {
            return;
        };
        let (version, is_http1) = (*version, *version < Version::HTTP_2);
        let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS && is_http1;
        if is_upgrade || *is_connect && status.is_success() {
            if let Some((flight, exchange)) = response.body_mut().take() {
                match is_http1 {
                    true => exchange.connection.upgrade(flight),
                    false => exchange.connection.open_tunnel(flight),
                }
                exchange.leave_to_connection();
            }
        } else if connection.server.is_stopping() {
            close(response, version);
        }
    }

    fn is_peer_gone(&self) -> bool {
        self.connection.is_peer_gone()
    }

    fn on_data(&mut self, data: Bytes) -> Piece<Self> {
        if !self.is_http2() {
            self.is_offered = true;
            self.connection.update(KeepAlive::data_offered);
        } else if !data.is_empty() {
            let unsent = self.unsent.get_or_insert_with(|| Unsent::new(&self.connection));
            return Piece::new(data, unsent);
        }
        data.into()
    }

    /// hyper asks for the next frame once the peer has taken enough of the last one.
    fn on_frame_requested(&mut self) {
        if self.is_offered {
            self.is_offered = false;
            self.connection.update(KeepAlive::offer_ended);
        }
    }

    /// On HTTP/1.1, hyper has copied the whole body and has yet to write it. On HTTP/2, hyper has the pieces, which `unsent` counts.
    fn on_body_ended(mut self, flight: Flight) {
        if let Some(unsent) = self.unsent.take() {
            unsent.body_ended(flight, self);
        } else if self.is_http2() {
            flight.complete();
        } else {
            let is_offered = mem::take(&mut self.is_offered);
            self.connection.complete_when_written(flight, is_offered);
            self.leave_to_connection();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.on_frame_requested();
        match self.is_left_to_connection {
            true => {}
            false if self.is_http2() => self.connection.update_and_wake(KeepAlive::request_ended),
            false => self.connection.update(KeepAlive::request_ended),
        }
    }
}
