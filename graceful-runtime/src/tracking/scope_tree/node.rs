//! One scope in the tree, and what the tree knows about it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    sync::in_flight::InFlight,
    tracking::{scope::Scope, scope_id::ScopeId},
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) scope: &'static Scope,
    /// How many pieces of work had ended in `scope` before this node used it.
    pub(super) ended_before: usize,
    pub(super) parent: Option<ScopeId>,
    /// The index in the `children` of the parent.
    pub(super) index: usize,
    pub(super) children: Vec<ScopeId>,
    /// The index of the child at which the next search for work begins.
    pub(super) next_child: usize,
    /// A scope with work, at or below this one: invariant 4 of the tree.
    pub(super) witness: Option<ScopeId>,
    /// Set when the scope was found drained and its waiters were woken, to the number of pieces that had ended in the scope itself by then. Cleared when
    /// the end of work at or below the scope is reported.
    pub(super) known_drained: Option<usize>,
    /// The scopes that must drain before this one is requested.
    pub(super) after: Vec<ScopeId>,
    /// The index in `after` at which the next check begins.
    pub(super) next_after: usize,
    /// The scopes that come after this one.
    pub(super) followers: Vec<ScopeId>,
    /// The scope was asked to stop, and its counters refuse work from outside.
    pub(super) is_requested: bool,
    /// The scope was asked to stop by itself, not together with its parent.
    pub(super) is_requested_alone: bool,
    /// A handle leads to the scope.
    pub(super) has_handle: bool,
    /// Made on first use, like `changed`: a scope for each session must be cheap.
    pub(super) token: Option<CancellationToken>,
    /// The token is not a child of the parent's token.
    pub(super) has_own_token: bool,
    /// Tokens of removed scopes below this one that were not children of this token, because those scopes came after others.
    pub(super) orphans: Vec<CancellationToken>,
    /// Wakes the tasks that wait for the scope to drain.
    pub(super) changed: Option<watch::Sender<()>>,
}

impl Node {
    /// A node for a scope to which one handle leads.
    pub(super) fn new(name: String, parent: Option<ScopeId>, scope: &'static Scope) -> Self {
        Self {
            name,
            scope,
            ended_before: scope.in_flight.exits(),
            parent,
            index: 0,
            children: Vec::new(),
            next_child: 0,
            witness: None,
            known_drained: None,
            after: Vec::new(),
            next_after: 0,
            followers: Vec::new(),
            is_requested: false,
            is_requested_alone: false,
            has_handle: true,
            token: None,
            has_own_token: false,
            orphans: Vec::new(),
            changed: None,
        }
    }

    pub(super) fn in_flight(&self) -> &'static InFlight {
        &self.scope.in_flight
    }

    /// Whether work is in flight in the scope itself. If so, the end of the last piece will be reported.
    pub(super) fn has_work(&self) -> bool {
        let counter = self.in_flight();
        counter.await_empty();
        counter.count() > 0
    }
}
