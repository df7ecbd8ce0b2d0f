//! The future of a response, and the responses that the crate sends by itself.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderValue, Response, StatusCode, Version, header};
use pin_project_lite::pin_project;

use super::body::{RequestInFlight, Watch, WatchedBody, panicked};
use crate::model::panics::caught;

pin_project! {
    /// The future of a service's response, with the request's flight.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub(crate) struct WatchedFuture<F, W> {
        #[pin]
        state: ResponseState<F, W>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projection]
    enum ResponseState<F, W> {
        Running {
            #[pin]
            future: F,
            request: Option<RequestInFlight<W>>,
        },
        Refused {
            version: Version,
            retry_after: Option<Duration>,
        },
        Panicked,
    }
}

impl<F, W: Watch> WatchedFuture<F, W> {
    /// Calls the service. The call itself may panic before there is a future.
    pub(crate) fn call(call: impl FnOnce() -> F, request: RequestInFlight<W>) -> Self {
        match request.poll_in_request(|| caught(|| Poll::Ready(call()))) {
            Poll::Ready(Ok(future)) => {
                Self { state: ResponseState::Running { future, request: Some(request) } }
            }
            Poll::Ready(Err(payload)) => {
                panicked(request.flight, payload);
                Self { state: ResponseState::Panicked }
            }
            Poll::Pending => unreachable!("a call is ready at once"),
        }
    }

    /// Runs the future of a service that was called already.
    #[cfg(feature = "http")]
    pub(crate) fn running(future: F, request: RequestInFlight<W>) -> Self {
        Self { state: ResponseState::Running { future, request: Some(request) } }
    }

    pub(crate) fn refused(version: Version, retry_after: Option<Duration>) -> Self {
        Self { state: ResponseState::Refused { version, retry_after } }
    }
}

impl<F, W, B, E> Future for WatchedFuture<F, W>
where
    F: Future<Output = Result<Response<B>, E>>,
    W: Watch,
    B: http_body::Body,
    E: fmt::Display,
{
    type Output = Result<Response<WatchedBody<B, W>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, slot) = match self.project().state.project() {
            Projection::Refused { version, retry_after } => {
                return Poll::Ready(Ok(refusal(*version, *retry_after)));
            }
            Projection::Panicked => return Poll::Ready(Ok(internal_error())),
            Projection::Running { future, request } => (future, request),
        };
        let Some(request) = slot else { return Poll::Pending };
        let result = ready!(request.poll(cx, |cx| future.poll(cx)));
        let Some(request) = slot.take() else { return Poll::Pending };
        Poll::Ready(match result {
            Some(Ok(Ok(response))) => {
                let mut response = response.map(|body| WatchedBody::new(body, request));
                W::on_response(&mut response);
                Ok(response)
            }
            Some(Ok(Err(error))) => {
                request.log_failure("service", &error);
                request.body_ended();
                Err(error)
            }
            Some(Err(payload)) => {
                panicked(request.flight, payload);
                Ok(internal_error())
            }
            // A force. The server drops this future, and the user's within it, right after its response.
            None => Ok(answer(StatusCode::SERVICE_UNAVAILABLE)),
        })
    }
}

/// The answer to a request that is refused: 503.
pub(crate) fn refusal<B, W: Watch>(
    version: Version,
    retry_after: Option<Duration>,
) -> Response<WatchedBody<B, W>> {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(retry_after) = retry_after {
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    close(&mut response, version);
    response
}

/// Adds `Connection: close` to an answer of HTTP/1. HTTP/2 has no such header.
pub(crate) fn close<B>(response: &mut Response<B>, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// An answer without a body.
pub(crate) fn answer<B, W: Watch>(status: StatusCode) -> Response<WatchedBody<B, W>> {
    let mut response = Response::new(WatchedBody::empty());
    *response.status_mut() = status;
    response
}

/// The answer after a panic: 500, without details.
fn internal_error<B, W: Watch>() -> Response<WatchedBody<B, W>> {
    let mut response = answer(StatusCode::INTERNAL_SERVER_ERROR);
    close(&mut response, Version::HTTP_11);
    response
}
