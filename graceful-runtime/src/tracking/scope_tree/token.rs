//! The cancellation tokens of scopes.

use tokio_util::sync::CancellationToken;

use crate::tracking::{scope_id::ScopeId, scope_tree::ScopeTree};

impl ScopeTree {
    /// The token of a scope, which is cancelled when the scope is requested.
    ///
    /// If the scope comes after no other, it is requested together with its parent, so its token is a child of the parent's token: the parent cancels it,
    /// and dropping it leaves nothing behind.
    pub(crate) fn token(&mut self, scope: ScopeId) -> CancellationToken {
        // The scopes without a token, from this one up to the first whose token depends on no parent.
        let (mut missing, mut next, mut token) = (Vec::new(), Some(scope), None);
        while let Some(id) = next {
            let node = self.at(id);
            token.clone_from(&node.token);
            if token.is_some() {
                break;
            }
            missing.push(id);
            next = node.parent.filter(|_| node.after.is_empty());
        }
        for id in missing.into_iter().rev() {
            token = Some(self.make_token(id, token));
        }
        token.unwrap_or_else(|| unreachable!("it was found or made"))
    }

    fn make_token(
        &mut self,
        scope: ScopeId,
        parent: Option<CancellationToken>,
    ) -> CancellationToken {
        let node = self.at_mut(scope);
        node.has_own_token = parent.is_none();
        let token = parent.map_or_else(CancellationToken::new, |parent| parent.child_token());
        if node.is_requested {
            // Nothing waits for the new token yet, so this calls no waker under the lock.
            token.cancel();
        }
        node.token.insert(token).clone()
    }
}
