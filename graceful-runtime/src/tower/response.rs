//! The future of a response, and the responses that the crate gives itself.

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
    /// The future of a response, and what watches it.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub(crate) struct WatchedFuture<F, W> {
        #[pin]
        state: State<F, W>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProjection]
    enum State<F, W> {
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
    /// Calls the service, which may panic before there is a future.
    pub(crate) fn of(call: impl FnOnce() -> F, request: RequestInFlight<W>) -> Self {
        match request.within(|| caught(|| Poll::Ready(call()))) {
            Poll::Ready(Ok(future)) => {
                Self { state: State::Running { future, request: Some(request) } }
            }
            Poll::Ready(Err(payload)) => {
                panicked(request.flight, payload);
                Self { state: State::Panicked }
            }
            Poll::Pending => unreachable!("a call is ready at once"),
        }
    }

    /// Runs what was called already, or does not call before it is polled.
    #[cfg(feature = "http")]
    pub(crate) fn running(future: F, request: RequestInFlight<W>) -> Self {
        Self { state: State::Running { future, request: Some(request) } }
    }

    pub(crate) fn refused(version: Version, retry_after: Option<Duration>) -> Self {
        Self { state: State::Refused { version, retry_after } }
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
        let (future, place) = match self.project().state.project() {
            StateProjection::Refused { version, retry_after } => {
                return Poll::Ready(Ok(refusal(*version, *retry_after)));
            }
            StateProjection::Panicked => return Poll::Ready(Ok(apology())),
            StateProjection::Running { future, request } => (future, request),
        };
        let Some(request) = place else { return Poll::Pending };
        let result = ready!(request.poll(cx, |cx| future.poll(cx)));
        let Some(request) = place.take() else { return Poll::Pending };
        Poll::Ready(match result {
            Some(Ok(Ok(response))) => {
                let mut response = response.map(|body| WatchedBody::new(body, request));
                W::answered(&mut response);
                Ok(response)
            }
            Some(Ok(Err(error))) => {
                request.failed("service", &error);
                request.done();
                Err(error)
            }
            Some(Err(payload)) => {
                panicked(request.flight, payload);
                Ok(apology())
            }
            // The future itself is dropped with this one, right after its answer.
            None => Ok(answer(StatusCode::SERVICE_UNAVAILABLE)),
        })
    }
}

/// The answer to what is not taken any more.
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

/// Says that the connection is closed after this answer, where the protocol says it so.
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

/// The peer is told that it was not its fault, and nothing else.
fn apology<B, W: Watch>() -> Response<WatchedBody<B, W>> {
    let mut response = answer(StatusCode::INTERNAL_SERVER_ERROR);
    close(&mut response, Version::HTTP_11);
    response
}
