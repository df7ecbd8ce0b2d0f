//! Scopes leave the tree once no handle leads to them and nothing is in flight in them, and their memory is reused.

use crate::tracking::{
    scope::Scope,
    scope_id::ScopeId,
    scope_tree::{ScopeTree, node::Node, wakeups::Wakeups},
};

impl ScopeTree {
    /// The last handle of a scope is gone.
    pub(crate) fn handles_gone(&mut self, scope: ScopeId) -> Wakeups {
        let mut wakeups = Wakeups::default();
        self.at_mut(scope).has_handle = false;
        self.update_from(scope, &mut wakeups);
        wakeups
    }

    /// Lets removed scopes be used again. They were cleared by [`Wakeups::send`].
    pub(crate) fn reuse(&mut self, scopes: Vec<&'static Scope>) {
        self.pool.give_back(scopes);
    }

    /// Removes the scope if no handle leads to it and nothing is in it. Returns its followers.
    pub(super) fn remove_if_unused(
        &mut self,
        scope: ScopeId,
        wakeups: &mut Wakeups,
    ) -> Vec<ScopeId> {
        let node = self.at(scope);
        let may_go = scope != ScopeId::PROGRAM && !node.has_handle && node.children.is_empty();
        // Invariant 5: a count of zero stays zero, so this needs no fence. If the count is not zero, the end of the last piece must be reported.
        if !may_go || node.in_flight().count() > 0 && node.has_work() {
            return Vec::new();
        }
        let Some(node) = self.nodes[scope.0].take() else { return Vec::new() };
        let ended = node.in_flight().exits().wrapping_sub(node.ended_before);
        self.ended_in_removed = self.ended_in_removed.wrapping_add(ended);
        self.unlink_order(scope, &node);
        if let Some(parent) = node.parent {
            self.hand_over_tokens(&node, parent, wakeups);
            self.unlink_child(&node, parent);
        }
        if node.known_drained != Some(node.in_flight().exits()) {
            // Its last work has ended since, and the report of that end may come after the removal, when no node has this number.
            self.forget(scope, node.parent);
        }
        self.free.push(scope);
        let followers = node.followers.clone();
        wakeups.removed.push(node);
        followers
    }

    fn unlink_order(&mut self, scope: ScopeId, node: &Node) {
        for &other in &node.after {
            self.at_mut(other).followers.retain(|&follower| follower != scope);
        }
        for &follower in &node.followers {
            let follower = self.at_mut(follower);
            follower.after.retain(|&other| other != scope);
            follower.next_after = 0;
        }
    }

    /// Tokens outlive their scope: they are cancelled now if the parent is requested, otherwise together with the parent.
    fn hand_over_tokens(&mut self, node: &Node, parent: ScopeId, wakeups: &mut Wakeups) {
        let own = node.token.iter().filter(|_| !node.is_requested);
        let parent = self.at_mut(parent);
        match parent.is_requested {
            true => wakeups.tokens.extend(own.chain(&node.orphans).cloned()),
            false => {
                // A child of the parent's token is cancelled with it anyway.
                let own = own.filter(|_| node.has_own_token);
                parent.orphans.extend(own.chain(&node.orphans).cloned());
            }
        }
    }

    fn unlink_child(&mut self, node: &Node, parent: ScopeId) {
        let children = &mut self.at_mut(parent).children;
        children.swap_remove(node.index);
        if let Some(&moved) = children.get(node.index) {
            self.at_mut(moved).index = node.index;
        }
    }
}
