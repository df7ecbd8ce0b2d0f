//! The registry of what is tracked: who it is, since when, and how to end it.
//!
//! ```text
//!  thread ──► its chunk of 64 ──► record ◄── the task itself
//!  chunks of all threads ◄── force, list, report
//! ```
//!
//! A record is an allocation of its own. The thread that begins the work puts it into its own chunk, under the chunk's lock; whoever ends the work takes
//! it out again. So two threads meet at a lock only where both end work of the same 64, and neither waits for the lock of all chunks but once in 64 times.
//! A chunk goes with the last work in it. Guards have no record: see [`crate::places`].
//!
//! Locks are taken one at a time and never while user code runs: wakers, drops and aborts come after them. `parts` alone is held while
//! a mode is changed, which takes no lock.
//!
//! # Invariants
//!
//! 1. Work is noted before it is counted, and counted until its [`Work`] is dropped, on whatever thread and for whatever reason. So whoever
//!    finds it counted finds it noted.
//! 2. Once closed, nothing is let in; it closes at most once, at the begin of finalization.
//! 3. Whatever a force aborted, or left behind, becomes a straggler exactly once.
//! 4. A task that waits in a shield, or has had its value and has not yet reached its next await, is not aborted.

use std::{
    cell::Cell,
    collections::BTreeMap,
    panic::Location,
    ptr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::Notify, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    in_flight::mode,
    lock::Mutex,
    part::{Origin, Part},
    parts::{PartId, Parts},
    program::Program,
    report::{Kind, Straggler},
    work::is_being_aborted,
};

/// Where tracked work is, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// What the user calls it; otherwise it is named after the place.
    pub(crate) name: Option<Name>,
    pub(crate) location: &'static Location<'static>,
}

/// A name that takes one word where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Name(Box<Box<str>>);

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(Box::new(name.into()))
    }
}

impl Label {
    pub(crate) fn name(&self) -> String {
        let at = self.location;
        self.name
            .as_ref()
            .map_or_else(|| format!("{}:{}", at.file(), at.line()), |name| name.0.to_string())
    }

    fn straggler(&self, since: usize) -> Straggler {
        let Self { kind, location, .. } = *self;
        Straggler { name: self.name(), kind, age: clock::age(since), location }
    }
}

/// How a piece of work is ended from outside.
#[derive(Clone, Debug)]
pub(crate) enum Abort {
    /// A task of tokio.
    Task(AbortHandle),
    /// A future that the main thread polls.
    Local(CancellationToken),
}

impl Abort {
    fn abort(self) {
        match self {
            Self::Task(handle) => handle.abort(),
            Self::Local(token) => token.cancel(),
        }
    }
}

/// One piece of work. With what an `Arc` adds it is 104 bytes, which is what the usual allocator leaves between two of tokio's
/// aligned tasks: it costs no memory.
#[derive(Debug)]
pub(crate) struct Record {
    part: &'static Part,
    pub(crate) label: Label,
    /// On the clock of [`crate::clock`].
    since: usize,
    chunk: Arc<Chunk>,
    index: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before there is a way, and where there is none: for a thread, or a future that something else polls.
    abort: Option<Abort>,
    /// How many shields the work waits in.
    shields: u32,
    /// A force has asked it to end.
    cut: bool,
    ended: bool,
}

/// Finds a piece of work again: only compared, and looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key {
    program: *const Program,
    chunk: u64,
    index: usize,
}

impl Key {
    pub(crate) fn is_of_same_program(self, other: Self) -> bool {
        ptr::eq(self.program, other.program)
    }
}

/// Work that one thread has begun, one after the other.
#[derive(Debug)]
struct Chunk {
    program: Weak<Program>,
    id: u64,
    records: Mutex<[Option<Arc<Record>>; CHUNK]>,
}

/// How many records a chunk has: work that lasts keeps one for itself, at worst, half a kilobyte.
const CHUNK: usize = 64;

thread_local! {
    /// The chunk that this thread fills, and how far it is.
    static RECENT: Cell<Option<(Arc<Chunk>, usize)>> = const { Cell::new(None) };
}

#[derive(Debug)]
pub(crate) struct Tasks {
    program: Weak<Program>,
    parts: Mutex<Parts>,
    chunks: Mutex<Chunks>,
    /// How many were cut, will end by that, and have not ended yet. Counted by those that end, of which there may be a million.
    aborting: AtomicUsize,
    /// How many shields there are, and how many pieces of work wait in one: mostly none, and then nobody has to look for them.
    shields: AtomicUsize,
    toll: Mutex<Toll>,
    /// Wakes the driver when the last piece of work of a drain has ended, or one that a force waits for.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Chunks {
    next: u64,
    /// In the order in which they were begun.
    all: BTreeMap<u64, Weak<Chunk>>,
}

/// What a drain has come to.
#[derive(Debug, Default)]
struct Toll {
    /// How much had ended at the request; `None` before it.
    before: Option<usize>,
    /// How much has ended by itself since then; `None` before finalization.
    drained: Option<u64>,
    /// How many stragglers have ended.
    fallen: usize,
    stragglers: Vec<Straggler>,
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
pub(crate) struct Work(Arc<Record>);

/// Letting in.
impl Tasks {
    pub(crate) fn new(program: &Weak<Program>, changed: Arc<Notify>) -> Self {
        let root = Part::new(program.clone(), PartId::PROGRAM);
        Self {
            program: program.clone(),
            parts: Mutex::new(Parts::new(root)),
            chunks: Mutex::default(),
            aborting: AtomicUsize::new(0),
            shields: AtomicUsize::new(0),
            toll: Mutex::default(),
            changed,
        }
    }

    /// The part that is the program itself.
    pub(crate) fn root(&self) -> &'static Part {
        self.parts.lock().part(PartId::PROGRAM)
    }

    /// Lets work in that belongs to running work; refused once finalization has begun, and the label comes back.
    pub(crate) fn enter(&self, part: &'static Part, label: Label) -> Result<Work, Label> {
        let (is_main, is_shield) = (label.kind.is_main(), label.kind == Kind::Shield);
        let record = self.note(part, label);
        let is_in =
            if is_main { self.parts.lock().main_begins() } else { part.enter(Origin::Inside) };
        if !is_in {
            record.state.lock().ended = true;
            record.forget();
            return Err(record.label.clone());
        }
        if is_shield {
            self.count_shield();
        }
        Ok(Work(record))
    }

    /// Decides about work that came upon the end of the drain.
    pub(crate) fn enter_late(&self, part: &Part, origin: Origin) -> bool {
        // Whoever tries to close holds this lock, so it is known now whether it did.
        let parts = self.parts.lock();
        let refused = origin == Origin::Outside && part.in_flight.is(mode::TOLD);
        !parts.closed && !refused && part.in_flight.enter(usize::MAX, 0).is_ok()
    }

    /// Puts a record of new work into this thread's chunk.
    fn note(&self, part: &'static Part, label: Label) -> Arc<Record> {
        let since = part.clock.ticked().unwrap_or_else(clock::now);
        let own = RECENT.try_with(Cell::take).ok().flatten();
        let own = own.filter(|(chunk, used)| *used < CHUNK && chunk.program.ptr_eq(&self.program));
        let (chunk, index) = own.unwrap_or_else(|| (self.new_chunk(), 0));
        // On its end, a thread gives each piece of work a chunk of its own.
        let next = (Arc::clone(&chunk), index + 1);
        RECENT.try_with(|recent| recent.set(Some(next))).ok();
        let state = Mutex::default();
        let record = Arc::new(Record { part, label, since, chunk, index, state });
        record.chunk.records.lock()[index] = Some(Arc::clone(&record));
        record
    }

    fn new_chunk(&self) -> Arc<Chunk> {
        let mut chunks = self.chunks.lock();
        let id = chunks.next;
        chunks.next += 1;
        let records = Mutex::new([const { None }; CHUNK]);
        let chunk = Arc::new(Chunk { program: self.program.clone(), id, records });
        chunks.all.insert(id, Arc::downgrade(&chunk));
        chunk
    }

    fn count_shield(&self) {
        // Relaxed: a force that comes upon it looks again when the driver is next awake.
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
        let parent = parent.id();
        let mut parts = self.parts.lock();
        let part = parts.add(name, parent, &self.program);
        let news = parts.settled();
        drop(parts);
        news.tell();
        part
    }

    /// Lets `part` come after another.
    pub(crate) fn order(&self, part: &Part, after: &Part) -> Result<(), (String, String)> {
        let (part, after) = (part.id(), after.id());
        let news = self.parts.lock().after(part, after)?;
        news.tell();
        Ok(())
    }

    /// Tells a part to stop: nothing from outside is let into it any more.
    pub(crate) fn request(&self, part: PartId) {
        let mut parts = self.parts.lock();
        let news = parts.request(part);
        let ended = (part == PartId::PROGRAM).then(|| parts.ended());
        drop(parts);
        if let Some(ended) = ended {
            self.toll.lock().before.get_or_insert(ended);
        }
        news.tell();
        self.changed.notify_one();
    }

    /// The last piece of work of a part has ended.
    pub(crate) fn emptied(&self, part: PartId) {
        let news = self.parts.lock().emptied(part);
        news.tell();
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

    /// Lets the clock of each part tick, or stand still; gives how many have entered so far.
    pub(crate) fn tick(&self, ticks: bool) -> usize {
        let parts = self.parts.lock();
        parts.all().fold(0, |entered: usize, part| {
            if ticks {
                part.clock.tick()
            } else {
                part.clock.stop()
            }
            entered.wrapping_add(part.in_flight.enters())
        })
    }
}

/// The end of the drain.
impl Tasks {
    /// Closes for good if the drain has nothing left.
    pub(crate) fn close_if_drained(&self) -> bool {
        let mut parts = self.parts.lock();
        let is_closed = parts.close_if_drained();
        let ended = parts.ended();
        drop(parts);
        if is_closed {
            self.toll.lock().close(ended);
        }
        is_closed
    }

    /// Closes for good and leaves behind what is left.
    pub(crate) fn close(&self) {
        let mut parts = self.parts.lock();
        parts.close();
        let ended = parts.ended();
        drop(parts);
        let mut left = Vec::new();
        self.each_record(|record| {
            let mut state = record.state.lock();
            if !state.ended {
                state.cut = false;
                left.push((record.since, record.label.straggler(record.since)));
            }
        });
        self.each_guard(|label, since| left.push((since, label.straggler(since))));
        left.sort_by_key(|&(since, _)| since);
        let mut toll = self.toll.lock();
        toll.close(ended);
        toll.stragglers.extend(left.into_iter().map(|(_, straggler)| straggler));
    }

    /// Aborts whatever of a part can be, except what a shield holds; of the program's, everything.
    pub(crate) fn force(&self, part: &Part) {
        let part = part.id();
        // Whoever is noted from here on sees it.
        self.parts.lock().force(part);
        self.each_record(|record| {
            if record.part.in_flight.is(mode::FORCED) {
                self.cut(record);
            }
        });
    }

    /// Aborts what is still shielded: the time for it has passed.
    pub(crate) fn force_shields(&self) {
        self.each_record(|record| {
            let abort = record.state.lock().cut(record.label.kind, &self.aborting);
            abort.into_iter().for_each(Abort::abort);
        });
    }

    /// Aborts a piece of work, unless a shield holds it or it was done.
    fn cut(&self, record: &Record) {
        let mut state = record.state.lock();
        let abort = if state.is_shielded(record.label.kind) {
            None
        } else {
            state.cut(record.label.kind, &self.aborting)
        };
        drop(state);
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    pub(crate) fn awaited(&self) -> Awaited {
        let mut shielded = 0;
        // Relaxed: what changes it wakes the driver, which looks again.
        if self.shields.load(Ordering::Relaxed) > 0 {
            self.each_record(|record| {
                let state = record.state.lock();
                shielded +=
                    usize::from(!state.cut && !state.ended && state.is_shielded(record.label.kind));
            });
        }
        // Acquire: pairs with the AcqRel in `end_by_force`.
        Awaited { shielded, aborting: self.aborting.load(Ordering::Acquire) }
    }

    pub(crate) fn drained(&self) -> u64 {
        let ended = self.parts.lock().ended();
        self.toll.lock().drained(ended)
    }

    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        self.toll.lock().stragglers.clone()
    }

    /// What is in flight now, the oldest first, at most so many.
    pub(crate) fn running(&self, most: usize) -> Vec<Straggler> {
        let mut oldest = Oldest::new(most);
        self.each_record(|record| {
            if !record.state.lock().ended {
                oldest.add(record.since, || record.label.clone());
            }
        });
        self.each_guard(|label, since| oldest.add(since, || label));
        oldest.finish()
    }

    /// A guard is dropped after a force; if with a task that was aborted, it was cut with it.
    pub(crate) fn guard_ended_by_force(&self, place: &'static Location<'static>, since: usize) {
        if is_being_aborted() {
            self.toll.lock().fall(&guard_at(place), since);
        }
    }

    fn each_record(&self, mut f: impl FnMut(&Record)) {
        let chunks: Vec<_> = self.chunks.lock().all.values().filter_map(Weak::upgrade).collect();
        for chunk in chunks {
            let records = chunk.records.lock();
            let records: Vec<_> = records.iter().flatten().cloned().collect();
            for record in records {
                f(&record);
            }
        }
    }

    fn each_guard(&self, mut f: impl FnMut(Label, usize)) {
        let parts: Vec<_> = self.parts.lock().all().collect();
        for part in parts {
            part.each_guard(|place, since| f(guard_at(place), since));
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.parts.lock().all().for_each(Part::retire);
    }
}

fn guard_at(location: &'static Location<'static>) -> Label {
    Label { kind: Kind::Guard, name: None, location }
}

impl Toll {
    fn drained(&self, ended: usize) -> u64 {
        let now = self.before.map_or(0, |before| ended.wrapping_sub(before));
        self.drained.unwrap_or_else(|| now.saturating_sub(self.fallen) as u64)
    }

    fn close(&mut self, ended: usize) {
        self.drained = Some(self.drained(ended));
    }

    fn fall(&mut self, label: &Label, since: usize) {
        // What was left behind has been reported.
        if self.drained.is_none() {
            self.fallen += 1;
            self.stragglers.push(label.straggler(since));
        }
    }
}

impl State {
    /// Marks the work as cut by a force and says how to end it; `None` if that was done, or there is no way yet.
    fn cut(&mut self, kind: Kind, aborting: &AtomicUsize) -> Option<Abort> {
        if self.ended || std::mem::replace(&mut self.cut, true) {
            return None;
        }
        if ends_when_aborted(kind) {
            // AcqRel: before the abort that this leads to, and so before the one is taken off.
            aborting.fetch_add(1, Ordering::AcqRel);
        }
        self.abort.clone()
    }

    fn is_shielded(&self, kind: Kind) -> bool {
        self.shields > 0 || kind == Kind::Shield
    }
}

/// By its kind, because the handle that aborts it may be on its way.
fn ends_when_aborted(kind: Kind) -> bool {
    !matches!(kind, Kind::Blocking | Kind::Thread | Kind::Guard | Kind::Future)
}

/// The oldest of many, without keeping them all.
struct Oldest {
    most: usize,
    /// Those that began then or later are not among them.
    bound: usize,
    found: Vec<(usize, Label)>,
}

impl Oldest {
    fn new(most: usize) -> Self {
        Self { most, bound: usize::MAX, found: Vec::new() }
    }

    fn add(&mut self, since: usize, label: impl FnOnce() -> Label) {
        if since < self.bound {
            self.found.push((since, label()));
        }
        if self.found.len() >= self.most.saturating_mul(2) {
            self.cut();
            self.bound = self.found.last().map_or(0, |&(since, _)| since);
        }
    }

    fn cut(&mut self) {
        self.found.sort_by_key(|&(since, _)| since);
        self.found.truncate(self.most);
    }

    fn finish(mut self) -> Vec<Straggler> {
        self.cut();
        self.found.iter().map(|(since, label)| label.straggler(*since)).collect()
    }
}

/// One piece of work, from its begin to its end.
impl Tasks {
    /// The piece of work that has this key, if it is one of this program.
    pub(crate) fn find(&self, key: Key) -> Option<Arc<Record>> {
        let chunk = self.chunks.lock().all.get(&key.chunk).and_then(Weak::upgrade)?;
        let is_ours = ptr::eq(key.program, self.program.as_ptr());
        let record = chunk.records.lock().get(key.index)?.clone();
        record.filter(|_| is_ours)
    }

    /// Work that a force had cut has ended; `unfinished` says that it did not come to its end by itself.
    fn ended_by_force(&self, record: &Record, unfinished: bool) {
        if unfinished {
            self.toll.lock().fall(&record.label, record.since);
        }
        if ends_when_aborted(record.label.kind) {
            // AcqRel: the last of a million wakes the driver, which sees the others.
            if self.aborting.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.changed.notify_one();
            }
        }
    }
}

impl Record {
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        self.chunk.program.upgrade()
    }

    pub(crate) fn key(&self) -> Key {
        Key { program: self.chunk.program.as_ptr(), chunk: self.chunk.id, index: self.index }
    }

    /// Says how to abort the work; done at once if the force is already over it.
    pub(crate) fn set_abort(&self, abort: Abort) {
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        state.abort = Some(abort.clone());
        let was_cut = state.cut;
        drop(state);
        if was_cut {
            abort.abort();
        } else if self.part.in_flight.is(mode::FORCED) {
            self.cut_late();
        }
    }

    /// Begun, or out of its shield, after the force.
    #[cold]
    fn cut_late(&self) {
        if let Some(program) = self.program() {
            program.tasks.cut(self);
            program.tasks.changed.notify_one();
        }
    }

    /// The work begins to wait in one more shield.
    pub(crate) fn shield(&self) {
        self.state.lock().shields += 1;
        if let Some(program) = self.program() {
            program.tasks.count_shield();
        }
    }

    /// The work waits in one shield less; it is aborted later, by [`Self::unshielded`].
    pub(crate) fn unshield(&self) {
        self.state.lock().shields -= 1;
        if let Some(program) = self.program() {
            program.tasks.discount_shield();
        }
    }

    /// The work has had the value of its shield and waits for something else: a force may have it.
    pub(crate) fn unshielded(&self) {
        if self.part.in_flight.is(mode::FORCED) {
            self.cut_late();
        }
    }

    /// Takes the record out of its chunk.
    fn forget(&self) {
        let record = self.chunk.records.lock()[self.index].take();
        drop(record);
    }

    /// Ends the work, once; `unfinished` says that it did not come to its end by itself.
    fn end(&self, unfinished: bool) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        let (abort, cut) = (state.abort.take(), state.cut);
        drop(state);
        drop(abort);
        self.forget();
        let kind = self.label.kind;
        if cut || kind.is_main() || kind == Kind::Shield {
            self.end_specially(cut, unfinished);
        }
        if !kind.is_main() {
            self.part.exit();
        }
        if self.part.in_flight.is(mode::FORCED) && !cut {
            self.wake_driver();
        }
    }

    #[cold]
    fn end_specially(&self, cut: bool, unfinished: bool) {
        let Some(program) = self.program() else { return };
        let tasks = &program.tasks;
        if self.label.kind == Kind::Shield {
            tasks.discount_shield();
        }
        if cut {
            tasks.ended_by_force(self, unfinished);
        }
        if self.label.kind.is_main() {
            let news = tasks.parts.lock().main_ended();
            news.tell();
            tasks.changed.notify_one();
        }
    }

    /// A force waits for what it does not abort.
    #[cold]
    fn wake_driver(&self) {
        if let Some(program) = self.program() {
            program.tasks.changed.notify_one();
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(program) = self.program.upgrade() {
            program.tasks.chunks.lock().all.remove(&self.id);
        }
    }
}

impl Work {
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.0
    }

    /// Ends the work; `unfinished` says that it did not come to its end by itself.
    pub(crate) fn end(self, unfinished: bool) {
        self.0.end(unfinished);
        // `Drop` finds it ended.
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.end(is_being_aborted());
    }
}
