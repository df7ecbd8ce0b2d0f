//! Parts to be used and used again, with the roster that those of one program stand on.

use std::{mem, sync::Weak, thread};

use crate::{
    in_flight::{LANES, mode},
    lock::Mutex,
    part::Part,
    program::Program,
    roster::Roster,
    sys,
};

/// The parts of one program: the program itself, and scopes that are not in use.
///
/// They live as long as the process, and are another program's once nothing of the last one is in flight.
#[derive(Debug)]
pub(crate) struct PartsStock {
    roster: &'static Roster,
    root: &'static Part,
    scopes: Vec<&'static Part>,
    /// On how many lanes a scope counts: as many as threads may run at once, and as many again for those that take turns with them. Found out for the first
    /// scope, because asking the system takes longer than all else that a scope needs.
    lanes: Option<usize>,
}

/// Those of programs that are over.
static UNUSED: Mutex<Vec<PartsStock>> = Mutex::new(Vec::new());

/// In how many lists those that wait for the request of the program are: more than the cores of nearly all machines.
const LISTS: usize = 16;

/// The same of a scope, of which there may be thousands.
const LISTS_OF_A_SCOPE: usize = 1;

impl PartsStock {
    pub(crate) fn new(program: Weak<Program>) -> Self {
        let stock = UNUSED.lock().pop().unwrap_or_else(|| {
            sys::prepare_fences();
            let roster = Box::leak(Box::new(Roster::new()));
            let root = Box::leak(Box::new(Part::new(roster, LANES, LISTS)));
            Self { roster, root, scopes: Vec::new(), lanes: None }
        });
        stock.roster.belongs_to(program);
        stock
    }

    pub(crate) fn root(&self) -> &'static Part {
        self.root
    }

    pub(crate) fn roster(&self) -> &'static Roster {
        self.roster
    }

    pub(crate) fn take(&mut self) -> &'static Part {
        let Self { roster, scopes, lanes, .. } = self;
        let ask = || thread::available_parallelism().map_or(1, usize::from).min(LANES / 2) * 2;
        let make = || {
            let lanes = *lanes.get_or_insert_with(ask);
            &*Box::leak(Box::new(Part::new(roster, lanes, LISTS_OF_A_SCOPE)))
        };
        scopes.pop().unwrap_or_else(make)
    }

    /// Takes scopes back, which are as good as new.
    pub(crate) fn give_back(&mut self, parts: Vec<&'static Part>) {
        self.scopes.extend(parts);
    }

    /// The program is gone; these are the scopes that were still in use. What is held of it was left behind, and keeps all of this from being used again.
    pub(crate) fn retire(&mut self, in_use: Vec<&'static Part>) {
        self.roster.belongs_to(Weak::new());
        self.roster.clock.stop();
        let all = in_use.iter().chain([&self.root]);
        all.clone().for_each(|part| part.in_flight.set(mode::SHUT));
        if all.clone().any(|part| part.in_flight.count() > 0) {
            return;
        }
        all.for_each(|part| part.clear());
        let mut scopes = mem::take(&mut self.scopes);
        scopes.extend(in_use);
        let Self { roster, root, lanes, .. } = *self;
        UNUSED.lock().push(Self { roster, root, scopes, lanes });
    }
}
