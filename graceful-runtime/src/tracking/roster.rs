//! The lists that all scopes of one program share: the task table, the guard slots, and the clock that dates both.

use std::sync::{Arc, Weak};

use crate::{
    os::mutex::Mutex,
    sync::{coarse_clock::Clock, in_flight::SHARDS},
    tracking::{guard_slots::GuardSlots, task_table::TaskTable},
};

/// See the [module](self).
///
/// A roster lives as long as the process, because guards refer to it without a reference count. Another program uses it again once nothing of the last
/// one is in flight.
#[derive(Debug)]
pub(crate) struct Roster<O: ?Sized, S: 'static> {
    pub(crate) clock: Clock,
    pub(crate) guards: GuardSlots<S>,
    pub(crate) tasks: TaskTable,
    owner: Mutex<Option<Weak<O>>>,
}

impl<O: ?Sized, S: Sync> Roster<O, S> {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::default(),
            guards: GuardSlots::new(SHARDS),
            tasks: TaskTable::new(SHARDS),
            owner: Mutex::new(None),
        }
    }

    /// Sets the owner of the roster; `None` if its program is gone.
    pub(crate) fn set_owner(&self, owner: Option<Weak<O>>) {
        *self.owner.lock() = owner;
    }

    /// The owner; `None` if its program is gone.
    pub(crate) fn owner(&self) -> Option<Arc<O>> {
        let owner = self.owner.lock().clone();
        owner?.upgrade()
    }
}
