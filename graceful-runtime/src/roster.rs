//! What all parts of one program write down of their work: the notes, the guards, and the clock that dates them.

use std::sync::{Arc, Weak};

use crate::{
    clock::Clock, in_flight::LANES, lock::Mutex, places::Places, program::Program, records::Records,
};

/// See the [module](self). It lives as long as the process, because guards refer to it without a count, and is used again for another program once nothing
/// of the last one is in flight.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) clock: Clock,
    pub(crate) places: Places,
    pub(crate) records: Records,
    program: Mutex<Weak<Program>>,
}

impl Roster {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::default(),
            places: Places::new(LANES),
            records: Records::new(LANES),
            program: Mutex::default(),
        }
    }

    /// From here on it is this program's; `Weak::new()` says that its program is gone.
    pub(crate) fn belongs_to(&self, program: Weak<Program>) {
        *self.program.lock() = program;
    }

    /// `None` once the program is gone.
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        let program = self.program.lock().clone();
        program.upgrade()
    }
}
