//! The body of a response, with which the request's flight goes along.

use std::{
    any::Any,
    cell::Cell,
    error::Error,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::Response;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::name::Name;
use crate::{
    handle::flight::Flight,
    model::{panics::caught, sanitize},
};

/// What a server of this crate wants to know of a request on its request. Dropped, the request has ended.
pub(crate) trait Watch: Sized {
    /// What the server gets of a body.
    type Data: Buf + From<Bytes>;

    /// The handler has answered.
    fn answered<B>(_response: &mut Response<WatchedBody<B, Self>>) {}
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
#[derive(Debug)]
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    type Data = Bytes;

    fn give(&mut self, data: Bytes) -> Bytes {
        data
    }
}

/// What goes along with a request.
#[derive(Debug)]
pub(crate) struct RequestInFlight<W> {
    pub(super) flight: Flight,
    name: Arc<Name>,
    watch: W,
    /// How the flight hears of a force, where the server does not see to that; once there is something to wait for.
    waits: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<W: Watch> RequestInFlight<W> {
    pub(crate) fn new(flight: Flight, name: Arc<Name>, watch: W) -> Self {
        Self { flight, name, watch, waits: None }
    }

    /// The user's code has given an error instead of the rest of the answer. Nobody else would say so.
    pub(super) fn failed(&self, what: &str, error: &dyn fmt::Display) {
        let Self { name, watch, .. } = self;
        let (request, error) = (sanitize::name(name), sanitize::message(error));
        match watch.is_left() {
            true => {
                tracing::debug!(target: "graceful", %request, %error, "the {what} failed; its peer has gone away")
            }
            false => {
                tracing::warn!(target: "graceful", %request, %error, "the {what} failed")
            }
        }
    }

    pub(super) fn done(self) {
        self.watch.done(self.flight);
    }

    fn is_cut(&self) -> bool {
        self.name.cut().is_some_and(CancellationToken::is_cancelled)
    }

    /// Polls what belongs to the request; `None` once a force has cut it.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<Result<T, Box<dyn Any + Send>>>> {
        let poll = self.within(|| caught(|| f(cx)));
        match (poll, self.name.cut()) {
            (Poll::Pending, Some(cut)) => {
                let wait = || Box::pin(cut.clone().cancelled_owned());
                self.waits.get_or_insert_with(wait).as_mut().poll(cx).map(|()| None)
            }
            (poll, _) => poll.map(Some),
        }
    }

    pub(super) fn within<T>(&self, f: impl FnOnce() -> Poll<T>) -> Poll<T> {
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
    /// The body of a response: the request is in flight until it has ended or is dropped.
    #[derive(Debug)]
    pub(crate) struct WatchedBody<B, W>
    where
        W: Watch,
    {
        #[pin]
        body: Option<B>,
        request: Option<RequestInFlight<W>>,
        // The last of it was given, or its end; the server drops it when it has done with that.
        is_over: bool,
    }

    impl<B, W: Watch> PinnedDrop for WatchedBody<B, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Where a force has ended it, the flight is dropped: cut short.
            if let (true, Some(request)) = (*this.is_over, this.request.take()) {
                if !request.is_cut() {
                    request.done();
                }
            }
        }
    }
}

impl<B, W: Watch> WatchedBody<B, W> {
    pub(crate) fn empty() -> Self {
        Self { body: None, request: None, is_over: false }
    }

    #[cfg(feature = "http")]
    pub(crate) fn watch(&self) -> Option<&W> {
        self.request.as_ref().map(|request| &request.watch)
    }

    /// Takes apart what has become something else than a response.
    #[cfg(feature = "http")]
    pub(crate) fn take(&mut self) -> Option<(Flight, W)> {
        self.request.take().map(|RequestInFlight { flight, watch, .. }| (flight, watch))
    }
}

impl<B: http_body::Body, W: Watch> WatchedBody<B, W> {
    pub(super) fn new(body: B, request: RequestInFlight<W>) -> Self {
        // Nothing is asked of what has ended before it began.
        let is_over = body.is_end_stream();
        Self { body: Some(body), request: Some(request), is_over }
    }
}

impl<B, W> http_body::Body for WatchedBody<B, W>
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
        let Some(request) = this.request else {
            return next(body, cx).map_ok(|frame| frame.map_data(Into::into));
        };
        request.watch.asked();
        // A body that always has something would not be cut by its poll.
        let polled = match request.is_cut() {
            true => None,
            false => ready!(request.poll(cx, |cx| next(body.as_mut(), cx))),
        };
        Poll::Ready(match polled {
            Some(Ok(frame)) => {
                if let Some(Err(error)) = &frame {
                    request.failed("body of its answer", error);
                }
                let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
                *this.is_over = !is_data || body.is_end_stream();
                frame
                    .map(|frame| frame.map(|frame| frame.map_data(|data| request.watch.give(data))))
            }
            Some(Err(payload)) => {
                if let Some(request) = this.request.take() {
                    panicked(request.flight, payload);
                }
                this.body.set(None);
                Some(Err(Panicked.into()))
            }
            None => {
                drop(this.request.take());
                this.body.set(None);
                Some(Err(CutByForce.into()))
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

pub(super) fn panicked(flight: Flight, payload: Box<dyn Any + Send>) {
    flight.panicked(&*payload);
    // Its drop is user code, whose panic would end more than this request.
    mem::forget(payload);
}

/// What a body fails with.
pub type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Debug)]
struct CutByForce;

impl fmt::Display for CutByForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the drain was ended by force")
    }
}

impl Error for CutByForce {}

#[derive(Debug)]
struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body panicked")
    }
}

impl Error for Panicked {}
