//! The tracker of one program: it admits work, finds it, and ends it from outside.
//!
//! Each scope counts its work in an [`InFlight`](crate::sync::in_flight::InFlight); the [task table](crate::tracking::task_table) and the
//! [guard slots](crate::tracking::guard_slots) hold the name and age of each piece. The tracker adds the order of the scopes, and does what a force and the
//! end of the drain do to all of them.
//!
//! User code (wakers, drops, aborts) never runs under a lock. A thread that holds one of these locks takes only later ones: `scopes`, a chunk of the
//! task table, `tally`.
//!
//! # Invariants
//!
//! 1. Work is in the task table before it is counted, and leaves both when its [`Work`] is ended or dropped, on any thread and for any reason. So counted
//!    work is listed until it ends.
//! 2. Once closed, the tracker admits no work. It closes at most once, when finalization begins.
//! 3. Work that ends unfinished after a force, or that is left behind, becomes a straggler exactly once. The
//!    [tally](crate::tracking::drain_tally) states the other rules of the count.
//! 4. A task is not aborted while it waits in a shield, nor after the shield has returned its value and before the task's next `.await`.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    model::report::Kind,
    os::mutex::Mutex,
    sync::in_flight::mode,
    tracking::{
        drain_tally::DrainTally,
        label::{Abort, Label},
        listener::Listener,
        scope::{Origin, Owner, Scope, ScopeRoster},
        scope_id::ScopeId,
        scope_pool::ScopePool,
        scope_tree::{ScopeTree, wakeups::Wakeups},
        work::Work,
    },
};

mod drain_end;
mod force;
mod owner;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Tracker {
    root: &'static Scope,
    roster: &'static ScopeRoster,
    scopes: Mutex<ScopeTree>,
    /// The number of aborted pieces that have not ended yet, without those that an abort cannot end. A counter, because a million of them may end at once.
    aborting: AtomicUsize,
    /// How many shields are in flight, plus how many pieces of work wait in one. While it is 0, no thread has to search for them.
    shields: AtomicUsize,
    tally: Mutex<DrainTally>,
    is_clock_real: bool,
    /// The driver is to tick the clock of the guards.
    clock_is_wound: AtomicBool,
    /// Handles may cross a caught panic: no panic leaves anything half changed, because no user code runs under a lock.
    listener: AssertUnwindSafe<Weak<dyn Listener>>,
    /// Wakes the driver when the last piece of work of a drain has ended, or a piece that a force waits for.
    changed: Arc<Notify>,
}

/// Admission.
impl Tracker {
    /// Makes the tracker of a program. `is_clock_real` says whether a timer of the driver may tick the clock of the guards; such a timer would advance a
    /// paused clock.
    pub(crate) fn new(
        listener: Weak<dyn Listener>,
        is_clock_real: bool,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|tracker: &Weak<Self>| {
            let owner: Weak<dyn Owner> = tracker.clone();
            let pool = ScopePool::new(Some(owner));
            Self {
                root: pool.root(),
                roster: pool.roster(),
                scopes: Mutex::new(ScopeTree::new(pool)),
                aborting: AtomicUsize::new(0),
                shields: AtomicUsize::new(0),
                tally: Mutex::default(),
                is_clock_real,
                clock_is_wound: AtomicBool::new(false),
                listener: AssertUnwindSafe(listener),
                changed,
            }
        })
    }

    /// The scope that is the program itself.
    pub(crate) fn root(&self) -> &'static Scope {
        self.root
    }

    /// Admits work that belongs to running work.
    ///
    /// # Errors
    ///
    /// Returns the label if finalization has begun.
    pub(crate) fn enter(&self, scope: &'static Scope, label: Label) -> Result<Work, Label> {
        let kind = label.kind;
        if scope.in_flight.is(mode::SHUT) && self.scopes.lock().closed {
            return Err(label);
        }
        // Invariant 1: the entry comes first.
        let work = scope.add_entry(label);
        if kind == Kind::Shield {
            self.count_shield();
        }
        let is_admitted = if kind.is_main() {
            self.scopes.lock().main_begins()
        } else {
            scope.enter(Origin::Inside)
        };
        if is_admitted {
            return Ok(Work::new(scope, work, kind));
        }
        let label = work.label();
        scope.set_abort(work, Abort::Impossible);
        scope.end_entry(work, |entry, ended| {
            // If the end of the drain has listed the entry as a straggler, that is undone: the work was refused.
            if ended.was_left_behind {
                self.tally.lock().remove(label.location, entry.since());
            }
        });
        if kind == Kind::Shield {
            self.discount_shield();
        }
        Err(label)
    }

    fn count_shield(&self) {
        // Relaxed: the `enter` of the work, which follows, orders it.
        self.shields.fetch_add(1, Ordering::Relaxed);
    }

    fn discount_shield(&self) {
        // Relaxed: the wake-up of the driver, which follows, orders it.
        self.shields.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The scopes and their order.
impl Tracker {
    /// Adds a scope below `parent`.
    pub(crate) fn add_scope(&self, name: String, parent: &Scope) -> &'static Scope {
        let (scope, wakeups) = self.scopes.lock().add(name, parent.id());
        self.send(wakeups);
        scope
    }

    /// Sends wake-ups; the caller has released the lock of the scopes.
    fn send(&self, wakeups: Wakeups) {
        let removed = wakeups.send();
        if !removed.is_empty() {
            self.scopes.lock().reuse(removed);
        }
    }

    /// The last handle of a scope is gone.
    pub(crate) fn let_go(&self, scope: &Scope) {
        let wakeups = self.scopes.lock().handles_gone(scope.id());
        self.send(wakeups);
    }

    /// Makes `scope` drain after another.
    ///
    /// # Errors
    ///
    /// Returns the names of both if the order would have a cycle.
    pub(crate) fn order(&self, scope: &Scope, after: &Scope) -> Result<(), (String, String)> {
        let (scope, after) = (scope.id(), after.id());
        let wakeups = self.scopes.lock().after(scope, after)?;
        self.send(wakeups);
        Ok(())
    }

    /// Asks a scope to stop: it admits no more work from outside.
    pub(crate) fn request(&self, scope: ScopeId) {
        let wakeups = self.scopes.lock().request(scope);
        self.send(wakeups);
        self.changed.notify_one();
    }

    /// How many pieces of work are in a scope and below it.
    pub(crate) fn in_flight(&self, scope: &Scope) -> usize {
        let scope = scope.id();
        self.scopes.lock().count(scope)
    }

    pub(crate) fn is_drained(&self, scope: &Scope) -> bool {
        let scope = scope.id();
        self.scopes.lock().is_drained(scope)
    }

    /// A receiver that is notified when the scope drains.
    pub(crate) fn changes(&self, scope: &Scope) -> watch::Receiver<()> {
        let scope = scope.id();
        self.scopes.lock().changes(scope)
    }

    /// Whether `init` or `main` is running.
    pub(crate) fn main_runs(&self) -> bool {
        self.scopes.lock().main_runs
    }

    /// How many pieces of work are in flight, `main` included.
    pub(crate) fn count(&self) -> usize {
        let scopes = self.scopes.lock();
        scopes.count(ScopeId::PROGRAM) + usize::from(scopes.main_runs)
    }

    /// The token of a scope, which is cancelled when the scope is asked to stop.
    pub(crate) fn token(&self, scope: &Scope) -> CancellationToken {
        self.scopes.lock().token(scope.id())
    }
}

/// The clock of the guards.
impl Tracker {
    /// Whether the driver is to tick the clock.
    pub(crate) fn is_clock_wound(&self) -> bool {
        // Relaxed: the wake-up of the driver orders it.
        self.clock_is_wound.load(Ordering::Relaxed)
    }

    /// Ticks the clock. Returns how many pieces of work have ever been admitted.
    pub(crate) fn tick(&self) -> usize {
        self.roster.clock.tick();
        self.scopes.lock().entered()
    }

    pub(crate) fn stop_clock(&self) {
        self.roster.clock.stop();
        // Relaxed: the driver, which calls this, is the only reader.
        self.clock_is_wound.store(false, Ordering::Relaxed);
    }
}
