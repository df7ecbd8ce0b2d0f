//! Counts the requests of other servers as work in flight: a [`Layer`] for everything that is made of tower services.
//!
//! A request is in flight from the call of the service until its response *body* has ended or is dropped, even if the handler panics or the client
//! goes away. The drain waits for it, and lists it while it waits: `http GET /reports/42 12.3s`.
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
//! The layer does not see an upgraded connection (a WebSocket): hold a [`Guard`](crate::Guard) for it in the handler.

pub(crate) mod body;
pub(crate) mod request_name;
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
    request_name::RequestName,
    response::WatchedFuture,
};
use crate::{
    handle::{flight::Flights, shutdown::Shutdown},
    model::sanitize,
};

/// Counts each request of a service as work in flight.
///
/// A force ends a request that is still running: its handler is dropped and the client gets 503, or the body of its answer ends with an error.
///
/// A panic of the handler is logged and reported, and answered with 500. An error of the service or of the body is logged with the request's name, which
/// is why it must implement `Display`, and passed on to the server. What the client sees of it is up to the server: usually a connection or stream that
/// ends early.
#[derive(Clone, Debug)]
pub struct Layer {
    shutdown: Shutdown,
    flights: Flights,
    refuse: Option<Duration>,
}

impl Layer {
    /// Creates a layer whose requests belong to the program or scope of `shutdown`.
    ///
    /// # Examples
    ///
    /// The requests belong to a scope of their own:
    ///
    /// ```
    /// # use graceful::Shutdown;
    /// # fn f(shutdown: &Shutdown) -> axum::Router {
    /// let api = shutdown.scope("api");
    /// axum::Router::new()
    ///     .route("/", axum::routing::get(|| async { "hello" }))
    ///     .layer(graceful::tower::Layer::new(&api))
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(shutdown: &Shutdown) -> Self {
        Self { shutdown: shutdown.clone(), flights: shutdown.flights("http"), refuse: None }
    }

    /// Answers requests that arrive after the stop was requested with 503 and a `Retry-After` header.
    ///
    /// The header has `retry_after` in seconds, rounded up. By default such requests are served, because they arrive on connections that are open
    /// already; it is the server that closes those.
    ///
    /// # Examples
    ///
    /// ```
    /// # use graceful::Shutdown;
    /// # use std::time::Duration;
    /// # fn f(shutdown: &Shutdown) -> axum::Router {
    /// axum::Router::new()
    ///     .route("/", axum::routing::get(|| async { "hello" }))
    ///     .layer(graceful::tower::Layer::new(shutdown).refuse(Duration::from_secs(5)))
    /// # }
    /// ```
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

/// The service that [`Layer`] wraps around another one.
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
        let failed = |error: &S::Error| tracing::warn!(target: "graceful", error = %sanitize::message(error), "the service failed while it was waited for: `poll_ready` returned an error");
        self.inner.poll_ready(cx).map(|ready| ready.inspect_err(failed))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let Self { inner, layer: Layer { shutdown, flights, refuse } } = self;
        let version = request.version();
        if let (Some(retry_after), true) = (*refuse, shutdown.is_requested()) {
            return WatchedFuture::refused(version, Some(retry_after)).into();
        }
        let name = Arc::new(RequestName::of(&request, None, Some(CancellationToken::new())));
        let flight = flights.begin_on(name.clone());
        if !flight.is_counted() {
            return WatchedFuture::refused(version, *refuse).into();
        }
        let in_flight = RequestInFlight::new(flight, name, Unwatched);
        WatchedFuture::call(|| inner.call(request), in_flight).into()
    }
}

pin_project! {
    /// The future of a response of [`Service`].
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
    /// The body of a response. The request is in flight until the body has ended or is dropped.
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
