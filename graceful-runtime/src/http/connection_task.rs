//! The task of one connection, from its handshake to its end.

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
    connection::{Connection, ConnectionOrigin},
    drive::{CutBy, Drive},
    keep_alive::{KeepAlive, Stage, TimedOut},
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

/// A connection that was accepted and has a place among the server's connections.
pub(super) struct Accepted<L: Listener> {
    pub(super) handshake: L::Handshake,
    pub(super) peer: L::Address,
    pub(super) permit: OwnedSemaphorePermit,
    /// When it was accepted.
    pub(super) since: Instant,
}

/// Serves a connection until it ends.
pub(super) async fn serve<L, S, M>(
    server: Arc<Server>,
    services: S,
    accepted: Accepted<L>,
    mut stages: watch::Receiver<Stage>,
) where
    L: Listener,
    S: Services<L::Address, M>,
{
    let Accepted { handshake, peer, permit, since } = accepted;
    let keep = KeepAlive::new(since, *stages.borrow_and_update());
    let origin = ConnectionOrigin::new(peer.clone());
    let connection = &Arc::new(Connection::new(Arc::clone(&server), origin, keep, permit));
    let mut drive = Drive::new(connection, stages);
    let begin = begin::<L, S, M>(connection, handshake, services, peer);
    // The handshake has no graceful-shutdown hook.
    let begun = drive.run(pin!(catch_unwind(with_own_timeout(connection, begin))), |_| ()).await;
    let begun = begun.map(|begun| begun.unwrap_or_else(|payload| Err(panicked(payload))));
    let Some((stream, service)) = log_end(connection, begun) else { return };
    let mut transport = Transport::new(stream, Arc::clone(connection));
    let detection = pin!(IsHttp2 { transport: &mut transport, is_retired: false });
    let known = drive.run(detection, |mut detection| detection.is_retired = true).await;
    let Some(Some(is_http2)) = log_end(connection, known) else { return };
    let io = TokioIo::new(transport);
    let service = request::counted(Arc::clone(connection), service);
    let ended = if is_http2 {
        let mut http = Box::pin(server.http2.serve_connection(io, service));
        drive.run(http.as_mut(), http2::Connection::graceful_shutdown).await
    } else {
        let http = server.http1.serve_connection(io, service).with_upgrades();
        drive.run(pin!(http), http1::UpgradeableConnection::graceful_shutdown).await
    };
    log_end(connection, ended.map(|ended| ended.map_err(BoxError::from)));
}

/// Completes the handshake and makes the service of the connection.
async fn begin<L, S, M>(
    connection: &Connection,
    handshake: L::Handshake,
    services: S,
    peer: L::Address,
) -> Result<(L::Stream, S::Service), BoxError>
where
    L: Listener,
    S: Services<L::Address, M>,
{
    let stream = handshake.await?;
    let service = services.service(peer).await.inspect_err(|error| {
        let (peer, error) = (connection.shown_peer(), sanitize::message(error));
        tracing::warn!(target: "graceful", %peer, %error, "making the service of a connection failed");
    })?;
    Ok((stream, service))
}

/// Waits until it is known whether the peer speaks HTTP/2. The output is `None` if the connection retires before that.
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

/// Runs the start of a connection. If it has to wait for the peer, its timeout counts from now, because the connection may have waited long for
/// its place. A start that is ready at once keeps the time of the accept: a peer that sent nothing by now is one that sends nothing.
async fn with_own_timeout<T>(connection: &Connection, begin: impl Future<Output = T>) -> T {
    let mut begin = pin!(begin);
    match poll_fn(|cx| Poll::Ready(begin.as_mut().poll(cx))).await {
        Poll::Ready(begun) => begun,
        Poll::Pending => {
            connection.update(KeepAlive::handshake_pending);
            begin.await
        }
    }
}

/// Logs a panic of the code that makes a service for the connection. There is no request yet that could be answered.
fn panicked(payload: Box<dyn Any + Send>) -> BoxError {
    let message = message(&*payload);
    tracing::error!(target: "graceful", message = %sanitize::message(&message), "making the service of a connection panicked");
    // Its drop is user code, which may panic again.
    mem::forget(payload);
    message.into()
}

/// Logs why a connection ended. Returns the value if it did not end.
fn log_end<T>(connection: &Connection, end: Result<Result<T, BoxError>, CutBy>) -> Option<T> {
    let peer = || connection.shown_peer();
    match end {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) if is_unsendable_answer(&error) => {
            let (peer, error) = (peer(), sanitize::message(error));
            tracing::warn!(target: "graceful", %peer, %error, "connection failed: the answer is not valid HTTP");
        }
        Ok(Err(error)) => {
            tracing::debug!(target: "graceful", peer = %peer(), error = %sanitize::message(error), "connection failed");
        }
        Err(CutBy::Force) => {}
        Err(CutBy::Timeout(TimedOut::Stalled)) => {
            tracing::warn!(target: "graceful", peer = %peer(), "connection cut: the peer takes nothing of its answer");
        }
        Err(CutBy::Timeout(why)) => {
            tracing::debug!(target: "graceful", peer = %peer(), ?why, "connection cut");
        }
    }
    None
}

/// Whether the service's answer cannot be sent, such as one that is shorter than its `content-length`. An error that the service or the body
/// returned is not meant: that was logged with the request.
fn is_unsendable_answer(error: &BoxError) -> bool {
    let error = error.downcast_ref::<hyper::Error>().filter(|error| error.is_user());
    error.is_some_and(|error| error.is_body_write_aborted() || error.source().is_none())
}
