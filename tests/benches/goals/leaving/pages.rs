//! What the programs answer: at once, or when the client says so.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use tokio::sync::Semaphore;

/// Relaxed, because nothing hangs on it but when the client goes on.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Closed when all may go on.
static RELEASED: Semaphore = Semaphore::const_new(0);

/// All pages, without a router.
pub(super) async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match request.uri().path() {
        "/wait" => wait().await,
        "/waiting" => waiting(),
        "/release" => {
            drop(request.into_body().collect().await);
            release()
        }
        _ => "hello".to_owned(),
    };
    Ok(Response::new(Full::from(text)))
}

/// Answered when released.
pub(super) async fn wait() -> String {
    WAITING.fetch_add(1, Ordering::Relaxed);
    RELEASED.acquire().await.expect_err("it has none to give");
    "waited".to_owned()
}

/// How many wait.
pub(super) fn waiting() -> String {
    WAITING.load(Ordering::Relaxed).to_string()
}

/// Called when the client has sent the body: so it decides when.
pub(super) fn release() -> String {
    RELEASED.close();
    "released".to_owned()
}
