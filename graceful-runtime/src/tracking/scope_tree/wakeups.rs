//! Wake-ups that a change of the tree causes. They are sent after the lock of the tree is released, because a waker is user code.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    model::panics::quietly,
    tracking::{scope::Scope, scope_tree::node::Node},
};

/// See the [module](self).
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakeups {
    /// Scopes that were asked to stop.
    pub(super) requested: Vec<&'static Scope>,
    /// Tokens to cancel.
    pub(super) tokens: Vec<CancellationToken>,
    /// Senders of scopes that have drained.
    pub(super) drained: Vec<watch::Sender<()>>,
    /// Nodes that were removed. Their scopes are cleared outside the lock, because leaked futures may have left wakers in them.
    pub(super) removed: Vec<Node>,
}

impl Wakeups {
    /// Sends the wake-ups. Returns the scopes that were removed, which the caller must pass to [`ScopeTree::reuse`](super::ScopeTree::reuse).
    #[must_use]
    pub(crate) fn send(self) -> Vec<&'static Scope> {
        let Self { requested, tokens, drained, removed } = self;
        requested.into_iter().for_each(Scope::wake);
        for token in tokens {
            quietly(|| token.cancel());
        }
        for sender in drained {
            quietly(|| sender.send_replace(()));
        }
        let cleared = removed.into_iter().map(|Node { scope, .. }| {
            scope.clear();
            scope
        });
        cleared.collect()
    }
}
