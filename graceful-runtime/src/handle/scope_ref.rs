//! What every handle of a program carries: the program, and which part of it the handle is for.

use std::sync::Arc;

use crate::{
    program::state::Program,
    tracking::{scope::Scope, tracker::Tracker},
};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct ScopeRef {
    /// Keeps a scope in use; the program itself needs none. Dropped before the program.
    _held: Option<Arc<Held>>,
    pub(crate) program: Arc<Program>,
    pub(crate) scope: &'static Scope,
}

/// The handles of a scope.
#[derive(Debug)]
struct Held {
    tracker: Arc<Tracker>,
    scope: &'static Scope,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tracker.let_go(self.scope);
    }
}

impl ScopeRef {
    /// That of the whole program.
    pub(crate) fn of(program: &Arc<Program>) -> Self {
        Self { _held: None, program: Arc::clone(program), scope: program.tracker.root() }
    }

    /// That of a new scope, below the part that this is for.
    pub(crate) fn scope(&self, name: String) -> Self {
        let tracker = Arc::clone(&self.program.tracker);
        let scope = tracker.add_scope(name, self.scope);
        let held = Arc::new(Held { tracker, scope });
        Self { _held: Some(held), program: Arc::clone(&self.program), scope }
    }

    /// Whether the part was asked to stop.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.scope.is_requested()
    }
}
