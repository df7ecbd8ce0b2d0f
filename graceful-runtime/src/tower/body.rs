//! The body of a response, which holds the request's flight until it has ended.

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

use super::request_name::RequestName;
use crate::{
    handle::flight::Flight,
    model::{panics::caught, sanitize},
};

/// What a server observes of one request. Dropping the observer means that the request has ended.
pub(crate) trait Watch: Sized {
    /// The data of a body's frames, as the server gets it.
    type Data: Buf + From<Bytes>;

    /// The handler has returned a response.
    fn on_response<B>(_response: &mut Response<WatchedBody<B, Self>>) {}
    /// Whether the peer has gone away, which may be the reason why the handler fails.
    fn is_peer_gone(&self) -> bool {
        false
    }
    /// The server gets the next data of the body: from now on the request waits for the peer.
    fn on_data(&mut self, data: Bytes) -> Self::Data;
    /// The server asks for the next frame.
    fn on_frame_requested(&mut self) {}
    /// The server needs no more of the body.
    fn on_body_ended(self, flight: Flight) {
        flight.complete();
    }
}

/// Observes nothing.
#[derive(Debug)]
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    type Data = Bytes;

    fn on_data(&mut self, data: Bytes) -> Bytes {
        data
    }
}

/// A request in flight. The future of its response holds it, and then the body.
#[derive(Debug)]
pub(crate) struct RequestInFlight<W> {
    pub(super) flight: Flight,
    name: Arc<RequestName>,
    watch: W,
    /// Waits for a force, from the first pending poll on. `None` if a force ends the whole connection instead.
    force: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<W: Watch> RequestInFlight<W> {
    pub(crate) fn new(flight: Flight, name: Arc<RequestName>, watch: W) -> Self {
        Self { flight, name, watch, force: None }
    }

    /// Logs that the user's code returned an error instead of the answer or its rest. No other code logs it.
    pub(super) fn log_failure(&self, what: &str, error: &dyn fmt::Display) {
        let Self { name, watch, .. } = self;
        let (request, error) = (sanitize::name(name), sanitize::message(error));
        match watch.is_peer_gone() {
            true => {
                tracing::debug!(target: "graceful", %request, %error, "the {what} failed; its peer has gone away")
            }
            false => {
                tracing::warn!(target: "graceful", %request, %error, "the {what} failed")
            }
        }
    }

    /// Passes a frame of the body on to the server, and logs an error.
    fn pass_on(&mut self, frame: PolledFrame<Bytes>) -> PolledFrame<W::Data> {
        if let Some(Err(error)) = &frame {
            self.log_failure("body of its answer", error);
        }
        frame.map(|frame| frame.map(|frame| frame.map_data(|data| self.watch.on_data(data))))
    }

    pub(super) fn body_ended(self) {
        self.watch.on_body_ended(self.flight);
    }

    fn is_cut(&self) -> bool {
        self.name.cut().is_some_and(CancellationToken::is_cancelled)
    }

    /// Polls a future or body of the user as part of the request. Returns `None` once a force has cut the request, and the payload of a panic as an
    /// error.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<Result<T, Box<dyn Any + Send>>>> {
        let poll = self.poll_in_request(|| caught(|| f(cx)));
        match (poll, self.name.cut()) {
            (Poll::Pending, Some(cut)) => {
                let wait = || Box::pin(cut.clone().cancelled_owned());
                self.force.get_or_insert_with(wait).as_mut().poll(cx).map(|()| None)
            }
            (poll, _) => poll.map(Some),
        }
    }

    pub(super) fn poll_in_request<T>(&self, f: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let outer = IN_REQUEST.replace(true);
        let poll = self.flight.poll(f);
        IN_REQUEST.set(outer);
        poll
    }
}

thread_local! {
    static IN_REQUEST: Cell<bool> = const { Cell::new(false) };
}

/// Whether the caller is part of a request that is counted.
#[cfg(feature = "http")]
pub(crate) fn is_in_request() -> bool {
    IN_REQUEST.get()
}

pin_project! {
    /// The body of a response. The request is in flight until the body has ended or is dropped.
    #[derive(Debug)]
    pub(crate) struct WatchedBody<B, W>
    where
        W: Watch,
    {
        #[pin]
        body: Option<B>,
        request: Option<RequestInFlight<W>>,
        // The last frame or the end was returned. The server drops the body when it has used that.
        is_over: bool,
    }

    impl<B, W: Watch> PinnedDrop for WatchedBody<B, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Otherwise the answer is cut short, by the peer or by a force, and the flight is dropped.
            if let (true, Some(request)) = (*this.is_over, this.request.take()) {
                if !request.is_cut() {
                    request.body_ended();
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

    /// Takes the flight of a response that becomes a tunnel.
    #[cfg(feature = "http")]
    pub(crate) fn take(&mut self) -> Option<(Flight, W)> {
        self.request.take().map(|RequestInFlight { flight, watch, .. }| (flight, watch))
    }
}

impl<B: http_body::Body, W: Watch> WatchedBody<B, W> {
    pub(super) fn new(body: B, request: RequestInFlight<W>) -> Self {
        // A server does not poll a body that is empty from the start.
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
        request.watch.on_frame_requested();
        // Checked here as well: a body that is always ready never waits for the force in `poll`.
        let polled = match request.is_cut() {
            true => None,
            false => ready!(request.poll(cx, |cx| next(body.as_mut(), cx))),
        };
        let error: BoxError = match polled {
            Some(Ok(frame)) => {
                let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
                *this.is_over = !is_data || body.is_end_stream();
                return Poll::Ready(request.pass_on(frame));
            }
            Some(Err(payload)) => {
                if let Some(request) = this.request.take() {
                    panicked(request.flight, payload);
                }
                Panicked.into()
            }
            None => {
                drop(this.request.take());
                CutByForce.into()
            }
        };
        this.body.set(None);
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// A frame, an error, or the end of a body.
type PolledFrame<D> = Option<Result<Frame<D>, BoxError>>;

/// Polls the next frame of a body as `Bytes`. Data that is `Bytes` already is not copied.
fn next<B: http_body::Body<Error: Into<BoxError>>>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<PolledFrame<Bytes>> {
    let in_bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
    body.poll_frame(cx).map_ok(|frame| frame.map_data(in_bytes)).map_err(Into::into)
}

pub(super) fn panicked(flight: Flight, payload: Box<dyn Any + Send>) {
    flight.panicked(&*payload);
    // Dropping it runs user code, and a panic of that would end more than this request.
    mem::forget(payload);
}

/// The error of a body.
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
