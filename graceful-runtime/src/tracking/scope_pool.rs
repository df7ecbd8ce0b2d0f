//! ScopeTree to be used and used again, with the roster that those of one program stand on.

use std::{mem, sync::Weak, thread};

use crate::{
    os::{mutex::Mutex, sys},
    sync::in_flight::{SHARDS, mode},
    tracking::{
        roster::Roster,
        scope::{Owner, Scope, ScopeRoster},
    },
};

/// The scopes of one program: the program itself, and scopes that are not in use.
///
/// They live as long as the process, and are another program's once nothing of the last one is in flight.
#[derive(Debug)]
pub(crate) struct ScopePool {
    roster: &'static ScopeRoster,
    root: &'static Scope,
    scopes: Vec<&'static Scope>,
    /// On how many shards a scope counts: as many as threads may run at once, and as many again for those that take turns with them. Found out for the first
    /// scope, because asking the system takes longer than all else that a scope needs.
    shards: Option<usize>,
}

/// Those of programs that are over.
static UNUSED: Mutex<Vec<ScopePool>> = Mutex::new(Vec::new());

/// In how many lists those that wait for the request of the program are: more than the cores of nearly all machines.
const LISTS: usize = 16;

/// The same of a scope, of which there may be thousands.
const LISTS_OF_A_SCOPE: usize = 1;

impl ScopePool {
    pub(crate) fn new(owner: Option<Weak<dyn Owner>>) -> Self {
        let stock = UNUSED.lock().pop().unwrap_or_else(|| {
            sys::prepare_fences();
            let roster = Box::leak(Box::new(Roster::new()));
            let root = Box::leak(Box::new(Scope::new(roster, SHARDS, LISTS)));
            Self { roster, root, scopes: Vec::new(), shards: None }
        });
        stock.roster.belongs_to(owner);
        stock
    }

    pub(crate) fn root(&self) -> &'static Scope {
        self.root
    }

    pub(crate) fn roster(&self) -> &'static ScopeRoster {
        self.roster
    }

    pub(crate) fn take(&mut self) -> &'static Scope {
        let Self { roster, scopes, shards, .. } = self;
        let ask = || thread::available_parallelism().map_or(1, usize::from).min(SHARDS / 2) * 2;
        let make = || {
            let shards = *shards.get_or_insert_with(ask);
            &*Box::leak(Box::new(Scope::new(roster, shards, LISTS_OF_A_SCOPE)))
        };
        scopes.pop().unwrap_or_else(make)
    }

    /// Takes scopes back, which are as good as new.
    pub(crate) fn give_back(&mut self, scopes: Vec<&'static Scope>) {
        self.scopes.extend(scopes);
    }

    /// The program is gone; these are the scopes that were still in use. What is held of it was left behind, and keeps all of this from being used again.
    pub(crate) fn retire(&mut self, in_use: Vec<&'static Scope>) {
        self.roster.belongs_to(None);
        self.roster.clock.stop();
        let all = in_use.iter().chain([&self.root]);
        all.clone().for_each(|scope| scope.in_flight.set(mode::SHUT));
        if all.clone().any(|scope| scope.in_flight.count() > 0) {
            return;
        }
        all.for_each(|scope| scope.clear());
        let mut scopes = mem::take(&mut self.scopes);
        scopes.extend(in_use);
        let Self { roster, root, shards, .. } = *self;
        UNUSED.lock().push(Self { roster, root, scopes, shards });
    }
}
