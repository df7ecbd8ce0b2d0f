//! One request of a connection: counted from its head to the end of its answer's body, or of what the connection has become by it.

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
        name::Name,
        response::{WatchedFuture, close, refusal},
    },
};

/// The service that hyper asks: the user's, counted.
pub(super) fn answers<S, B>(
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
        // Here, not in the future, which HTTP/2 polls on a task of its own, later.
        let exchange = Exchange::begin(&connection, version, is_connect);
        // A stream of HTTP/2 is ended by itself: its neighbours may wait in a shield. A tunnel is the connection's.
        let own = (exchange.is_http2() && !is_connect).then(CancellationToken::new);
        let name = Arc::new(Name::of(&request, Some(Arc::clone(&connection.ends)), own));
        let flight = connection.server.flights.begin_on(name.clone());
        if !flight.is_counted() {
            return Answer::Refused { version };
        }
        let future = Call { future: service.call(request) };
        let in_flight = RequestInFlight::new(flight, name, exchange);
        Answer::Asked { future: WatchedFuture::running(future, in_flight) }
    })
}

pin_project! {
    /// What the user's service is asked for, with an error that can be shown.
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
    #[project = AnswerProjection]
    enum Answer<F> {
        Asked {
            #[pin]
            future: WatchedFuture<Call<F>, Exchange>,
        },
        Refused {
            version: Version,
        },
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<WatchedBody<B, Exchange>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerProjection::Asked { future } => future.poll(cx),
            // The stream is reset with that reason: so the client knows that it may ask somebody else.
            AnswerProjection::Refused { version: &mut Version::HTTP_2 } => {
                Poll::Ready(Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into()))
            }
            AnswerProjection::Refused { version } => Poll::Ready(Ok(refusal(*version, None))),
        }
    }
}

/// A request and its answer, as far as their connection is concerned.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: Arc<Connection>,
    version: Version,
    is_connect: bool,
    is_handed: bool,
    /// On HTTP/2, once there was something to send.
    unsent: Option<Arc<Unsent<Self>>>,
    stays: bool,
}

impl Exchange {
    fn begin(connection: &Arc<Connection>, version: Version, is_connect: bool) -> Self {
        connection.keep(|keep| keep.begin(version == Version::HTTP_2));
        Self {
            connection: Arc::clone(connection),
            version,
            is_connect,
            is_handed: false,
            unsent: None,
            stays: false,
        }
    }

    fn is_http2(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// The connection is in the middle of it until it ends it itself.
    fn stay(mut self) {
        self.stays = true;
    }
}

impl Watch for Exchange {
    type Data = Piece<Self>;

    fn answered<B>(response: &mut Response<WatchedBody<B, Self>>) {
        let status = response.status();
        let Some(Self { connection, version, is_connect, .. }) = response.body().watch() else {
            return;
        };
        let (version, is_http1) = (*version, *version < Version::HTTP_2);
        let switches = status == StatusCode::SWITCHING_PROTOCOLS && is_http1;
        if switches || *is_connect && status.is_success() {
            if let Some((flight, exchange)) = response.body_mut().take() {
                exchange.connection.tunnel(flight, is_http1);
                exchange.stay();
            }
        } else if connection.server.is_stopping() {
            close(response, version);
        }
    }

    fn is_left(&self) -> bool {
        self.connection.is_left()
    }

    fn give(&mut self, data: Bytes) -> Piece<Self> {
        if !self.is_http2() {
            self.is_handed = true;
            self.connection.keep(KeepAlive::handed);
        } else if !data.is_empty() {
            let unsent = self.unsent.get_or_insert_with(|| Unsent::new(&self.connection));
            return Piece::new(data, unsent);
        }
        data.into()
    }

    fn asked(&mut self) {
        if self.is_handed {
            self.is_handed = false;
            self.connection.keep(KeepAlive::taken);
        }
    }

    /// HTTP/1.1 has done with a body when it has copied it, HTTP/2 when it has it: then it is still to be written.
    fn done(mut self, flight: Flight) {
        if let Some(unsent) = self.unsent.take() {
            unsent.end(flight, self);
        } else if self.is_http2() {
            flight.complete();
        } else {
            let is_handed = mem::take(&mut self.is_handed);
            self.connection.hold(flight, is_handed);
            self.stay();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.asked();
        match self.stays {
            true => {}
            false if self.is_http2() => self.connection.keep_from_afar(KeepAlive::end),
            false => self.connection.keep(KeepAlive::end),
        }
    }
}
