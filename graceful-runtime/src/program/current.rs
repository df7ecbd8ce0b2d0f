//! Finds the program that a runtime belongs to.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::runtime::{Handle, Id};

use crate::program::state::Program;

/// The programs by runtime, so that code finds its program without a handle. The runtime is the key because one process may
/// run several programs, as parallel tests do, which must not see each other.
static PROGRAMS: RwLock<Vec<(Id, Weak<Program>)>> = RwLock::new(Vec::new());

/// Assigns a runtime to a program until dropped.
#[derive(Debug)]
pub(crate) struct Registration(Id);

impl Registration {
    pub(crate) fn new(runtime: &Handle, program: &Arc<Program>) -> Self {
        let entry = (runtime.id(), Arc::downgrade(program));
        PROGRAMS.write().unwrap_or_else(PoisonError::into_inner).push(entry);
        Self(runtime.id())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        PROGRAMS.write().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != self.0);
    }
}

/// The program of the runtime that the caller runs on.
pub(crate) fn current() -> Option<Arc<Program>> {
    let id = Handle::try_current().ok()?.id();
    let programs = PROGRAMS.read().unwrap_or_else(PoisonError::into_inner);
    programs.iter().find(|(known, _)| *known == id)?.1.upgrade()
}
