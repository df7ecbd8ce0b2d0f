//! Scopes that are used again, together with the roster that the scopes of one program share.

use std::{mem, sync::Weak, thread};

use crate::{
    os::{mutex::Mutex, sys},
    sync::in_flight::{SHARDS, mode},
    tracking::{
        roster::Roster,
        scope::{Owner, Scope, ScopeRoster},
    },
};

/// The scopes of one program: the root, which is the program itself, and unused scopes.
///
/// They live as long as the process. Another program uses them again once nothing of the last one is in flight.
#[derive(Debug)]
pub(crate) struct ScopePool {
    roster: &'static ScopeRoster,
    root: &'static Scope,
    unused: Vec<&'static Scope>,
    /// The number of shards of a scope, twice the number of threads that can run at once. Computed for the first scope, because asking the system takes
    /// longer than everything else that making a scope takes.
    shards: Option<usize>,
}

/// The pools of programs that have ended.
static UNUSED: Mutex<Vec<ScopePool>> = Mutex::new(Vec::new());

/// The number of lists for the tasks that wait for the request of the program: at least the cores of nearly all machines.
const LISTS_OF_ROOT: usize = 16;

/// The same for any other scope, of which there may be thousands.
const LISTS_OF_SCOPE: usize = 1;

impl ScopePool {
    /// Takes the pool of a program that has ended, or makes one.
    pub(crate) fn new(owner: Option<Weak<dyn Owner>>) -> Self {
        let pool = UNUSED.lock().pop().unwrap_or_else(|| {
            sys::prepare_fences();
            let roster = Box::leak(Box::new(Roster::new()));
            let root = Box::leak(Box::new(Scope::new(roster, SHARDS, LISTS_OF_ROOT)));
            Self { roster, root, unused: Vec::new(), shards: None }
        });
        pool.roster.set_owner(owner);
        pool
    }

    pub(crate) fn root(&self) -> &'static Scope {
        self.root
    }

    pub(crate) fn roster(&self) -> &'static ScopeRoster {
        self.roster
    }

    /// Takes an unused scope, or makes one.
    pub(crate) fn take(&mut self) -> &'static Scope {
        let Self { roster, unused, shards, .. } = self;
        let ask = || thread::available_parallelism().map_or(1, usize::from).min(SHARDS / 2) * 2;
        let make = || {
            let shards = *shards.get_or_insert_with(ask);
            &*Box::leak(Box::new(Scope::new(roster, shards, LISTS_OF_SCOPE)))
        };
        unused.pop().unwrap_or_else(make)
    }

    /// Gives scopes back, which were cleared.
    pub(crate) fn give_back(&mut self, scopes: Vec<&'static Scope>) {
        self.unused.extend(scopes);
    }

    /// The program is gone; `in_use` are the scopes that it had not removed. Work that is still in flight was left behind, and then nothing is used again.
    pub(crate) fn retire(&mut self, in_use: Vec<&'static Scope>) {
        self.roster.set_owner(None);
        self.roster.clock.stop();
        let all = in_use.iter().chain([&self.root]);
        all.clone().for_each(|scope| scope.in_flight.set(mode::SHUT));
        if all.clone().any(|scope| scope.in_flight.count() > 0) {
            return;
        }
        all.for_each(|scope| scope.clear());
        let mut unused = mem::take(&mut self.unused);
        unused.extend(in_use);
        let Self { roster, root, shards, .. } = *self;
        UNUSED.lock().push(Self { roster, root, unused, shards });
    }
}
