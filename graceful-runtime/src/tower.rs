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

mod response;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use tokio_util::sync::CancellationToken;

pub(crate) use self::response::Way;
#[cfg(feature = "http")]
pub(crate) use self::response::is_within;
pub use self::response::{Body, BoxError, ResponseFuture, Unwatched, Watch};
use crate::{flight::Flights, label::Carrier, shown, shutdown::Shutdown};

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
        let failed = |error: &S::Error| tracing::warn!(target: "graceful", error = %shown::message(error), "the service failed before it was asked for anything");
        self.inner.poll_ready(cx).map(|ready| ready.inspect_err(failed))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let Self { inner, layer: Layer { shutdown, flights, refuse } } = self;
        let version = request.version();
        if let (Some(retry_after), true) = (*refuse, shutdown.is_requested()) {
            return ResponseFuture::refused(version, Some(retry_after));
        }
        let name = Arc::new(Name::of(&request, None, Some(CancellationToken::new())));
        let flight = flights.begin_on(name.clone());
        if !flight.is_counted() {
            return ResponseFuture::refused(version, *refuse);
        }
        let way = Way::new(flight, name, Unwatched);
        ResponseFuture::of(|| inner.call(request), way)
    }
}

/// A request by name: who asks for what. Without the query, which may hold what is nobody's business. A force ends the request by it.
#[derive(Debug)]
pub(crate) struct Name {
    origin: Option<Arc<dyn Origin>>,
    method: Method,
    uri: Uri,
    /// Of the request alone; otherwise it ends with its connection.
    cut: Option<CancellationToken>,
}

/// The connection that a request comes from, where that is known.
pub(crate) trait Origin: fmt::Debug + Send + Sync {
    /// Who is at its other end.
    fn peer(&self) -> &dyn fmt::Debug;
    /// What ends it.
    fn cut(&self) -> &CancellationToken;
}

impl Name {
    pub(crate) fn of<Q>(
        request: &Request<Q>,
        origin: Option<Arc<dyn Origin>>,
        cut: Option<CancellationToken>,
    ) -> Self {
        Self { origin, method: request.method().clone(), uri: request.uri().clone(), cut }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, method, uri, .. } = self;
        if let Some(origin) = origin {
            write!(f, "{:?} ", origin.peer())?;
        }
        write!(f, "{method} {}", uri.path())
    }
}

impl Carrier for Name {
    fn cut(&self) {
        let cut = self.cut.as_ref().or_else(|| Some(self.origin.as_ref()?.cut()));
        cut.into_iter().for_each(CancellationToken::cancel);
    }
}

/// The answer to what is not taken any more.
pub(crate) fn refusal<B, W: Watch>(
    version: Version,
    retry_after: Option<Duration>,
) -> Response<Body<B, W>> {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(retry_after) = retry_after {
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    close(&mut response, version);
    response
}

/// Says that the connection is closed after this answer, where the protocol says it so.
pub(crate) fn close<B>(response: &mut Response<B>, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// An answer without a body.
pub(crate) fn answer<B, W: Watch>(status: StatusCode) -> Response<Body<B, W>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
