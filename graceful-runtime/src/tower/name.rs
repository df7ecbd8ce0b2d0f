//! A request by name, and how a force ends it.

use std::{fmt, sync::Arc};

use http::{Method, Request, Uri};
use tokio_util::sync::CancellationToken;

use crate::tracking::label::Carrier;

/// A request by name: who asks for what. Without the query, which may hold what is nobody's business. A force ends the request by it.
#[derive(Debug)]
pub(crate) struct Name {
    origin: Option<Arc<dyn Origin>>,
    method: Method,
    uri: Uri,
    /// Of the request alone; otherwise it ends with its connection.
    cut: Option<CancellationToken>,
}

/// The connection that a request comes from, where that is known.
pub(crate) trait Origin: fmt::Debug + Send + Sync {
    /// Who is at its other end.
    fn peer(&self) -> &dyn fmt::Debug;
    /// What ends it.
    fn cut(&self) -> &CancellationToken;
}

impl Name {
    pub(crate) fn of<Q>(
        request: &Request<Q>,
        origin: Option<Arc<dyn Origin>>,
        cut: Option<CancellationToken>,
    ) -> Self {
        Self { origin, method: request.method().clone(), uri: request.uri().clone(), cut }
    }

    /// What ends the request alone, if it does not end with its connection.
    pub(super) fn cut(&self) -> Option<&CancellationToken> {
        self.cut.as_ref()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, method, uri, .. } = self;
        if let Some(origin) = origin {
            write!(f, "{:?} ", origin.peer())?;
        }
        write!(f, "{method} {}", uri.path())
    }
}

impl Carrier for Name {
    fn cut(&self) {
        let cut = self.cut.as_ref().or_else(|| Some(self.origin.as_ref()?.cut()));
        cut.into_iter().for_each(CancellationToken::cancel);
    }
}
