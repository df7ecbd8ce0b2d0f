//! The order that `after` declares between scopes.

use std::collections::HashSet;

use crate::tracking::{
    scope_id::ScopeId,
    scope_tree::{ScopeTree, wakeups::Wakeups},
};

impl ScopeTree {
    /// Makes `scope` wait for `other`: it is requested after `other` has drained.
    ///
    /// # Errors
    ///
    /// Returns the names of both scopes if `other` already waits for `scope` (invariant 3).
    pub(crate) fn after(
        &mut self,
        scope: ScopeId,
        other: ScopeId,
    ) -> Result<Wakeups, (String, String)> {
        if self.waits_for(other, scope) {
            return Err((self.at(scope).name.clone(), self.at(other).name.clone()));
        }
        self.at_mut(scope).after.push(other);
        self.at_mut(other).followers.push(scope);
        self.withdraw_request(scope);
        let mut wakeups = Wakeups::default();
        if self.may_be_requested(scope) {
            self.spread_request(vec![scope], &mut wakeups);
        }
        Ok(wakeups)
    }

    /// Whether `scope` cannot drain before `other` has: a scope waits for the scopes that it comes after, and for its children.
    fn waits_for(&self, scope: ScopeId, other: ScopeId) -> bool {
        let (mut seen, mut open) = (HashSet::new(), vec![scope]);
        while let Some(scope) = open.pop() {
            if scope == other {
                return true;
            }
            if !seen.insert(scope) {
                continue;
            }
            let node = self.at(scope);
            open.extend(&node.after);
            // The program's own work does not wait for the scopes of the program.
            if scope != ScopeId::PROGRAM {
                open.extend(&node.children);
            }
        }
        false
    }

    /// Withdraws the request from a scope that was requested when it was made, before its order could be declared. It stays requested if it, or a scope
    /// below it, has work or was requested alone.
    fn withdraw_request(&mut self, scope: ScopeId) {
        let scopes = self.within(scope);
        let is_fresh = |&id: &ScopeId| {
            let node = self.at(id);
            node.is_requested && !node.is_requested_alone && !node.has_work()
        };
        if scopes.iter().all(is_fresh) {
            for id in scopes {
                let node = self.at_mut(id);
                (node.is_requested, node.known_drained, node.token) = (false, None, None);
                node.scope.withdraw_request();
            }
        }
    }

    /// Whether the scope is to be requested now: its parent is requested, and all scopes that it comes after let it go (invariant 1).
    pub(super) fn may_be_requested(&mut self, scope: ScopeId) -> bool {
        let Some(node) = &self.nodes[scope.0] else { return false };
        let is_parent_requested = node.parent.is_some_and(|parent| self.at(parent).is_requested);
        let (count, first) = (node.after.len(), node.next_after);
        if node.is_requested || !is_parent_requested {
            return false;
        }
        // Begins at the scope that blocked the last check; the ones before it had drained.
        let blocks = |tree: &mut Self, index: &usize| {
            let other = tree.at(scope).after[*index];
            !tree.releases_followers(other)
        };
        let blocked_by =
            (0..count).map(|step| (first + step) % count).find(|index| blocks(self, index));
        self.at_mut(scope).next_after = blocked_by.unwrap_or(0);
        blocked_by.is_none()
    }

    /// Whether the followers of the scope may be requested. For the program itself its own work counts, and the work of its scopes does not.
    pub(super) fn releases_followers(&mut self, scope: ScopeId) -> bool {
        if scope != ScopeId::PROGRAM {
            return self.is_drained(scope);
        }
        let node = self.at(scope);
        node.is_requested && !self.main_runs && !node.has_work()
    }
}
