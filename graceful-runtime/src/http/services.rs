//! The services that can be served: one service for all connections, or one that is made for each.

use std::future::poll_fn;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use crate::tower::body::BoxError;

/// A service that [`serve`](super::serve) accepts.
///
/// It is a tower service for requests (an axum `Router`, tonic's routes, a `service_fn`), or one that makes such a service for each connection from the
/// address of its peer (`Router::into_make_service_with_connect_info`). `M` distinguishes the two, and is always inferred.
///
/// Do not implement this trait: implement [`tower_service::Service`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    label = "expected a tower `Service<Request<hyper::body::Incoming>>` with a `Response`, or one that makes such a service from a `{A}`",
    note = "the service has to be `Clone + Send + 'static` (`#[derive(Clone)]`), its future `Send`",
    note = "an axum `Router<S>` is a service after `.with_state(..)`",
    note = "a service that makes services, such as `into_make_service_with_connect_info::<A>()`, gets the listener's `Address`"
)]
pub trait Services<A, M>: Clone + Send + 'static {
    #[doc(hidden)]
    type Service: Service<
            Request<Incoming>,
            Response = Response<Self::Body>,
            Error: Into<BoxError>,
            Future: Send,
        > + Clone
        + Send
        + 'static;
    #[doc(hidden)]
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;

    #[doc(hidden)]
    fn service(self, peer: A) -> impl Future<Output = Result<Self::Service, BoxError>> + Send;
}

/// Marks a service that answers the requests of all connections.
#[derive(Debug)]
pub enum ForRequests {}

/// Marks a service that makes a service for each connection.
#[derive(Debug)]
pub enum ForConnections {}

impl<A, S, B> Services<A, ForRequests> for S
where
    A: Send,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Service = S;
    type Body = B;

    async fn service(self, _peer: A) -> Result<S, BoxError> {
        Ok(self)
    }
}

impl<A, S, B, M> Services<A, ForConnections> for M
where
    A: Send,
    M: Service<A, Response = S, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Service = S;
    type Body = B;

    async fn service(mut self, peer: A) -> Result<S, BoxError> {
        poll_fn(|cx| self.poll_ready(cx)).await.map_err(Into::into)?;
        self.call(peer).await.map_err(Into::into)
    }
}
