//! The closures that [`Shutdown::at_exit`](crate::Shutdown::at_exit) registers.

use std::{fmt, mem};

use crate::{model::report::Report, os::mutex::Mutex};

pub(crate) type AtExitHook = Box<dyn FnOnce(&Report) + Send>;

/// The registered closures, handed out once.
#[derive(Default)]
pub(crate) struct AtExit(Mutex<Hooks>);

#[derive(Default)]
struct Hooks {
    registered: Vec<AtExitHook>,
    are_taken: bool,
}

impl AtExit {
    /// Registers a closure.
    ///
    /// # Errors
    ///
    /// Returns the closure if the hooks were taken already.
    pub(crate) fn push(&self, hook: AtExitHook) -> Result<(), AtExitHook> {
        let mut hooks = self.0.lock();
        if hooks.are_taken {
            return Err(hook);
        }
        hooks.registered.push(hook);
        Ok(())
    }

    /// Hands the closures to the first caller, which then runs the exit report; later callers get `None`.
    pub(crate) fn take(&self) -> Option<Vec<AtExitHook>> {
        let mut hooks = self.0.lock();
        (!mem::replace(&mut hooks.are_taken, true)).then(|| mem::take(&mut hooks.registered))
    }
}

impl fmt::Debug for AtExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks = self.0.lock();
        f.debug_struct("AtExit")
            .field("registered", &hooks.registered.len())
            .field("are_taken", &hooks.are_taken)
            .finish()
    }
}
