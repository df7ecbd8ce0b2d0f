//! Whether a scope and all scopes below it are empty.
//!
//! A tree may be as deep as the program likes, so the search keeps its path on the heap.

use crate::{
    sync::in_flight::is_empty,
    tracking::{scope_id::ScopeId, scope_tree::ScopeTree},
};

/// A scope on the path of a search, without work of its own.
struct Visit {
    scope: ScopeId,
    /// The index of the child at which the search of the children began.
    first: usize,
    /// How many children were searched.
    searched: usize,
}

impl ScopeTree {
    /// Whether the scope was asked to stop and nothing is left in it or below it.
    pub(crate) fn is_drained(&mut self, scope: ScopeId) -> bool {
        self.at(scope).is_requested && self.is_empty(scope)
    }

    /// Whether nothing is in flight at or below the scope. If something is, the end of the last piece will be reported (invariant 2).
    fn is_empty(&mut self, scope: ScopeId) -> bool {
        self.find_witness(scope).is_none() && {
            // The search found each scope empty, but not all at the same time: work may have moved from one to another. This sum is exact.
            let scopes = self.within(scope);
            is_empty(scopes.iter().map(|&id| self.at(id).in_flight()))
        }
    }

    /// Finds a scope with work, at or below this one (invariant 4). Each search begins where the last one ended.
    fn find_witness(&mut self, scope: ScopeId) -> Option<ScopeId> {
        if let Some(witness) = self.known_witness(scope) {
            return Some(witness);
        }
        let mut path = vec![self.visit(scope)];
        while let Some(visit) = path.last_mut() {
            let Some(child) = self.next_child(visit) else {
                path.pop();
                continue;
            };
            match self.known_witness(child) {
                Some(witness) => {
                    for visit in path {
                        self.at_mut(visit.scope).witness = Some(witness);
                    }
                    return Some(witness);
                }
                None => path.push(self.visit(child)),
            }
        }
        None
    }

    /// The witness that was found before, or the scope itself if it has work.
    fn known_witness(&mut self, scope: ScopeId) -> Option<ScopeId> {
        let node = self.at_mut(scope);
        if node.witness.is_none() {
            node.witness = node.has_work().then_some(scope);
        }
        node.witness
    }

    fn visit(&self, scope: ScopeId) -> Visit {
        Visit { scope, first: self.at(scope).next_child, searched: 0 }
    }

    fn next_child(&mut self, visit: &mut Visit) -> Option<ScopeId> {
        let node = self.at_mut(visit.scope);
        let count = node.children.len();
        if visit.searched == count {
            return None;
        }
        let index = (visit.first + visit.searched) % count;
        visit.searched += 1;
        node.next_child = index;
        Some(node.children[index])
    }

    /// Work has ended in `scope`: clears what is known because of that work, from the scope `from` upwards.
    pub(super) fn forget(&mut self, scope: ScopeId, mut from: Option<ScopeId>) {
        while let Some(Some(node)) = from.map(|id| &mut self.nodes[id.0]) {
            node.known_drained = None;
            node.witness = node.witness.filter(|&witness| witness != scope);
            from = node.parent;
        }
    }
}
