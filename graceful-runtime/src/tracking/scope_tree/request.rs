//! How a request spreads through the tree.

use crate::{
    sync::{atomic::heavy_fence, in_flight::mode},
    tracking::{
        scope_id::ScopeId,
        scope_tree::{ScopeTree, wakeups::Wakeups},
    },
};

impl ScopeTree {
    /// Asks the scope to stop, and all scopes that may stop with it.
    pub(crate) fn request(&mut self, scope: ScopeId) -> Wakeups {
        let mut wakeups = Wakeups::default();
        self.at_mut(scope).is_requested_alone = true;
        if !self.at(scope).is_requested {
            self.spread_request(vec![scope], &mut wakeups);
        }
        wakeups
    }

    /// Requests the scopes of `wave`, then their children and followers, until no further scope may be requested (invariant 1).
    pub(super) fn spread_request(&mut self, mut wave: Vec<ScopeId>, wakeups: &mut Wakeups) {
        while !wave.is_empty() {
            // All of a wave before the next one, so that a parent refuses work before its children do.
            self.request_all(&wave, wakeups);
            let mut next = Vec::new();
            for scope in wave {
                next.extend(self.released_followers(scope, true, wakeups));
                next.extend(&self.at(scope).children);
            }
            next.sort_unstable();
            next.dedup();
            next.retain(|&scope| self.may_be_requested(scope));
            wave = next;
        }
    }

    /// Requests these scopes, with one fence for all: there may be thousands.
    fn request_all(&mut self, scopes: &[ScopeId], wakeups: &mut Wakeups) {
        let mark = |&id: &ScopeId| {
            let counter = self.at(id).in_flight();
            counter.mark(mode::REQUESTED);
            counter.mark(mode::AWAITED)
        };
        let newly_awaited: Vec<_> = scopes.iter().map(mark).collect();
        heavy_fence();
        for (&id, is_new) in scopes.iter().zip(newly_awaited) {
            let node = self.at_mut(id);
            // The two halves of `await_empty`, with the fence of all scopes in between.
            if is_new {
                node.in_flight().set_hint();
            }
            node.is_requested = true;
            node.scope.set_requested();
            wakeups.requested.push(node.scope);
            wakeups.tokens.extend(node.token.clone().into_iter().chain(node.orphans.drain(..)));
        }
    }

    /// Checks this scope and its ancestors after work has ended in it or its last handle is gone: each may have drained, or may be removed.
    pub(super) fn update_from(&mut self, first: ScopeId, wakeups: &mut Wakeups) {
        let mut next = Some(first);
        while let Some(id) = next {
            let Some(node) = &self.nodes[id.0] else { return };
            next = node.parent;
            // The followers of the program wait for its own work alone, so the end of work in a scope cannot release them.
            let is_own = id == first || id != ScopeId::PROGRAM;
            let mut followers = self.released_followers(id, is_own, wakeups);
            followers.extend(self.remove_if_unused(id, wakeups));
            followers.retain(|&follower| self.may_be_requested(follower));
            self.spread_request(followers, wakeups);
        }
    }

    /// The followers that may be requested after work has ended in this scope. If the scope has drained, this also wakes its waiters.
    fn released_followers(
        &mut self,
        scope: ScopeId,
        is_own: bool,
        wakeups: &mut Wakeups,
    ) -> Vec<ScopeId> {
        // Its followers were released and its waiters woken before.
        if self.at(scope).known_drained.is_some() {
            return Vec::new();
        }
        if self.is_drained(scope) {
            let node = self.at_mut(scope);
            node.known_drained = Some(node.in_flight().exits());
            wakeups.drained.extend(node.changed.clone());
        } else if scope != ScopeId::PROGRAM || !self.releases_followers(scope) {
            return Vec::new();
        }
        if is_own { self.at(scope).followers.clone() } else { Vec::new() }
    }
}
