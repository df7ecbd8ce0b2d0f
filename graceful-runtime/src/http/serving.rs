//! One connection, from its handshake to its end.

use std::{
    any::Any,
    error::Error,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncRead,
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use super::{
    connection::{Connection, Ends},
    drive::{CutBy, Drive},
    keep_alive::{KeepAlive, Stage, Why},
    listener::Listener,
    request,
    server::Server,
    services::Services,
    transport::Transport,
};
use crate::{
    model::{
        panics::{catch_unwind, message},
        sanitize,
    },
    tower::body::BoxError,
};

/// A connection that was taken: who is at its other end, what it has to do before it can be used, its place among all, and since when the
/// program has it.
pub(super) struct Taken<L: Listener> {
    pub(super) handshake: L::Handshake,
    pub(super) peer: L::Address,
    pub(super) place: OwnedSemaphorePermit,
    pub(super) since: Instant,
}

/// Serves a connection until it ends.
pub(super) async fn serve<L, S, M>(
    server: Arc<Server>,
    services: S,
    taken: Taken<L>,
    mut stages: watch::Receiver<Stage>,
) where
    L: Listener,
    S: Services<L::Address, M>,
{
    let Taken { handshake, peer, place, since } = taken;
    let keep = KeepAlive::accepted(since, *stages.borrow_and_update());
    let connection =
        &Arc::new(Connection::new(Arc::clone(&server), Ends::new(peer.clone()), keep, place));
    let mut drive = Drive::new(connection, stages);
    let begin = async {
        let stream = handshake.await?;
        let service = services.service(peer).await.inspect_err(|error| {
            let (peer, error) = (connection.shown_peer(), sanitize::message(error));
            tracing::warn!(target: "graceful", %peer, %error, "making the service of a connection failed");
        })?;
        Ok::<_, BoxError>((stream, service))
    };
    // It has nothing to retire by.
    let begun = drive.run(pin!(catch_unwind(in_its_time(connection, begin))), |_| ()).await;
    let begun = begun.map(|begun| begun.unwrap_or_else(|payload| Err(panicked(payload))));
    let Some((stream, service)) = said(connection, begun) else { return };
    let mut transport = Transport::new(stream, Arc::clone(connection));
    let first = pin!(IsHttp2 { transport: &mut transport, is_retired: false });
    let known = drive.run(first, |mut first| first.is_retired = true).await;
    let Some(Some(is_http2)) = said(connection, known) else { return };
    let io = TokioIo::new(transport);
    let answers = request::answers(Arc::clone(connection), service);
    let ended = if is_http2 {
        let mut http = Box::pin(server.http2.serve_connection(io, answers));
        drive.run(http.as_mut(), http2::Connection::graceful_shutdown).await
    } else {
        let http = server.http1.serve_connection(io, answers).with_upgrades();
        drive.run(pin!(http), http1::UpgradeableConnection::graceful_shutdown).await
    };
    said(connection, ended.map(|ended| ended.map_err(BoxError::from)));
}

/// Waits until it is known whether the peer speaks HTTP/2; `None` if the connection is to end before.
struct IsHttp2<'a, S> {
    transport: &'a mut Transport<S>,
    is_retired: bool,
}

impl<S: AsyncRead + Unpin> Future for IsHttp2<'_, S> {
    type Output = Result<Option<bool>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.is_retired {
            true => Poll::Ready(Ok(None)),
            false => self.transport.poll_is_http2(cx).map_ok(Some).map_err(BoxError::from),
        }
    }
}

/// What a peer begins with has come while it waited for its place. Where there is more to do before it can be used, as in a handshake, that gets its time from now.
async fn in_its_time<T>(connection: &Connection, begin: impl Future<Output = T>) -> T {
    let mut begin = pin!(begin);
    match poll_fn(|cx| Poll::Ready(begin.as_mut().poll(cx))).await {
        Poll::Ready(begun) => begun,
        Poll::Pending => {
            connection.keep(KeepAlive::shakes);
            begin.await
        }
    }
}

/// Who makes services for connections has panicked. There is no request yet that could be told.
fn panicked(payload: Box<dyn Any + Send>) -> BoxError {
    let message = message(&*payload);
    tracing::error!(target: "graceful", message = %sanitize::message(&message), "making the service of a connection panicked");
    mem::forget(payload);
    message.into()
}

/// Says what is to be said about an end; gives what it gave.
fn said<T>(connection: &Connection, end: Result<Result<T, BoxError>, CutBy>) -> Option<T> {
    let peer = || connection.shown_peer();
    match end {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) if is_of_an_answer(&error) => {
            let (peer, error) = (peer(), sanitize::message(error));
            tracing::warn!(target: "graceful", %peer, %error, "connection failed: an answer is none of HTTP");
        }
        Ok(Err(error)) => {
            tracing::debug!(target: "graceful", peer = %peer(), error = %sanitize::message(error), "connection failed");
        }
        Err(CutBy::Force) => {}
        Err(CutBy::Time(Why::Stalled)) => {
            tracing::warn!(target: "graceful", peer = %peer(), "connection cut: the peer takes nothing of its answer");
        }
        Err(CutBy::Time(why)) => {
            tracing::debug!(target: "graceful", peer = %peer(), ?why, "connection cut");
        }
    }
    None
}

/// Whether the service has answered what cannot be sent, such as less than it has announced. What it said to be an error was logged, with the request.
fn is_of_an_answer(error: &BoxError) -> bool {
    let error = error.downcast_ref::<hyper::Error>().filter(|error| error.is_user());
    error.is_some_and(|error| error.is_body_write_aborted() || error.source().is_none())
}
