//! What the programs answer: at once, after a second, or when the client says so.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use tokio::time::sleep;

pub(crate) const HELLO: &str = "hello";

/// Answered when the client has sent its body: so it decides when.
pub(crate) const UPLOADED: &str = "uploaded";

/// How long an answer takes that does not come at once.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// All pages, without a router.
pub(super) async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match request.uri().path() {
        "/second" => second().await,
        "/upload" => {
            drop(request.into_body().collect().await);
            UPLOADED
        }
        _ => HELLO,
    };
    Ok(Response::new(Full::from(text)))
}

pub(super) async fn second() -> &'static str {
    sleep(SECOND).await;
    "later"
}
