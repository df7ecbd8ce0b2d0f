//! The registry of what is tracked: the one place where work is let in, found, and ended from outside.
//!
//! What is in flight is counted by [`crate::sync::in_flight`], each scope for itself, and written down by [`crate::tracking::task_table`] and [`crate::tracking::guard_slots`].
//! Here are the order of the scopes, and what a force and the end of the drain do with all of them.
//!
//! Locks are never held while user code runs: wakers, drops and aborts come after them. They are taken in this order, where one is held while another is
//! taken: `scopes`, a chunk of notes, `tally`.
//!
//! # Invariants
//!
//! 1. Work is noted before it is counted, and both until its [`Work`] is dropped, on whatever thread and for whatever reason. So whoever
//!    finds it counted finds it noted.
//! 2. Once closed, nothing is let in; it closes at most once, at the begin of finalization.
//! 3. Work that ends unfinished after a force, or is left behind, becomes a straggler exactly once; the rest of the books is in [`crate::tracking::drain_tally`].
//! 4. A task that waits in a shield, or has had its value and has not yet reached its next await, is not aborted.

use std::{
    cmp::Reverse,
    panic::Location,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    model::report::{Kind, Straggler},
    os::mutex::Mutex,
    sync::in_flight::mode,
    tracking::{
        drain_tally::{DrainTally, Oldest},
        label::{Abort, Label},
        listener::Listener,
        scope::{GuardSlot, Origin, Owner, Scope, ScopeRoster, thread},
        scope_id::ScopeId,
        scope_pool::ScopePool,
        scope_tree::{ScopeTree, wakeups::Wakeups},
        task_table::{EntryId, EntryMut},
        work::{Key, Work},
    },
};

#[derive(Debug)]
pub(crate) struct Tracker {
    root: &'static Scope,
    roster: &'static ScopeRoster,
    scopes: Mutex<ScopeTree>,
    /// How many were cut, will end by that, and have not ended yet. Counted by those that end, of which there may be a million.
    aborting: AtomicUsize,
    /// How many shields there are, and how many pieces of work wait in one: mostly none, and then nobody has to look for them.
    shields: AtomicUsize,
    tally: Mutex<DrainTally>,
    is_clock_real: bool,
    /// The clock of the guards is to tick.
    clock_is_wound: AtomicBool,
    listener: Weak<dyn Listener>,
    /// Wakes the driver when the last piece of work of a drain has ended, or one that a force waits for.
    changed: Arc<Notify>,
}

/// How much is left for the end of a force to wait for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Awaited {
    /// Shields, and what waits in them.
    pub(crate) shielded: usize,
    /// What was aborted and is not gone yet.
    pub(crate) aborting: usize,
}

/// Letting in.
impl Tracker {
    /// `is_clock_real`: whether the clock of the guards may tick by a timer of the driver, which would move a paused clock on.
    pub(crate) fn new(
        listener: Weak<dyn Listener>,
        is_clock_real: bool,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|tasks: &Weak<Self>| {
            let owner: Weak<dyn Owner> = tasks.clone();
            let stock = ScopePool::new(Some(owner));
            Self {
                root: stock.root(),
                roster: stock.roster(),
                scopes: Mutex::new(ScopeTree::new(stock)),
                aborting: AtomicUsize::new(0),
                shields: AtomicUsize::new(0),
                tally: Mutex::default(),
                is_clock_real,
                clock_is_wound: AtomicBool::new(false),
                listener,
                changed,
            }
        })
    }

    /// The scope that is the program itself.
    pub(crate) fn root(&self) -> &'static Scope {
        self.root
    }

    /// Lets work in that belongs to running work; refused once finalization has begun, and the label comes back.
    pub(crate) fn enter(&self, scope: &'static Scope, label: Label) -> Result<Work, Label> {
        let kind = label.kind;
        if scope.in_flight.is(mode::SHUT) && self.scopes.lock().closed {
            return Err(label);
        }
        let note = scope.note(label);
        if kind == Kind::Shield {
            self.count_shield();
        }
        let is_in = if kind.is_main() {
            self.scopes.lock().main_begins()
        } else {
            scope.enter(Origin::Inside)
        };
        if !is_in {
            let label = note.label();
            scope.set_abort(note, Abort::Impossible);
            // The end of the drain may have found the note.
            scope.end_note(note, |seen, ended| {
                if ended.was_left {
                    self.tally.lock().take_back(label.location, seen.since());
                }
            });
            if kind == Kind::Shield {
                self.discount_shield();
            }
            return Err(label);
        }
        Ok(Work::new(scope, note, kind))
    }

    fn count_shield(&self) {
        // Relaxed: ordered by the entry of the work, which comes after it.
        self.shields.fetch_add(1, Ordering::Relaxed);
    }

    fn discount_shield(&self) {
        // Relaxed: as above.
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

    /// Tells what follows, with the lock free.
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

    /// Lets `scope` come after another.
    pub(crate) fn order(&self, scope: &Scope, after: &Scope) -> Result<(), (String, String)> {
        let (scope, after) = (scope.id(), after.id());
        let wakeups = self.scopes.lock().after(scope, after)?;
        self.send(wakeups);
        Ok(())
    }

    /// Opens the books: what has ended so far is not of this drain.
    pub(crate) fn begin_drain(&self) {
        let scopes = self.scopes.lock();
        let mut tally = self.tally.lock();
        tally.begin(scopes.ended());
    }

    /// Tells a scope to stop: nothing from outside is let into it any more.
    pub(crate) fn request(&self, scope: ScopeId) {
        let wakeups = self.scopes.lock().request(scope);
        self.send(wakeups);
        self.changed.notify_one();
    }

    pub(crate) fn in_flight(&self, scope: &Scope) -> usize {
        let scope = scope.id();
        self.scopes.lock().count(scope)
    }

    pub(crate) fn is_drained(&self, scope: &Scope) -> bool {
        let scope = scope.id();
        self.scopes.lock().is_drained(scope)
    }

    pub(crate) fn changes(&self, scope: &Scope) -> tokio::sync::watch::Receiver<()> {
        let scope = scope.id();
        self.scopes.lock().changes(scope)
    }

    /// Whether `init` or `main` has not ended.
    pub(crate) fn main_runs(&self) -> bool {
        self.scopes.lock().main_runs
    }

    /// How much work there is, `main` included.
    pub(crate) fn count(&self) -> usize {
        let scopes = self.scopes.lock();
        scopes.count(ScopeId::PROGRAM) + usize::from(scopes.main_runs)
    }

    /// The token of a scope, which is cancelled when it is told to stop.
    pub(crate) fn token(&self, scope: &Scope) -> CancellationToken {
        self.scopes.lock().token(scope.id())
    }

    /// Whether the clock of the guards is to tick.
    pub(crate) fn is_clock_wound(&self) -> bool {
        // Relaxed: the wake-up orders it.
        self.clock_is_wound.load(Ordering::Relaxed)
    }

    /// Lets the clock of the guards tick; gives how many have entered so far.
    pub(crate) fn tick(&self) -> usize {
        self.roster.clock.tick();
        self.scopes.lock().entered()
    }

    pub(crate) fn stop_clock(&self) {
        self.roster.clock.stop();
        // Relaxed: as above.
        self.clock_is_wound.store(false, Ordering::Relaxed);
    }
}

/// The end of the drain.
impl Tracker {
    /// Closes for good if the drain has nothing left.
    pub(crate) fn close_if_drained(&self) -> bool {
        self.scopes.lock().close_if_drained()
    }

    /// Closes for good and leaves behind what is left.
    pub(crate) fn close(&self) {
        self.scopes.lock().close();
        self.roster.tasks.each(|seen| {
            seen.leave();
            self.tally.lock().add(seen.label(), seen.since(), true);
            None
        });
        let mut tally = self.tally.lock();
        self.roster.guards.each(|slot| {
            if let Some((place, since)) = slot.claim() {
                tally.add(guard_at(place), since, true);
            }
        });
    }

    /// Aborts whatever of a scope can be, except what a shield holds; of the program's, everything.
    pub(crate) fn force(&self, scope: &Scope) {
        let is_whole = scope.id() == ScopeId::PROGRAM;
        let by_stop = if self.tally.lock().has_begun() { mode::BY_STOP } else { 0 };
        // Work that is noted from here on sees it.
        let scopes = self.scopes.lock().force(scope.id(), mode::FORCED | by_stop);
        if scopes.is_empty() {
            return;
        }
        self.roster.tasks.each(|seen| {
            if is_whole || scopes.contains(&seen.scope()) { self.cut(seen) } else { None }
        });
    }

    /// Aborts what is still shielded: the time for it has passed.
    pub(crate) fn force_shields(&self) {
        self.roster.tasks.each(|seen| self.cut_for_good(seen));
    }

    /// Marks a piece of work as cut and says how to end it, unless a shield holds it or it was done.
    fn cut(&self, seen: &mut EntryMut<'_>) -> Option<Abort> {
        if seen.is_shielded() { None } else { self.cut_for_good(seen) }
    }

    fn cut_for_good(&self, seen: &mut EntryMut<'_>) -> Option<Abort> {
        if self.mark_cut(seen) { seen.abort() } else { None }
    }

    /// From here on a force waits for the end of the work. Returns whether that is new.
    fn mark_cut(&self, seen: &mut EntryMut<'_>) -> bool {
        let is_new = seen.cut();
        if is_new && ends_when_aborted(seen.kind()) {
            // AcqRel: before the abort that this leads to, and so before the one is taken off.
            self.aborting.fetch_add(1, Ordering::AcqRel);
        }
        is_new
    }

    pub(crate) fn awaited(&self) -> Awaited {
        let mut shielded = 0;
        // Relaxed: what changes it wakes the driver, which looks again.
        if self.shields.load(Ordering::Relaxed) > 0 {
            self.roster.tasks.each(|seen| {
                shielded += usize::from(!seen.is_cut() && seen.is_shielded());
                None
            });
        }
        // Acquire: pairs with the AcqRel in `ended_specially`.
        Awaited { shielded, aborting: self.aborting.load(Ordering::Acquire) }
    }

    /// How many pieces of work have ended by themselves, once the drain is over.
    pub(crate) fn drained(&self) -> u64 {
        let entered = self.scopes.lock().entered();
        self.tally.lock().drained(entered)
    }

    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        let mut stragglers = self.tally.lock().stragglers();
        stragglers.sort_by_key(|fallen| Reverse(fallen.age()));
        stragglers.iter().map(|fallen| fallen.label.straggler(fallen.age())).collect()
    }

    /// Whether a straggler counts for the exit status.
    pub(crate) fn is_forced(&self) -> bool {
        self.tally.lock().is_forced()
    }

    /// What is in flight now, the oldest first, at most so many.
    pub(crate) fn running(&self, most: usize) -> Vec<Straggler> {
        let mut oldest = Oldest::new(most);
        self.roster.tasks.each(|seen| {
            oldest.add(seen.since(), || seen.label());
            None
        });
        self.roster.guards.each(|slot| {
            if let Some((place, since)) = slot.read() {
                oldest.add(since, || guard_at(place));
            }
        });
        oldest.finish()
    }
}

fn guard_at(location: &'static Location<'static>) -> Label {
    Label { kind: Kind::Guard, name: None, location }
}

/// By its kind, because the handle that aborts it may be on its way.
fn ends_when_aborted(kind: Kind) -> bool {
    !matches!(kind, Kind::Blocking | Kind::Thread | Kind::Guard | Kind::Future)
}

/// Shields, and work that a force meets late.
impl Tracker {
    /// Work that is out of its shield after the force: it is waited for, and aborted at its next await if it comes to one.
    fn expect_end(&self, note: EntryId) {
        self.see_late(note, |seen| self.mark_cut(seen));
        self.changed.notify_one();
    }

    /// The work begins to wait in one more shield.
    pub(crate) fn shield(&self, key: Key) {
        key.note.shield();
        self.count_shield();
    }

    /// The work waits in one shield less; a force aborts it later, by [`Key::unshielded`].
    pub(crate) fn unshield(&self, key: Key) {
        key.note.unshield();
        if key.is_forced() {
            self.expect_end(key.note);
        }
        self.discount_shield();
    }

    /// Shows work to which a force has yet to come; not what is shielded, nor what has been left behind.
    fn see_late<R>(&self, note: EntryId, f: impl FnOnce(&mut EntryMut<'_>) -> R) -> Option<R> {
        // Whoever closes holds this lock first.
        let scopes = self.scopes.lock();
        let show = |seen: &mut EntryMut<'_>| (!seen.is_shielded()).then(|| f(seen));
        if scopes.closed { None } else { note.see(show).flatten() }
    }
}

impl Owner for Tracker {
    fn emptied(&self, scope: ScopeId) {
        let wakeups = self.scopes.lock().emptied(scope);
        self.send(wakeups);
        self.changed.notify_one();
    }

    fn enter_late(&self, scope: &Scope, origin: Origin) -> bool {
        // Whoever tries to close holds this lock, so it is known now whether it did.
        let scopes = self.scopes.lock();
        let refused = origin == Origin::Outside && scope.in_flight.is(mode::REQUESTED);
        !scopes.closed && !refused && scope.in_flight.enter(usize::MAX, 0).is_ok()
    }

    fn guard_was_refused(&self, place: &'static Location<'static>, since: usize) {
        self.tally.lock().take_back(place, since);
    }

    fn end_guard_as_straggler(&self, scope: &Scope, slot: &'static GuardSlot) -> bool {
        // Claimed under the lock, as by who leaves it behind.
        let mut tally = self.tally.lock();
        if let Some((place, since)) = slot.claim() {
            tally.add(guard_at(place), since, scope.in_flight.is(mode::BY_STOP));
        }
        scope.in_flight.exit(thread())
    }

    fn wind_clock(&self) {
        // Relaxed: the wake-up orders it.
        if self.is_clock_real && !self.clock_is_wound.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    fn end_as_straggler(&self, scope: &Scope, label: Label, since: usize) -> bool {
        let is_main = label.kind.is_main();
        let mut tally = self.tally.lock();
        tally.add(label, since, scope.in_flight.is(mode::BY_STOP));
        !is_main && scope.in_flight.exit(thread())
    }

    fn cut_late(&self, note: EntryId) {
        let abort = self.see_late(note, |seen| {
            self.mark_cut(seen);
            seen.abort()
        });
        if let Some(abort) = abort.flatten() {
            abort.abort();
        }
        self.changed.notify_one();
    }

    #[cold]
    fn ended_specially(&self, kind: Kind, was_cut: bool) {
        if kind == Kind::Shield {
            self.discount_shield();
        }
        // Before a force hears that nothing is left to wait for: a main thread that runs on after that is taken for stuck.
        if kind.is_main() {
            let wakeups = self.scopes.lock().main_ended();
            self.send(wakeups);
            self.changed.notify_one();
        }
        // AcqRel: the last of a million wakes the driver, which sees the others.
        if was_cut && ends_when_aborted(kind) && self.aborting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.changed.notify_one();
        }
    }

    fn ended_during_force(&self) {
        self.changed.notify_one();
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.listener.upgrade()
    }
}
