//! The scopes of a program and the order in which they drain.
//!
//! Scope 0 is the program itself. Each call of [`Shutdown::scope`](crate::Shutdown::scope) adds a scope below the one it was called on. A scope is removed,
//! and its memory reused, once no handle leads to it and nothing is in flight in it or below it.
//!
//! The tree is behind the lock of the [tracker](crate::tracking::tracker). A change returns the [`Wakeups`] that it causes, which the caller sends after it
//! has released the lock.
//!
//! # Invariants
//!
//! 1. A scope is requested once its parent is requested and all scopes it comes `after` have drained, or when it is requested alone.
//! 2. Whether a scope is empty is decided under the lock of the tree, by an exact sum of its counters. If work is found in a scope, the end of the last
//!    piece will be reported to [`ScopeTree::emptied`].
//! 3. The relation "must drain before" (a scope before its followers, a child before its parent) has no cycle.
//! 4. The witness of a scope is at or below it, has work in flight, and the end of that work will be reported. So while there is a witness, the scope is
//!    not empty, and no search is necessary.
//! 5. In a scope that no handle leads to, only work that is in flight there can begin more work. So once it is found empty it stays empty.

use std::collections::HashSet;

use tokio::sync::watch;

use crate::{
    sync::{
        atomic::heavy_fence,
        in_flight::{InFlight, is_empty, mode},
    },
    tracking::{
        scope::Scope,
        scope_id::ScopeId,
        scope_pool::ScopePool,
        scope_tree::{node::Node, wakeups::Wakeups},
    },
};

mod emptiness;
mod node;
mod order;
mod removal;
mod request;
mod token;
pub(crate) mod wakeups;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct ScopeTree {
    /// Indexed by [`ScopeId`]; `None` if no scope has the number.
    nodes: Vec<Option<Node>>,
    /// Numbers that no scope has.
    free: Vec<ScopeId>,
    pool: ScopePool,
    /// How many pieces of work ended in scopes that were removed; as many had entered them.
    ended_in_removed: usize,
    /// `init` or `main` is running. It belongs to the program but is not counted.
    pub(crate) main_runs: bool,
    /// No work is admitted any more.
    pub(crate) closed: bool,
}

/// The scopes and their counts.
impl ScopeTree {
    pub(crate) fn new(pool: ScopePool) -> Self {
        let root = Node::new("program".to_owned(), None, pool.root());
        root.scope.set_id(ScopeId::PROGRAM);
        Self {
            nodes: vec![Some(root)],
            free: Vec::new(),
            pool,
            ended_in_removed: 0,
            main_runs: false,
            closed: false,
        }
    }

    /// Adds a scope, to which one handle leads.
    pub(crate) fn add(&mut self, name: String, parent: ScopeId) -> (&'static Scope, Wakeups) {
        let scope = self.pool.take();
        let inherited = [mode::FORCED, mode::BY_STOP].into_iter();
        let inherited = inherited.filter(|&bit| self.at(parent).in_flight().is(bit));
        let shut = self.closed.then_some(mode::SHUT);
        // No other thread has the scope yet, so this needs no fence.
        scope.in_flight.mark(inherited.chain(shut).sum());
        let mut node = Node::new(name, Some(parent), scope);
        node.index = self.at(parent).children.len();
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            ScopeId(self.nodes.len() - 1)
        });
        scope.set_id(id);
        self.nodes[id.0] = Some(node);
        self.at_mut(parent).children.push(id);
        let mut wakeups = Wakeups::default();
        if self.may_be_requested(id) {
            self.spread_request(vec![id], &mut wakeups);
        }
        (scope, wakeups)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Scope> + Clone + '_ {
        self.nodes.iter().flatten().map(|node| node.scope)
    }

    /// Marks the scope and all scopes below it, so that work which enters them from now on is aborted. Returns their numbers if anything is in flight in
    /// them; for the program itself always.
    pub(crate) fn force(&self, scope: ScopeId, bits: usize) -> HashSet<ScopeId> {
        let scopes = self.within(scope);
        let counters = scopes.iter().map(|&id| self.at(id).in_flight());
        for counter in counters.clone() {
            counter.mark(bits);
        }
        heavy_fence();
        let is_idle = counters.map(InFlight::count).all(|count| count == 0);
        if is_idle && scope != ScopeId::PROGRAM {
            HashSet::new()
        } else {
            scopes.into_iter().collect()
        }
    }

    /// How many pieces of work are in the scope and below it.
    pub(crate) fn count(&self, scope: ScopeId) -> usize {
        self.within(scope).into_iter().map(|id| self.at(id).in_flight().count()).sum()
    }

    /// How many pieces of work have ever ended.
    pub(crate) fn ended(&self) -> usize {
        self.sum(InFlight::exits)
    }

    /// How many pieces of work have ever been admitted.
    pub(crate) fn entered(&self) -> usize {
        self.sum(InFlight::enters)
    }

    fn sum(&self, of: fn(&InFlight) -> usize) -> usize {
        let own = |node: &Node| of(node.in_flight()).wrapping_sub(node.ended_before);
        let nodes = self.nodes.iter().flatten();
        nodes.fold(self.ended_in_removed, |sum, node| sum.wrapping_add(own(node)))
    }

    /// A receiver that is notified when the scope drains.
    pub(crate) fn changes(&mut self, scope: ScopeId) -> watch::Receiver<()> {
        self.at_mut(scope).changed.get_or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// The scope and all scopes below it.
    fn within(&self, scope: ScopeId) -> Vec<ScopeId> {
        let mut all = vec![scope];
        let mut next = 0;
        while let Some(&scope) = all.get(next) {
            all.extend(&self.at(scope).children);
            next += 1;
        }
        all
    }

    fn at(&self, scope: ScopeId) -> &Node {
        self.nodes[scope.0].as_ref().unwrap_or_else(|| unreachable!("the scope was not removed"))
    }

    fn at_mut(&mut self, scope: ScopeId) -> &mut Node {
        self.nodes[scope.0].as_mut().unwrap_or_else(|| unreachable!("the scope was not removed"))
    }
}

/// The ends of work, and the end of the drain.
impl ScopeTree {
    /// `init` or `main` begins. Returns `false` if no work is admitted any more.
    pub(crate) fn main_begins(&mut self) -> bool {
        self.main_runs |= !self.closed;
        !self.closed
    }

    pub(crate) fn main_ended(&mut self) -> Wakeups {
        self.main_runs = false;
        self.emptied(ScopeId::PROGRAM)
    }

    /// The last piece of work in a scope has ended. The scope may have been removed since, and another scope may have its number.
    pub(crate) fn emptied(&mut self, scope: ScopeId) -> Wakeups {
        self.forget(scope, Some(scope));
        let mut wakeups = Wakeups::default();
        self.update_from(scope, &mut wakeups);
        wakeups
    }

    /// Closes the program for new work if it was asked to stop and nothing is left. Returns whether it is closed.
    pub(crate) fn close_if_drained(&mut self) -> bool {
        let is_over = !self.main_runs && self.is_drained(ScopeId::PROGRAM);
        if self.closed || !is_over {
            return self.closed;
        }
        // From here on, work that enters waits for the lock of the tree. If work entered before that, this attempt came too early.
        self.close();
        if !is_empty(self.all().map(|scope| &scope.in_flight)) {
            self.all().for_each(|scope| scope.in_flight.clear(mode::SHUT));
            self.closed = false;
        }
        self.closed
    }

    /// Closes the program for new work, even if work is left.
    pub(crate) fn close(&mut self) {
        for scope in self.all() {
            scope.in_flight.mark(mode::SHUT);
        }
        heavy_fence();
        self.closed = true;
    }
}

impl Drop for ScopeTree {
    fn drop(&mut self) {
        let scopes = self.nodes.iter().skip(1).flatten().map(|node| node.scope);
        self.pool.retire(scopes.collect());
    }
}

#[cfg(test)]
mod tests;
