//! Access to one entry: by its id, and under the lock of its chunk.

use std::sync::MutexGuard;

use crate::{
    model::report::Kind,
    tracking::{
        label::{Abort, Label},
        scope_id::ScopeId,
        task_table::chunk::{Chunk, Contents, Site},
    },
};

/// Names an entry. It may outlive the entry: see invariant 1 of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryId {
    chunk: &'static Chunk,
    generation: u32,
    index: u8,
}

impl EntryId {
    /// Writes a new entry into a chunk that is not full. Returns whether the chunk is full now.
    #[inline]
    pub(super) fn write(
        chunk: &'static Chunk,
        scope: ScopeId,
        label: Label,
        since: usize,
    ) -> (Self, bool) {
        let Label { kind, name, location } = label;
        let mut contents = chunk.lock();
        let index = contents.write(Site { kind, location, scope }, name, since);
        let id = Self { chunk, generation: contents.generation(), index: index as u8 };
        (id, contents.is_full())
    }

    #[inline]
    pub(super) fn chunk(&self) -> &'static Chunk {
        self.chunk
    }

    #[inline]
    pub(super) fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// The label of work that has not ended.
    pub(crate) fn label(&self) -> Label {
        self.chunk.lock().label(self.index())
    }

    /// The work waits in one more shield.
    pub(crate) fn enter_shield(&self) {
        if let Some(mut chunk) = self.lock() {
            chunk.entry(self.index()).enter_shield();
        }
    }

    /// The work waits in one shield less.
    pub(crate) fn leave_shield(&self) {
        if let Some(mut chunk) = self.lock() {
            chunk.entry(self.index()).leave_shield();
        }
    }

    /// Calls `f` with the entry, unless its work has ended.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut EntryMut<'_>) -> R) -> Option<R> {
        let mut chunk = self.lock()?;
        let has_ended = chunk.entry(self.index()).has_ended();
        (!has_ended).then(|| f(&mut EntryMut::new(&mut chunk, self.index())))
    }

    /// Locks the chunk, if it is still in the generation of the entry.
    #[inline]
    fn lock(&self) -> Option<MutexGuard<'static, Contents>> {
        let chunk = self.chunk.lock();
        (chunk.generation() == self.generation).then_some(chunk)
    }
}

/// An entry under the lock of its chunk.
#[derive(Debug)]
pub(crate) struct EntryMut<'a> {
    chunk: &'a mut Contents,
    index: usize,
}

impl<'a> EntryMut<'a> {
    #[inline]
    pub(super) fn new(chunk: &'a mut Contents, index: usize) -> Self {
        Self { chunk, index }
    }
}

impl EntryMut<'_> {
    pub(crate) fn label(&self) -> Label {
        self.chunk.label(self.index)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.chunk.site(self.index).kind
    }

    /// The scope that the work is in.
    pub(crate) fn scope(&self) -> ScopeId {
        self.chunk.site(self.index).scope
    }

    pub(crate) fn since(&self) -> usize {
        self.chunk.get(self.index).since()
    }

    /// The work waits in a shield, or is the work inside a shield.
    pub(crate) fn is_shielded(&self) -> bool {
        self.chunk.get(self.index).is_in_shield() || self.kind() == Kind::Shield
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.chunk.get(self.index).is_aborted()
    }

    /// Marks the work as aborted by a force. Returns whether that is new.
    pub(crate) fn mark_aborted(&mut self) -> bool {
        let is_new = !self.is_aborted();
        self.chunk.entry(self.index).set_aborted();
        is_new
    }

    pub(crate) fn is_left_behind(&self) -> bool {
        self.chunk.get(self.index).is_left_behind()
    }

    /// Leaves the work behind: nothing waits for its end any more.
    pub(crate) fn leave_behind(&mut self) {
        self.chunk.entry(self.index).set_left_behind();
    }

    /// The way to abort the work, if it is known by now and there is one.
    pub(crate) fn abort(&self) -> Option<Abort> {
        if let Some(handle) = &self.chunk.get(self.index).abort {
            return Some(Abort::Task(handle.clone()));
        }
        let extra = self.chunk.get_extra(self.index)?;
        let carrier = || extra.name.as_ref()?.carrier().cloned();
        extra.local.clone().map(Abort::Local).or_else(|| carrier().map(Abort::Carrier))
    }
}
