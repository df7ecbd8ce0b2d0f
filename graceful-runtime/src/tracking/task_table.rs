//! The table of tracked tasks, threads and futures: one entry for each, with its name, its age, and the way to abort it.
//!
//! Entries come in chunks of 64. A thread fills one chunk after the other, and each chunk has its own lock, so two threads meet at a lock only if both end
//! work of the same chunk. When a chunk was full and all its work has ended, it returns to a pool and is filled again. Guards have no entry here; see
//! [`guard_slots`](crate::tracking::guard_slots).
//!
//! ```text
//!  table ──► open chunk of a thread ──► [entry; 64]   one entry: abort handle 8, time 5, site 1, flags 2 = 16 bytes
//!                 │                     sites         kind, call site and scope of the work; in most chunks just one
//!                 │                     extras        name, and a way to abort other than a task's handle; few entries have one
//!                 └──► pool: the next chunk
//! ```
//!
//! # Invariants
//!
//! 1. An entry is written once in each generation of its chunk. An [`EntryId`] of an earlier generation finds nothing.
//! 2. A chunk starts its next generation when for all 64 entries the way to abort is *set* and the work has *ended*.
//! 3. No user code runs and no value of the user is dropped under the lock of a chunk.

use crate::{
    os::mutex::Mutex,
    sync::{atomic::Ordering, atomic_ref::AtomicRef, pool::Pool},
    tracking::{
        label::{Abort, Label},
        scope_id::ScopeId,
        task_table::{
            chunk::{Chunk, Garbage},
            entry_id::{EntryId, EntryMut},
        },
    },
};

mod chunk;
mod entry;
pub(crate) mod entry_id;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct TaskTable {
    pool: Pool<Chunk, MAGAZINE>,
    /// For each thread, the chunk that it fills.
    open: Box<[Open]>,
    /// The chunk that all other threads fill, under the lock.
    shared: (Mutex<()>, Open),
}

/// The chunk that a thread fills; unset before the first entry and after a full chunk. Only its owner uses it, so all loads and stores are Relaxed.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Open(AtomicRef<Chunk>);

/// What a force had done to a piece of work before it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// A force had aborted it, and it was not left behind.
    pub(crate) was_aborted: bool,
    /// The end of the drain had left it behind, and it is a straggler already.
    pub(crate) was_left_behind: bool,
}

/// How many chunks a magazine holds; at most half as many are made at once. That is more than the allocator takes from its heap, where they would pin the
/// memory below them, since they are never freed.
const MAGAZINE: usize = 256;

impl TaskTable {
    /// Makes a table in which `shards` threads have an open chunk of their own.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            pool: Pool::new(shards, Chunk::new),
            open: (0..shards).map(|_| Open::default()).collect(),
            shared: (Mutex::new(()), Open::default()),
        }
    }

    /// Adds an entry for work that is about to enter. For each entry, [`Self::set_abort`] must be called (unless a carrier aborts the work), and
    /// [`Self::end`].
    pub(crate) fn add(&self, thread: usize, scope: ScopeId, label: Label, since: usize) -> EntryId {
        if let Some(open) = self.open.get(thread) {
            return self.add_to(open, thread, scope, label, since);
        }
        let (lock, open) = &self.shared;
        let _locked = lock.lock();
        self.add_to(open, thread, scope, label, since)
    }

    fn add_to(
        &self,
        open: &Open,
        thread: usize,
        scope: ScopeId,
        label: Label,
        since: usize,
    ) -> EntryId {
        // Relaxed, both: see `Open`.
        let chunk = open.0.load(Ordering::Relaxed).unwrap_or_else(|| self.pool.take(thread));
        let (entry, is_full) = EntryId::write(chunk, scope, label, since);
        // The new work has not begun, so the chunk cannot be reused yet, even if all other work in it has ended.
        open.0.store((!is_full).then_some(chunk), Ordering::Relaxed);
        entry
    }

    /// Sets the way to abort the work. If a force came first, returns it, and the caller must abort the work.
    pub(crate) fn set_abort(&self, thread: usize, id: EntryId, abort: Abort) -> Option<Abort> {
        let mut chunk = id.chunk().lock();
        let entry = chunk.entry(id.index());
        entry.set_abort_known();
        if !entry.has_ended() {
            let again = entry.is_aborted().then(|| abort.clone());
            match abort {
                Abort::Task(handle) => entry.abort = Some(handle),
                Abort::Local(token) => chunk.extra(id.index()).local = Some(token),
                Abort::Carrier(_) | Abort::Impossible => {}
            }
            return again;
        }
        // The work ended first, so this completes its entry.
        let garbage = chunk.complete_one();
        drop(chunk);
        self.reuse(thread, id.chunk(), garbage);
        // Invariant 3.
        drop(abort);
        None
    }

    /// Marks the work as ended, which must happen once. `last_look` is called under the lock, before any other thread can see that the work has ended.
    pub(crate) fn end(
        &self,
        thread: usize,
        id: EntryId,
        last_look: impl FnOnce(&EntryMut<'_>, Ended),
    ) -> Ended {
        let mut chunk = id.chunk().lock();
        let entry = EntryMut::new(&mut chunk, id.index());
        let ended =
            Ended { was_aborted: entry.is_aborted(), was_left_behind: entry.is_left_behind() };
        last_look(&entry, ended);
        let entry = chunk.entry(id.index());
        entry.set_ended();
        let (is_complete, abort) = (entry.is_abort_known(), entry.abort.take());
        let extra = chunk.take_extra(id.index());
        let garbage = if is_complete { chunk.complete_one() } else { None };
        drop(chunk);
        self.reuse(thread, id.chunk(), garbage);
        // Invariant 3: the handle may be the last reference to a task with a value of the user, and the name is the user's.
        drop((abort, extra));
        ended
    }

    /// Returns the chunk to the pool if its generation is over.
    fn reuse(&self, thread: usize, chunk: &'static Chunk, garbage: Option<Garbage>) {
        if garbage.is_some() {
            self.pool.give_back(thread, chunk);
        }
    }

    /// Calls `f` with each entry whose work has not ended. Aborts what `f` returns after the lock is released.
    pub(crate) fn each(&self, mut f: impl FnMut(&mut EntryMut<'_>) -> Option<Abort>) {
        let mut aborts = Vec::new();
        self.pool.each(|chunk| {
            let mut chunk = chunk.lock();
            for index in 0..chunk.used() {
                if !chunk.entry(index).has_ended() {
                    aborts.extend(f(&mut EntryMut::new(&mut chunk, index)));
                }
            }
            drop(chunk);
            aborts.drain(..).for_each(Abort::abort);
        });
    }
}
