//! Who is in flight: a note for each task, thread and tracked future, with its name, its age, and how to end it.
//!
//! Notes come in chunks of 64, which a thread fills one after the other, and under whose lock a note is written and ended: two threads
//! meet at a lock only where both end work of the same 64. A chunk is empty once it was full and all its work has ended; then it is
//! filled again. Guards have no note: see [`crate::tracking::guard_slots`].
//!
//! ```text
//!  program ──► thread's open chunk ──► [note; 64]   a note: abort handle 8, time 5, site 1, marks 2 = 16 bytes
//!                 │                  sites          where the work of the chunk comes from: mostly one place
//!                 │                  extras       what little of it has: a name, an end other than by a handle
//!                 └──► the next, from the pool
//! ```
//!
//! # Invariants
//!
//! 1. A note is written once in each turn of its chunk; a [`EntryId`] of an earlier turn finds nothing.
//! 2. A chunk begins its next turn after all 64 notes have been *settled* (it is known how to end the work) and *ended*.
//! 3. Nothing of the user's runs or is dropped under the lock of a chunk.

use std::{mem, panic::Location, ptr, sync::MutexGuard};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    model::report::Kind,
    os::mutex::Mutex,
    sync::{atomic::Ordering, atomic_ref::AtomicRef, pool::Pool},
    tracking::{
        label::{Abort, Label, Name},
        scope_id::ScopeId,
    },
};

/// What is written down of one piece of work.
#[derive(Debug, Default)]
struct Entry {
    abort: Option<AbortHandle>,
    /// When it began, on the clock of the program, in five bytes: milliseconds for 34 years.
    since: u32,
    since_high: u8,
    /// Which of the chunk's sites.
    site: u8,
    marks: Marks,
}

/// | bits | |
/// |---|---|
/// | `ABORT_SET` | it is known how to end the work, or that there is no way |
/// | `ENDED` | the work has ended |
/// | `CUT` | a force has asked it to end |
/// | `LEFT` | it was left behind at the end of the drain, and is reported |
/// | above | how many shields the work waits in; from the largest number on it no longer counts, and the work is spared until it ends |
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u16);

impl Marks {
    const ABORT_SET: u16 = 1;
    const ENDED: u16 = 1 << 1;
    const CUT: u16 = 1 << 2;
    const LEFT: u16 = 1 << 3;
    const SHIELD: u16 = 1 << 4;
    const SHIELDS: u16 = !(Self::SHIELD - 1);

    fn has(self, mark: u16) -> bool {
        self.0 & mark != 0
    }

    /// Sets a mark; returns whether it was there.
    fn set(&mut self, mark: u16) -> bool {
        let had = self.has(mark);
        self.0 |= mark;
        had
    }
}

/// Where work comes from.
#[derive(Clone, Copy, Debug)]
struct Site {
    kind: Kind,
    location: &'static Location<'static>,
    scope: ScopeId,
}

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.location, other.location)
            && self.scope == other.scope
            && self.kind == other.kind
    }
}

/// What little of the work has.
#[derive(Debug)]
struct Extra {
    index: usize,
    name: Option<Name>,
    local: Option<CancellationToken>,
}

#[derive(Debug)]
struct Generation {
    /// How often the chunk has been filled.
    number: u32,
    used: usize,
    ended: usize,
    /// The place that the first work of the turn comes from, mostly all of it.
    first: Site,
    /// The other places, from 1 on.
    others: Vec<Site>,
    extras: Vec<Extra>,
    entries: [Entry; CHUNK],
}

/// Notes of one thread.
#[derive(Debug)]
pub(crate) struct Chunk {
    turn: Mutex<Generation>,
}

/// One piece of work that was noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryId {
    chunk: &'static Chunk,
    turn: u32,
    index: u8,
}

/// What is known of a piece of work at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// A force had cut it, and it was not left behind.
    pub(crate) was_cut: bool,
    /// It had been left behind, and is reported.
    pub(crate) was_left: bool,
}

/// The notes of a program.
#[derive(Debug)]
pub(crate) struct TaskTable {
    pool: Pool<Chunk, MAGAZINE>,
    /// The chunk that each thread fills.
    open: Box<[Open]>,
    /// Of the threads that have no lane, which take turns.
    shared: (Mutex<()>, Open),
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Open(AtomicRef<Chunk>);

/// What force and lists see of a piece of work.
#[derive(Debug)]
pub(crate) struct EntryMut<'a> {
    turn: &'a mut Generation,
    index: usize,
}

/// How many notes a chunk has.
const CHUNK: usize = 64;

/// How many chunks a magazine has, twice as many as are made at once, at most: these are more than the allocator takes from its heap, on top of which they
/// would lie for good.
const MAGAZINE: usize = 256;

impl TaskTable {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            pool: Pool::new(shards, Chunk::new),
            open: (0..shards).map(|_| Open::default()).collect(),
            shared: (Mutex::new(()), Open::default()),
        }
    }

    /// Notes a piece of work that is about to be let in. To be settled, and ended.
    pub(crate) fn note(
        &self,
        thread: usize,
        scope: ScopeId,
        label: Label,
        since: usize,
    ) -> EntryId {
        if let Some(open) = self.open.get(thread) {
            return self.note_in(open, thread, scope, label, since);
        }
        let (turn, open) = &self.shared;
        let _turn = turn.lock();
        self.note_in(open, thread, scope, label, since)
    }

    fn note_in(
        &self,
        open: &Open,
        thread: usize,
        scope: ScopeId,
        label: Label,
        since: usize,
    ) -> EntryId {
        // Relaxed, all: only the owner of the lane uses it.
        let chunk = open.0.load(Ordering::Relaxed).unwrap_or_else(|| self.pool.take(thread));
        let (note, is_full) = chunk.write(scope, label, since);
        // Before any of its work can have ended that would be the last: from then on the chunk may be used again.
        open.0.store((!is_full).then_some(chunk), Ordering::Relaxed);
        note
    }

    /// Says how the work is ended. Returns it where a force has asked for that meanwhile.
    pub(crate) fn set_abort(&self, thread: usize, note: EntryId, abort: Abort) -> Option<Abort> {
        let mut turn = note.chunk.turn.lock();
        let index = usize::from(note.index);
        let entry = &mut turn.entries[index];
        let has_ended = entry.marks.has(Marks::ENDED);
        entry.marks.set(Marks::ABORT_SET);
        if !has_ended {
            let was_cut = entry.marks.has(Marks::CUT);
            let again = was_cut.then(|| abort.clone());
            match abort {
                Abort::Task(handle) => entry.abort = Some(handle),
                Abort::Local(token) => turn.extra(index).local = Some(token),
                Abort::Carrier(_) | Abort::Impossible => {}
            }
            return again;
        }
        let over = turn.count_end();
        drop(turn);
        self.give_back(thread, note.chunk, over);
        drop(abort);
        None
    }

    /// Ends the work, which has not been ended. `last_look` is called under the lock, before anybody else can find it ended.
    pub(crate) fn end(
        &self,
        thread: usize,
        note: EntryId,
        last_look: impl FnOnce(&EntryMut<'_>, Ended),
    ) -> Ended {
        let mut turn = note.chunk.turn.lock();
        let mut seen = EntryMut { turn: &mut turn, index: usize::from(note.index) };
        let ended = Ended { was_cut: seen.is_cut(), was_left: seen.is_left() };
        last_look(&seen, ended);
        let entry = seen.entry();
        entry.marks.set(Marks::ENDED);
        let entry_is_settled = entry.marks.has(Marks::ABORT_SET);
        let abort = entry.abort.take();
        let extra = turn.take_rarity(usize::from(note.index));
        let over = if entry_is_settled { turn.count_end() } else { None };
        drop(turn);
        self.give_back(thread, note.chunk, over);
        // May be the last of a task, with a value of the user's, and a name that keeps something.
        drop((abort, extra));
        ended
    }

    fn give_back(&self, thread: usize, chunk: &'static Chunk, over: Option<Over>) {
        if over.is_some() {
            self.pool.give_back(thread, chunk);
        }
    }

    /// Shows each piece of work that has not ended; what `f` gives is aborted once no lock is held.
    pub(crate) fn each(&self, mut f: impl FnMut(&mut EntryMut<'_>) -> Option<Abort>) {
        let mut aborts = Vec::new();
        self.pool.each(|chunk| {
            let mut turn = chunk.turn.lock();
            for index in 0..turn.used {
                let mut seen = EntryMut { turn: &mut turn, index };
                if !seen.entry().marks.has(Marks::ENDED) {
                    aborts.extend(f(&mut seen));
                }
            }
            drop(turn);
            aborts.drain(..).for_each(Abort::abort);
        });
    }
}

/// What a chunk leaves at the end of its turn, to be dropped outside the lock. It keeps nothing on the heap, on top of which it would lie.
type Over = (Vec<Site>, Vec<Extra>);

impl Generation {
    /// Counts one that is settled and has ended; after the last, begins the next turn.
    fn count_end(&mut self) -> Option<Over> {
        self.ended += 1;
        (self.ended == CHUNK).then(|| {
            self.number = self.number.wrapping_add(1);
            (self.used, self.ended) = (0, 0);
            (mem::take(&mut self.others), mem::take(&mut self.extras))
        })
    }

    /// The number of a site, which is added if it is new.
    fn number_of(&mut self, site: Site) -> u8 {
        if self.used == 0 {
            self.first = site;
        }
        if site == self.first {
            return 0;
        }
        // The newest are the last.
        let known = self.others.iter().rposition(|&known| known == site);
        let number = known.unwrap_or_else(|| {
            self.others.push(site);
            self.others.len() - 1
        });
        // At most one for each note of a chunk.
        number as u8 + 1
    }

    fn site(&self, index: usize) -> Site {
        match usize::from(self.entries[index].site) {
            0 => self.first,
            number => self.others[number - 1],
        }
    }

    fn extra(&mut self, index: usize) -> &mut Extra {
        // The newest is the last.
        let known = self.extras.iter().rposition(|extra| extra.index == index);
        let known = known.unwrap_or_else(|| {
            self.extras.push(Extra { index, name: None, local: None });
            self.extras.len() - 1
        });
        &mut self.extras[known]
    }

    /// What ended work had: a chunk may live as long as the longest of 64.
    fn take_rarity(&mut self, index: usize) -> Option<Extra> {
        let known = self.extras.iter().rposition(|extra| extra.index == index)?;
        Some(self.extras.swap_remove(known))
    }

    fn label(&self, index: usize) -> Label {
        let Site { kind, location, .. } = self.site(index);
        let extra = self.extras.iter().find(|extra| extra.index == index);
        Label { kind, name: extra.and_then(|extra| extra.name.clone()), location }
    }
}

impl Chunk {
    fn new() -> Self {
        let entries = std::array::from_fn(|_| Entry::default());
        let scope = ScopeId::PROGRAM;
        let first = Site { kind: Kind::Task, location: Location::caller(), scope };
        let (others, extras) = (Vec::new(), Vec::new());
        let turn = Generation { number: 0, used: 0, ended: 0, first, others, extras, entries };
        Self { turn: Mutex::new(turn) }
    }

    /// Writes the next note; says whether it was the last that there is room for.
    fn write(&'static self, scope: ScopeId, label: Label, since: usize) -> (EntryId, bool) {
        let Label { kind, name, location } = label;
        let mut turn = self.turn.lock();
        let (index, site) = (turn.used, turn.number_of(Site { kind, location, scope }));
        // A carrier is known from the begin as what ends the work.
        let abort_is_set = name.as_ref().is_some_and(|name| name.carrier().is_some());
        turn.entries[index] = Entry {
            since: since as u32,
            since_high: (since as u64 >> 32) as u8,
            site,
            marks: Marks(if abort_is_set { Marks::ABORT_SET } else { 0 }),
            ..Entry::default()
        };
        turn.used += 1;
        if name.is_some() {
            turn.extra(index).name = name;
        }
        let note = EntryId { chunk: self, turn: turn.number, index: index as u8 };
        (note, turn.used == CHUNK)
    }
}

impl EntryId {
    /// The chunk's turn, if it is still the note's.
    fn at(&self) -> Option<MutexGuard<'static, Generation>> {
        let turn = self.chunk.turn.lock();
        (turn.number == self.turn).then_some(turn)
    }

    /// The label of work that has not ended.
    pub(crate) fn label(&self) -> Label {
        self.chunk.turn.lock().label(usize::from(self.index))
    }

    /// The work waits in one shield more.
    pub(crate) fn shield(&self) {
        self.with_marks(|marks| {
            if marks.0 & Marks::SHIELDS != Marks::SHIELDS {
                marks.0 += Marks::SHIELD;
            }
        });
    }

    /// The work waits in one shield less.
    pub(crate) fn unshield(&self) {
        self.with_marks(|marks| {
            if marks.0 & Marks::SHIELDS != Marks::SHIELDS {
                marks.0 -= Marks::SHIELD;
            }
        });
    }

    fn with_marks(&self, change: impl FnOnce(&mut Marks)) {
        if let Some(mut turn) = self.at() {
            change(&mut turn.entries[usize::from(self.index)].marks);
        }
    }

    /// Shows the work, if it has not ended.
    pub(crate) fn see<R>(&self, f: impl FnOnce(&mut EntryMut<'_>) -> R) -> Option<R> {
        let mut turn = self.at()?;
        let mut seen = EntryMut { turn: &mut turn, index: usize::from(self.index) };
        (!seen.entry().marks.has(Marks::ENDED)).then(|| f(&mut seen))
    }
}

impl EntryMut<'_> {
    fn entry(&mut self) -> &mut Entry {
        &mut self.turn.entries[self.index]
    }

    pub(crate) fn label(&self) -> Label {
        self.turn.label(self.index)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.turn.site(self.index).kind
    }

    pub(crate) fn since(&self) -> usize {
        let Entry { since, since_high, .. } = self.turn.entries[self.index];
        (u64::from(since_high) << 32 | u64::from(since)) as usize
    }

    pub(crate) fn is_shielded(&self) -> bool {
        let marks = self.turn.entries[self.index].marks;
        marks.has(Marks::SHIELDS) || self.kind() == Kind::Shield
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.turn.entries[self.index].marks.has(Marks::CUT)
    }

    /// Marks the work as cut by a force. Returns whether that is new.
    pub(crate) fn cut(&mut self) -> bool {
        !self.entry().marks.set(Marks::CUT)
    }

    pub(crate) fn is_left(&self) -> bool {
        self.turn.entries[self.index].marks.has(Marks::LEFT)
    }

    /// The work is left behind: nothing waits for its end any more.
    pub(crate) fn leave(&mut self) {
        let marks = &mut self.entry().marks;
        marks.set(Marks::LEFT);
        marks.0 &= !Marks::CUT;
    }

    /// The part that the work is in.
    pub(crate) fn scope(&self) -> ScopeId {
        self.turn.site(self.index).scope
    }

    /// How to end the work, where that is known by now.
    pub(crate) fn abort(&mut self) -> Option<Abort> {
        if let Some(handle) = &self.entry().abort {
            return Some(Abort::Task(handle.clone()));
        }
        let extra = self.turn.extras.iter().find(|extra| extra.index == self.index)?;
        let carrier = || extra.name.as_ref()?.carrier().cloned();
        extra.local.clone().map(Abort::Local).or_else(|| carrier().map(Abort::Carrier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_sixteen_bytes() {
        assert_eq!(size_of::<Entry>(), 16);
    }
}
