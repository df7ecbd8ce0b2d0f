//! A request on its way: first the future of its response, then the body of it. The flight goes along.

use std::{
    any::Any,
    cell::Cell,
    error::Error,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Name, answer, close, refusal};
use crate::{flight::Flight, shown, work::caught};

/// What a server of this crate wants to know of a request on its way. Dropped, the request has ended.
#[doc(hidden)]
pub trait Watch: Sized {
    /// What the server gets of a body.
    type Data: Buf + From<Bytes>;

    /// The handler has answered.
    fn answered<B>(_response: &mut Response<Body<B, Self>>) {}
    /// Whether the peer has gone away, so that what fails now may fail for that.
    fn is_left(&self) -> bool {
        false
    }
    /// The server gets the next frame of the body: from here on the peer is waited for.
    fn give(&mut self, data: Bytes) -> Self::Data;
    /// The server has a use for the next frame.
    fn asked(&mut self) {}
    /// The server has done with the body.
    fn done(self, flight: Flight) {
        flight.complete();
    }
}

/// Nobody wants to know.
#[doc(hidden)]
#[derive(Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    type Data = Bytes;

    fn give(&mut self, data: Bytes) -> Bytes {
        data
    }
}

/// What goes along with a request.
#[derive(Debug)]
pub(crate) struct Way<W> {
    flight: Flight,
    name: Arc<Name>,
    watch: W,
    /// How the flight hears of a force, where the server does not see to that; once there is something to wait for.
    waits: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<W: Watch> Way<W> {
    pub(crate) fn new(flight: Flight, name: Arc<Name>, watch: W) -> Self {
        Self { flight, name, watch, waits: None }
    }

    /// The user's code has given an error instead of the rest of the answer. Nobody else would say so.
    fn failed(&self, what: &str, error: &dyn fmt::Display) {
        let Self { name, watch, .. } = self;
        let (request, error) = (shown::name(name), shown::message(error));
        match watch.is_left() {
            true => {
                tracing::debug!(target: "graceful", %request, %error, "the {what} failed; its peer has gone away")
            }
            false => {
                tracing::warn!(target: "graceful", %request, %error, "the {what} failed")
            }
        }
    }

    fn done(self) {
        self.watch.done(self.flight);
    }

    fn is_cut(&self) -> bool {
        self.name.cut.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Polls what belongs to the request; `None` once a force has cut it.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<Result<T, Box<dyn Any + Send>>>> {
        let poll = self.within(|| caught(|| f(cx)));
        match (poll, &self.name.cut) {
            (Poll::Pending, Some(cut)) => {
                let wait = || Box::pin(cut.clone().cancelled_owned());
                self.waits.get_or_insert_with(wait).as_mut().poll(cx).map(|()| None)
            }
            (poll, _) => poll.map(Some),
        }
    }

    fn within<T>(&self, f: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let outer = WITHIN.replace(true);
        let poll = self.flight.poll(f);
        WITHIN.set(outer);
        poll
    }
}

thread_local! {
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is called by a request that is counted.
#[cfg(feature = "http")]
pub(crate) fn is_within() -> bool {
    WITHIN.get()
}

pin_project! {
    /// The future of [`Service`](super::Service).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ResponseFuture<F, W = Unwatched> {
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
            way: Option<Way<W>>,
        },
        Refused {
            version: Version,
            retry_after: Option<Duration>,
        },
        Panicked,
    }
}

impl<F, W: Watch> ResponseFuture<F, W> {
    /// Calls the service, which may panic before there is a future.
    pub(crate) fn of(call: impl FnOnce() -> F, way: Way<W>) -> Self {
        match way.within(|| caught(|| Poll::Ready(call()))) {
            Poll::Ready(Ok(future)) => Self { state: State::Running { future, way: Some(way) } },
            Poll::Ready(Err(payload)) => {
                panicked(way.flight, payload);
                Self { state: State::Panicked }
            }
            Poll::Pending => unreachable!("a call is ready at once"),
        }
    }

    /// Runs what was called already, or does not call before it is polled.
    #[cfg(feature = "http")]
    pub(crate) fn running(future: F, way: Way<W>) -> Self {
        Self { state: State::Running { future, way: Some(way) } }
    }

    pub(crate) fn refused(version: Version, retry_after: Option<Duration>) -> Self {
        Self { state: State::Refused { version, retry_after } }
    }
}

impl<F, W, B, E> Future for ResponseFuture<F, W>
where
    F: Future<Output = Result<Response<B>, E>>,
    W: Watch,
    B: http_body::Body,
    E: fmt::Display,
{
    type Output = Result<Response<Body<B, W>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, place) = match self.project().state.project() {
            StateProjection::Refused { version, retry_after } => {
                return Poll::Ready(Ok(refusal(*version, *retry_after)));
            }
            StateProjection::Panicked => return Poll::Ready(Ok(apology())),
            StateProjection::Running { future, way } => (future, way),
        };
        let Some(way) = place else { return Poll::Pending };
        let result = ready!(way.poll(cx, |cx| future.poll(cx)));
        let Some(way) = place.take() else { return Poll::Pending };
        Poll::Ready(match result {
            Some(Ok(Ok(response))) => {
                let mut response = response.map(|body| Body::new(body, way));
                W::answered(&mut response);
                Ok(response)
            }
            Some(Ok(Err(error))) => {
                way.failed("service", &error);
                way.done();
                Err(error)
            }
            Some(Err(payload)) => {
                panicked(way.flight, payload);
                Ok(apology())
            }
            // The future itself is dropped with this one, right after its answer.
            None => Ok(answer(StatusCode::SERVICE_UNAVAILABLE)),
        })
    }
}

fn panicked(flight: Flight, payload: Box<dyn Any + Send>) {
    flight.panicked(&*payload);
    // Its drop is user code, whose panic would end more than this request.
    mem::forget(payload);
}

/// The peer is told that it was not its fault, and nothing else.
fn apology<B, W: Watch>() -> Response<Body<B, W>> {
    let mut response = answer(StatusCode::INTERNAL_SERVER_ERROR);
    close(&mut response, Version::HTTP_11);
    response
}

pin_project! {
    /// The body of a response: the request is in flight until it has ended or is dropped.
    #[derive(Debug)]
    pub struct Body<B, W = Unwatched>
    where
        W: Watch,
    {
        #[pin]
        body: Option<B>,
        way: Option<Way<W>>,
        // The last of it was given, or its end; the server drops it when it has done with that.
        is_over: bool,
    }

    impl<B, W: Watch> PinnedDrop for Body<B, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Where a force has ended it, the flight is dropped: cut short.
            if let (true, Some(way)) = (*this.is_over, this.way.take()) {
                if !way.is_cut() {
                    way.done();
                }
            }
        }
    }
}

impl<B, W: Watch> Body<B, W> {
    pub(crate) fn empty() -> Self {
        Self { body: None, way: None, is_over: false }
    }

    #[cfg(feature = "http")]
    pub(crate) fn watch(&self) -> Option<&W> {
        self.way.as_ref().map(|way| &way.watch)
    }

    /// Takes apart what has become something else than a response.
    #[cfg(feature = "http")]
    pub(crate) fn take(&mut self) -> Option<(Flight, W)> {
        self.way.take().map(|Way { flight, watch, .. }| (flight, watch))
    }
}

impl<B: http_body::Body, W: Watch> Body<B, W> {
    fn new(body: B, way: Way<W>) -> Self {
        // Nothing is asked of what has ended before it began.
        let is_over = body.is_end_stream();
        Self { body: Some(body), way: Some(way), is_over }
    }
}

impl<B, W> http_body::Body for Body<B, W>
where
    B: http_body::Body<Error: Into<BoxError>>,
    W: Watch,
{
    type Data = W::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<W::Data>, BoxError>>> {
        let mut this = self.project();
        let body = this.body.as_mut().as_pin_mut().filter(|_| !*this.is_over);
        let Some(mut body) = body else { return Poll::Ready(None) };
        let Some(way) = this.way else {
            return next(body, cx).map_ok(|frame| frame.map_data(Into::into));
        };
        way.watch.asked();
        // A body that always has something would not be cut by its poll.
        let polled = match way.is_cut() {
            true => None,
            false => ready!(way.poll(cx, |cx| next(body.as_mut(), cx))),
        };
        Poll::Ready(match polled {
            Some(Ok(frame)) => {
                if let Some(Err(error)) = &frame {
                    way.failed("body of its answer", error);
                }
                let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
                *this.is_over = !is_data || body.is_end_stream();
                frame.map(|frame| frame.map(|frame| frame.map_data(|data| way.watch.give(data))))
            }
            Some(Err(payload)) => {
                if let Some(way) = this.way.take() {
                    panicked(way.flight, payload);
                }
                this.body.set(None);
                Some(Err(Panicked.into()))
            }
            None => {
                drop(this.way.take());
                this.body.set(None);
                Some(Err(Cut.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// The next frame of a body, in bytes: without a copy, where they are that already.
fn next<B: http_body::Body<Error: Into<BoxError>>>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    let in_bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
    body.poll_frame(cx).map_ok(|frame| frame.map_data(in_bytes)).map_err(Into::into)
}

/// What a body fails with.
pub type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the drain was ended by force")
    }
}

impl Error for Cut {}

#[derive(Debug)]
struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body panicked")
    }
}

impl Error for Panicked {}
