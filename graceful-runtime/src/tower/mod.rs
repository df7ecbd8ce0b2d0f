//! Requests in flight on a server that is not ours: a [`Layer`] for anything that is built of tower services.
//!
//! A request is in flight from the moment it comes to the service until its response *body* has ended or was dropped, also when the
//! handler panics or the client goes away. The drain waits for it, and names it while it does: `http GET /reports/42 12.3s`.
//!
//! ```
//! # use graceful::Shutdown;
//! # async fn f(shutdown: Shutdown, listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! let app = axum::Router::new()
//!     .route("/", axum::routing::get(|| async { "hello" }))
//!     .layer(graceful::tower::Layer::new(&shutdown));
//! let stop = async move { shutdown.requested().await };
//! axum::serve(listener, app).with_graceful_shutdown(stop).await
//! # }
//! ```
//!
//! An upgraded connection (a WebSocket) is the server's, and not seen from here: hold a [`Guard`](crate::Guard) for it.

pub(crate) mod body;
pub(crate) mod name;
pub(crate) mod response;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;

pub use self::body::BoxError;
use self::{
    body::{RequestInFlight, Unwatched, WatchedBody},
    name::Name,
    response::WatchedFuture,
};
use crate::{
    handle::{flight::Flights, shutdown::Shutdown},
    model::sanitize,
};

/// Makes each request of a service count as work in flight.
///
/// A force ends a request that is still running: its handler is dropped and 503 is answered, or its body ends with an error.
///
/// A panic of the handler is logged and reported, and answered with 500. An error of the service, or of the body of its answer, is logged with the request's
/// name (which takes an error that can be shown), and handed on: what the client sees of it is up to the server, mostly a connection or stream that ends early.
#[derive(Clone, Debug)]
pub struct Layer {
    shutdown: Shutdown,
    flights: Flights,
    refuse: Option<Duration>,
}

impl Layer {
    /// A layer for the part of the program that `shutdown` is the handle of.
    #[must_use]
    #[track_caller]
    pub fn new(shutdown: &Shutdown) -> Self {
        Self { shutdown: shutdown.clone(), flights: shutdown.flights("http"), refuse: None }
    }

    /// Answers 503, with a `Retry-After` of so many seconds (rounded up), to what comes once the stop is requested. Without this such
    /// a request is served, because it belongs to a connection that is; the server sees to it that there are not many.
    #[must_use]
    pub fn refuse(self, retry_after: Duration) -> Self {
        Self { refuse: Some(retry_after), ..self }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// What [`Layer`] makes of a service.
#[derive(Clone, Debug)]
pub struct Service<S> {
    inner: S,
    layer: Layer,
}

impl<S, Q, B> tower_service::Service<Request<Q>> for Service<S>
where
    S: tower_service::Service<Request<Q>, Response = Response<B>, Error: fmt::Display>,
    B: http_body::Body,
{
    type Response = Response<Body<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let failed = |error: &S::Error| tracing::warn!(target: "graceful", error = %sanitize::message(error), "the service failed before it was asked for anything");
        self.inner.poll_ready(cx).map(|ready| ready.inspect_err(failed))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let Self { inner, layer: Layer { shutdown, flights, refuse } } = self;
        let version = request.version();
        if let (Some(retry_after), true) = (*refuse, shutdown.is_requested()) {
            return WatchedFuture::refused(version, Some(retry_after)).into();
        }
        let name = Arc::new(Name::of(&request, None, Some(CancellationToken::new())));
        let flight = flights.begin_on(name.clone());
        if !flight.is_counted() {
            return WatchedFuture::refused(version, *refuse).into();
        }
        let in_flight = RequestInFlight::new(flight, name, Unwatched);
        WatchedFuture::of(|| inner.call(request), in_flight).into()
    }
}

pin_project! {
    /// The future of [`Service`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: WatchedFuture<F, Unwatched>,
    }
}

impl<F> From<WatchedFuture<F, Unwatched>> for ResponseFuture<F> {
    fn from(inner: WatchedFuture<F, Unwatched>) -> Self {
        Self { inner }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
    E: fmt::Display,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx));
        Poll::Ready(response.map(|response| response.map(|inner| Body { inner })))
    }
}

pin_project! {
    /// The body of a response: the request is in flight until it has ended or is dropped.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        inner: WatchedBody<B, Unwatched>,
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
