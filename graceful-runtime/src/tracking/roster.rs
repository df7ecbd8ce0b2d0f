//! What all scopes of one program write down of their work: the notes, the guards, and the clock that dates them.

use std::sync::{Arc, Weak};

use crate::{
    os::mutex::Mutex,
    sync::{coarse_clock::Clock, in_flight::SHARDS},
    tracking::{guard_slots::GuardSlots, task_table::TaskTable},
};

/// See the [module](self). It lives as long as the process, because guards refer to it without a count, and is used again for another program once nothing
/// of the last one is in flight.
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

    /// Gives the roster to an owner; `None` says that its owner is gone.
    pub(crate) fn belongs_to(&self, owner: Option<Weak<O>>) {
        *self.owner.lock() = owner;
    }

    /// The owner; `None` once it is gone.
    pub(crate) fn owner(&self) -> Option<Arc<O>> {
        let owner = self.owner.lock().clone();
        owner?.upgrade()
    }
}
