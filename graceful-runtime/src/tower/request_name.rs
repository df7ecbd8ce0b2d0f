//! The name of a request in logs and reports, and the token by which a force ends the request.

use std::{fmt, sync::Arc};

use http::{Method, Request, Uri};
use tokio_util::sync::CancellationToken;

use crate::tracking::label::Carrier;

/// The peer, method and path of a request. The query is left out, because it may contain secrets. A force ends the request through it.
#[derive(Debug)]
pub(crate) struct RequestName {
    origin: Option<Arc<dyn Origin>>,
    method: Method,
    uri: Uri,
    /// Ends this request alone. `None` if a force ends the whole connection instead.
    cut: Option<CancellationToken>,
}

/// The connection that a request arrived on.
pub(crate) trait Origin: fmt::Debug + Send + Sync {
    /// The address of the peer.
    fn peer(&self) -> &dyn fmt::Debug;
    /// Cuts the connection.
    fn cut(&self) -> &CancellationToken;
}

impl RequestName {
    pub(crate) fn of<Q>(
        request: &Request<Q>,
        origin: Option<Arc<dyn Origin>>,
        cut: Option<CancellationToken>,
    ) -> Self {
        Self { origin, method: request.method().clone(), uri: request.uri().clone(), cut }
    }

    /// The token that ends this request alone, if it has one.
    pub(super) fn cut(&self) -> Option<&CancellationToken> {
        self.cut.as_ref()
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, method, uri, .. } = self;
        if let Some(origin) = origin {
            write!(f, "{:?} ", origin.peer())?;
        }
        write!(f, "{method} {}", uri.path())
    }
}

impl Carrier for RequestName {
    fn cut(&self) {
        let cut = self.cut.as_ref().or_else(|| Some(self.origin.as_ref()?.cut()));
        cut.into_iter().for_each(CancellationToken::cancel);
    }
}
