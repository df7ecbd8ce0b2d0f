//! One request of a connection: counted from its head to the end of its answer's body, or of what the connection has become by it.

use std::{fmt, future::poll_fn, sync::Arc};

use http::{Method, Request, Response, StatusCode, Version};
use hyper::{body::Incoming, service::service_fn};
use tokio::time::Instant;
use tower_service::Service;

use super::{Server, connection::Connection};
use crate::tower::{self, Body, BoxError, Name, ResponseFuture, Watch};

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
    service_fn(move |request: Request<Incoming>| {
        let (version, is_connect) = (request.version(), *request.method() == Method::CONNECT);
        // Here, not in the future, which HTTP/2 polls on a task of its own, later.
        let exchange = Exchange::begin(&connection, version);
        let name = Name::of(&request, Peer(Arc::clone(&connection.peer)));
        let flight = server.flights.begin(name, connection.cut.clone());
        let mut service = service.clone();
        let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
        async move {
            if !flight.is_counted() {
                return Ok(tower::refusal(version, None));
            }
            let call = async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            };
            let mut response = ResponseFuture::new(call, flight, exchange, None)
                .await
                .map_err(Into::<BoxError>::into)?;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS || is_connect && status.is_success() {
                if let Some((flight, exchange)) = response.body_mut().take() {
                    connection.tunnel(flight, version < Version::HTTP_2);
                    exchange.stay();
                }
            } else if server.is_stopping() || connection.keep().says_close() {
                tower::close(&mut response, version);
            }
            Ok(response)
        }
    })
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
    fn begin(connection: &Arc<Connection>, version: Version) -> Self {
        let is_http2 = version == Version::HTTP_2;
        connection.keep().begin(is_http2);
        Self { connection: Arc::clone(connection), is_http2, is_handed: false, stays: false }
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

    /// HTTP/2 does, for as many streams as there are. HTTP/1.1 waits for the transport.
    fn takes_all(&self) -> bool {
        self.is_http2
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
