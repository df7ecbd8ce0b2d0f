//! The registry of what is tracked: the one place where work is let in, found, and ended from outside.
//!
//! What is in flight is counted by [`crate::in_flight`], each part for itself, and written down by [`crate::records`] and [`crate::places`].
//! Here are the order of the parts, and what a force and the end of the drain do with all of them.
//!
//! Locks are never held while user code runs: wakers, drops and aborts come after them. They are taken in this order, where one is held while another is
//! taken: `parts`, a chunk of notes, `toll`.
//!
//! # Invariants
//!
//! 1. Work is noted before it is counted, and both until its [`Work`] is dropped, on whatever thread and for whatever reason. So whoever
//!    finds it counted finds it noted.
//! 2. Once closed, nothing is let in; it closes at most once, at the begin of finalization.
//! 3. Work that ends unfinished after a force, or is left behind, becomes a straggler exactly once; the rest of the books is in [`crate::toll`].
//! 4. A task that waits in a shield, or has had its value and has not yet reached its next await, is not aborted.

use std::{
    cmp::Reverse,
    mem,
    panic::Location,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    in_flight::mode,
    label::{Abort, Label},
    lock::Mutex,
    part::{Origin, Part, thread},
    part_id::PartId,
    parts::{News, Parts},
    parts_stock::PartsStock,
    places::Slot,
    program::Program,
    records::{Note, Seen},
    report::{Kind, Straggler},
    roster::Roster,
    toll::{Oldest, Toll},
    work::is_being_aborted,
};

#[derive(Debug)]
pub(crate) struct Tasks {
    root: &'static Part,
    roster: &'static Roster,
    parts: Mutex<Parts>,
    /// How many were cut, will end by that, and have not ended yet. Counted by those that end, of which there may be a million.
    aborting: AtomicUsize,
    /// How many shields there are, and how many pieces of work wait in one: mostly none, and then nobody has to look for them.
    shields: AtomicUsize,
    toll: Mutex<Toll>,
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

/// A piece of work in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Work {
    key: Key,
    kind: Kind,
}

/// Which piece of work it is; good also after its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    part: &'static Part,
    note: Note,
}

/// Letting in.
impl Tasks {
    pub(crate) fn new(program: &Weak<Program>, changed: Arc<Notify>) -> Self {
        let stock = PartsStock::new(program.clone());
        Self {
            root: stock.root(),
            roster: stock.roster(),
            parts: Mutex::new(Parts::new(stock)),
            aborting: AtomicUsize::new(0),
            shields: AtomicUsize::new(0),
            toll: Mutex::default(),
            changed,
        }
    }

    /// The part that is the program itself.
    pub(crate) fn root(&self) -> &'static Part {
        self.root
    }

    /// Lets work in that belongs to running work; refused once finalization has begun, and the label comes back.
    pub(crate) fn enter(&self, part: &'static Part, label: Label) -> Result<Work, Label> {
        let kind = label.kind;
        if part.in_flight.is(mode::SHUT) && self.parts.lock().closed {
            return Err(label);
        }
        let note = part.note(label);
        if kind == Kind::Shield {
            self.count_shield();
        }
        let is_in = if kind.is_main() {
            self.parts.lock().main_begins()
        } else {
            part.enter(Origin::Inside)
        };
        if !is_in {
            let label = note.label();
            part.settle(note, Abort::Impossible);
            // The end of the drain may have found the note.
            part.end_note(note, |seen, ended| {
                if ended.was_left {
                    self.toll.lock().take_back(label.location, seen.since());
                }
            });
            if kind == Kind::Shield {
                self.discount_shield();
            }
            return Err(label);
        }
        Ok(Work { key: Key { part, note }, kind })
    }

    /// Decides about work that came upon the end of the drain.
    pub(crate) fn enter_late(&self, part: &Part, origin: Origin) -> bool {
        // Whoever tries to close holds this lock, so it is known now whether it did.
        let parts = self.parts.lock();
        let refused = origin == Origin::Outside && part.in_flight.is(mode::TOLD);
        !parts.closed && !refused && part.in_flight.enter(usize::MAX, 0).is_ok()
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

/// The parts and their order.
impl Tasks {
    /// Adds a part below `parent`.
    pub(crate) fn add_part(&self, name: String, parent: &Part) -> &'static Part {
        let (part, news) = self.parts.lock().add(name, parent.id());
        self.tell(news);
        part
    }

    /// Tells what follows, with the lock free.
    fn tell(&self, news: News) {
        let gone = news.tell();
        if !gone.is_empty() {
            self.parts.lock().give_back(gone);
        }
    }

    /// The last handle of a part is gone.
    pub(crate) fn let_go(&self, part: &Part) {
        let news = self.parts.lock().let_go(part.id());
        self.tell(news);
    }

    /// Lets `part` come after another.
    pub(crate) fn order(&self, part: &Part, after: &Part) -> Result<(), (String, String)> {
        let (part, after) = (part.id(), after.id());
        let news = self.parts.lock().after(part, after)?;
        self.tell(news);
        Ok(())
    }

    /// Opens the books: what has ended so far is not of this drain.
    pub(crate) fn begin_drain(&self) {
        let parts = self.parts.lock();
        let mut toll = self.toll.lock();
        toll.begin(parts.ended());
    }

    /// Tells a part to stop: nothing from outside is let into it any more.
    pub(crate) fn request(&self, part: PartId) {
        let news = self.parts.lock().request(part);
        self.tell(news);
        self.changed.notify_one();
    }

    /// The last piece of work of a part has ended.
    pub(crate) fn emptied(&self, part: PartId) {
        let news = self.parts.lock().emptied(part);
        self.tell(news);
        self.changed.notify_one();
    }

    pub(crate) fn in_flight(&self, part: &Part) -> usize {
        let part = part.id();
        self.parts.lock().count(part)
    }

    pub(crate) fn is_drained(&self, part: &Part) -> bool {
        let part = part.id();
        self.parts.lock().is_drained(part)
    }

    pub(crate) fn changes(&self, part: &Part) -> tokio::sync::watch::Receiver<()> {
        let part = part.id();
        self.parts.lock().changes(part)
    }

    /// Whether `init` or `main` has not ended.
    pub(crate) fn main_runs(&self) -> bool {
        self.parts.lock().main_runs
    }

    /// How much work there is, `main` included.
    pub(crate) fn count(&self) -> usize {
        let parts = self.parts.lock();
        parts.count(PartId::PROGRAM) + usize::from(parts.main_runs)
    }

    /// The token of a part, which is cancelled when it is told to stop.
    pub(crate) fn token(&self, part: &Part) -> CancellationToken {
        self.parts.lock().token(part.id())
    }

    /// Lets the clock of the guards tick; gives how many have entered so far.
    pub(crate) fn tick(&self) -> usize {
        self.roster.clock.tick();
        self.parts.lock().entered()
    }

    pub(crate) fn stop_clock(&self) {
        self.roster.clock.stop();
    }
}

/// The end of the drain.
impl Tasks {
    /// Closes for good if the drain has nothing left.
    pub(crate) fn close_if_drained(&self) -> bool {
        self.parts.lock().close_if_drained()
    }

    /// Closes for good and leaves behind what is left.
    pub(crate) fn close(&self) {
        self.parts.lock().close();
        self.roster.records.each(|seen| {
            seen.leave();
            self.toll.lock().fall(seen.label(), seen.since(), true);
            None
        });
        let mut toll = self.toll.lock();
        self.roster.places.each(|slot| {
            if let Some((place, since)) = slot.claim() {
                toll.fall(guard_at(place), since, true);
            }
        });
    }

    /// Aborts whatever of a part can be, except what a shield holds; of the program's, everything.
    pub(crate) fn force(&self, part: &Part) {
        let is_whole = part.id() == PartId::PROGRAM;
        let by_stop = if self.toll.lock().has_begun() { mode::BY_STOP } else { 0 };
        // Work that is noted from here on sees it.
        let parts = self.parts.lock().force(part.id(), mode::FORCED | by_stop);
        if parts.is_empty() {
            return;
        }
        self.roster.records.each(|seen| {
            if is_whole || parts.contains(&seen.part()) { self.cut(seen) } else { None }
        });
    }

    /// Aborts what is still shielded: the time for it has passed.
    pub(crate) fn force_shields(&self) {
        self.roster.records.each(|seen| self.cut_for_good(seen));
    }

    /// Marks a piece of work as cut and says how to end it, unless a shield holds it or it was done.
    fn cut(&self, seen: &mut Seen<'_>) -> Option<Abort> {
        if seen.is_shielded() { None } else { self.cut_for_good(seen) }
    }

    fn cut_for_good(&self, seen: &mut Seen<'_>) -> Option<Abort> {
        if self.mark_cut(seen) { seen.abort() } else { None }
    }

    /// From here on a force waits for the end of the work. Returns whether that is new.
    fn mark_cut(&self, seen: &mut Seen<'_>) -> bool {
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
            self.roster.records.each(|seen| {
                shielded += usize::from(!seen.is_cut() && seen.is_shielded());
                None
            });
        }
        // Acquire: pairs with the AcqRel in `ended_specially`.
        Awaited { shielded, aborting: self.aborting.load(Ordering::Acquire) }
    }

    /// How many pieces of work have ended by themselves, once the drain is over.
    pub(crate) fn drained(&self) -> u64 {
        let entered = self.parts.lock().entered();
        self.toll.lock().drained(entered)
    }

    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        let mut stragglers = self.toll.lock().stragglers();
        stragglers.sort_by_key(|fallen| Reverse(fallen.age()));
        stragglers.iter().map(|fallen| fallen.label.straggler(fallen.age())).collect()
    }

    /// Whether a straggler counts for the exit status.
    pub(crate) fn is_forced(&self) -> bool {
        self.toll.lock().is_forced()
    }

    /// What is in flight now, the oldest first, at most so many.
    pub(crate) fn running(&self, most: usize) -> Vec<Straggler> {
        let mut oldest = Oldest::new(most);
        self.roster.records.each(|seen| {
            oldest.add(seen.since(), || seen.label());
            None
        });
        self.roster.places.each(|slot| {
            if let Some((place, since)) = slot.read() {
                oldest.add(since, || guard_at(place));
            }
        });
        oldest.finish()
    }

    /// A guard was dropped together with aborted work and cut with it, unless it was left behind. Returns whether it was the last.
    pub(crate) fn guard_fell(&self, part: &Part, slot: &'static Slot) -> bool {
        // Claimed under the lock, as by who leaves it behind.
        let mut toll = self.toll.lock();
        if let Some((place, since)) = slot.claim() {
            toll.fall(guard_at(place), since, part.in_flight.is(mode::BY_STOP));
        }
        part.in_flight.exit(thread())
    }

    /// A guard was refused, after the end of the drain had found it.
    pub(crate) fn guard_was_refused(&self, place: &'static Location<'static>, since: usize) {
        self.toll.lock().take_back(place, since);
    }

    /// Work ends unfinished after a force. Returns whether it was the last.
    fn fall(&self, part: &Part, label: Label, since: usize) -> bool {
        let is_main = label.kind.is_main();
        let mut toll = self.toll.lock();
        toll.fall(label, since, part.in_flight.is(mode::BY_STOP));
        !is_main && part.in_flight.exit(thread())
    }
}

fn guard_at(location: &'static Location<'static>) -> Label {
    Label { kind: Kind::Guard, name: None, location }
}

/// By its kind, because the handle that aborts it may be on its way.
fn ends_when_aborted(kind: Kind) -> bool {
    !matches!(kind, Kind::Blocking | Kind::Thread | Kind::Guard | Kind::Future)
}

/// One piece of work, from its begin to its end.
impl Tasks {
    /// Work that began after the force, or is out of its shield and has gone on to its next await.
    fn cut_late(&self, key: Key) {
        let abort = self.see_late(key, |seen| {
            self.mark_cut(seen);
            seen.abort()
        });
        if let Some(abort) = abort.flatten() {
            abort.abort();
        }
        self.changed.notify_one();
    }

    /// Work that is out of its shield after the force: it is waited for, and aborted at its next await if it comes to one.
    fn expect_end(&self, key: Key) {
        self.see_late(key, |seen| self.mark_cut(seen));
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
        if key.part.in_flight.is(mode::FORCED) {
            self.expect_end(key);
        }
        self.discount_shield();
    }

    /// Shows work to which a force has yet to come; not what is shielded, nor what has been left behind.
    fn see_late<R>(&self, key: Key, f: impl FnOnce(&mut Seen<'_>) -> R) -> Option<R> {
        // Whoever closes holds this lock first.
        let parts = self.parts.lock();
        let show = |seen: &mut Seen<'_>| (!seen.is_shielded()).then(|| f(seen));
        if parts.closed { None } else { key.note.see(show).flatten() }
    }

    /// The end of work that something waits for in particular, after its note has ended and it has exited.
    #[cold]
    fn ended_specially(&self, kind: Kind, was_cut: bool) {
        if kind == Kind::Shield {
            self.discount_shield();
        }
        // Before a force hears that nothing is left to wait for: a main thread that runs on after that is taken for stuck.
        if kind.is_main() {
            let news = self.parts.lock().main_ended();
            self.tell(news);
            self.changed.notify_one();
        }
        // AcqRel: the last of a million wakes the driver, which sees the others.
        if was_cut && ends_when_aborted(kind) && self.aborting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.changed.notify_one();
        }
    }
}

impl Key {
    pub(crate) fn program(self) -> Option<Arc<Program>> {
        self.part.program()
    }

    pub(crate) fn is_of_same_program(self, part: &Part) -> bool {
        self.part.is_of_same_program(part)
    }

    pub(crate) fn same_program(self, other: Self) -> bool {
        self.is_of_same_program(other.part)
    }

    /// Says how to abort the work; done at once if the force is already over it.
    pub(crate) fn settle(self, abort: Abort) {
        let Self { part, note } = self;
        if let Some(abort) = part.settle(note, abort) {
            abort.abort();
        } else {
            self.is_settled();
        }
    }

    /// It is known how to abort the work; done at once if the force is already over it.
    pub(crate) fn is_settled(self) {
        if self.part.in_flight.is(mode::FORCED) {
            self.cut_late();
        }
    }

    #[cold]
    fn cut_late(self) {
        if let Some(program) = self.program() {
            program.tasks.cut_late(self);
        }
    }

    #[cold]
    fn wake_driver(self) {
        if let Some(program) = self.program() {
            program.tasks.changed.notify_one();
        }
    }

    /// The work has had the value of its shield and waits for something else: a force may have it.
    pub(crate) fn unshielded(self) {
        if self.part.in_flight.is(mode::FORCED) {
            self.cut_late();
        }
    }
}

impl Work {
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn label(&self) -> Label {
        self.key.note.label()
    }

    /// Ends the work; `unfinished` says that it did not come to its end by itself.
    pub(crate) fn end(self, unfinished: bool) {
        self.end_once(unfinished);
        mem::forget(self);
    }

    fn end_once(&self, unfinished: bool) {
        let Self { key: Key { part, note }, kind } = *self;
        if unfinished {
            return self.fall();
        }
        let was_cut = part.end_note(note, |_, _| ()).was_cut;
        let is_special = was_cut || kind.is_main() || kind == Kind::Shield;
        // Before the exit: after it the part may be another program's.
        let program = if is_special { part.program() } else { None };
        if !kind.is_main() {
            part.exit();
        }
        self.after_exit(program, was_cut);
    }

    /// The rest of an end, for what waits for it in particular.
    fn after_exit(&self, program: Option<Arc<Program>>, was_cut: bool) {
        let Self { key: Key { part, .. }, kind } = *self;
        if let Some(program) = program {
            program.tasks.ended_specially(kind, was_cut);
        }
        // A force waits for what it does not abort.
        if !was_cut && part.in_flight.is(mode::FORCED) {
            self.key.wake_driver();
        }
    }

    /// Ends work that did not come to its end by itself: after a force it is a straggler.
    #[cold]
    fn fall(&self) {
        let Self { key: Key { part, note }, kind } = *self;
        let program = part.program();
        let mut was_last = None;
        let ended = part.end_note(note, |seen, ended| {
            let is_forced = ended.was_cut || part.in_flight.is(mode::FORCED);
            if let (true, false, Some(program)) = (is_forced, ended.was_left, &program) {
                was_last = Some(program.tasks.fall(part, seen.label(), seen.since()));
            }
        });
        match was_last {
            Some(true) => part.emptied(),
            None if !kind.is_main() => part.exit(),
            _ => {}
        }
        let is_special = ended.was_cut || kind.is_main() || kind == Kind::Shield;
        self.after_exit(program.filter(|_| is_special), ended.was_cut);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end_once(is_being_aborted());
    }
}
