//! The program and the scope that a handle refers to.

use std::sync::Arc;

use crate::{
    program::state::Program,
    tracking::{scope::Scope, tracker::Tracker},
};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct ScopeRef {
    /// Keeps a scope in use until its last handle is dropped. `None` for the program's own scope, which lives as long as the
    /// program. Declared first, so that it is dropped before the program.
    _held: Option<Arc<Held>>,
    pub(crate) program: Arc<Program>,
    pub(crate) scope: &'static Scope,
}

/// Shared by all handles of one scope.
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
    /// Refers to the whole program.
    pub(crate) fn of(program: &Arc<Program>) -> Self {
        Self { _held: None, program: Arc::clone(program), scope: program.tracker.root() }
    }

    /// Creates a scope inside this one and refers to it.
    pub(crate) fn scope(&self, name: String) -> Self {
        let tracker = Arc::clone(&self.program.tracker);
        let scope = tracker.add_scope(name, self.scope);
        let held = Arc::new(Held { tracker, scope });
        Self { _held: Some(held), program: Arc::clone(&self.program), scope }
    }

    /// Whether the scope was asked to stop.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.scope.is_requested()
    }
}
