//! 64 entries under one lock, with the facts that most of them share.

use std::{array, mem, panic::Location, ptr, sync::MutexGuard};

use tokio_util::sync::CancellationToken;

use crate::{
    model::report::Kind,
    os::mutex::Mutex,
    tracking::{
        label::{Label, Name},
        scope_id::ScopeId,
        task_table::entry::Entry,
    },
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Chunk(Mutex<Contents>);

/// The contents of a chunk, which its lock guards.
#[derive(Debug)]
pub(super) struct Contents {
    /// How often the chunk has been filled before.
    generation: u32,
    /// How many entries were written in this generation.
    used: usize,
    /// How many of them are complete: the way to abort is set and the work has ended.
    completed: usize,
    /// Site 0, the one of the first entry. In most chunks all work comes from it.
    first: Site,
    /// The sites from 1 on.
    others: Vec<Site>,
    extras: Vec<Extra>,
    entries: [Entry; CHUNK],
}

/// Where work comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) kind: Kind,
    pub(super) location: &'static Location<'static>,
    pub(super) scope: ScopeId,
}

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.location, other.location)
            && self.scope == other.scope
            && self.kind == other.kind
    }
}

/// The facts that few entries have.
#[derive(Debug)]
pub(super) struct Extra {
    index: usize,
    pub(super) name: Option<Name>,
    /// The way to abort a future that the main thread polls.
    pub(super) local: Option<CancellationToken>,
}

/// The memory of a chunk that ends its generation, to be dropped outside the lock. An unused chunk keeps no memory on the heap.
pub(super) type Garbage = (Vec<Site>, Vec<Extra>);

/// How many entries a chunk has.
const CHUNK: usize = 64;

impl Chunk {
    pub(super) fn new() -> Self {
        let site = Site { kind: Kind::Task, location: Location::caller(), scope: ScopeId::PROGRAM };
        Self(Mutex::new(Contents {
            generation: 0,
            used: 0,
            completed: 0,
            first: site,
            others: Vec::new(),
            extras: Vec::new(),
            entries: array::from_fn(|_| Entry::default()),
        }))
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock()
    }
}

impl Contents {
    /// Writes the next entry, and returns its index.
    #[inline]
    pub(super) fn write(&mut self, site: Site, name: Option<Name>, since: usize) -> usize {
        let (index, site) = (self.used, self.site_number(site));
        // A carrier aborts the work itself, so the way is known from the start.
        let is_abort_known = name.as_ref().is_some_and(|name| name.carrier().is_some());
        self.entries[index] = Entry::new(since, site, is_abort_known);
        self.used += 1;
        if name.is_some() {
            self.extra(index).name = name;
        }
        index
    }

    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.used == CHUNK
    }

    #[inline]
    pub(super) fn entry(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// Counts an entry as complete. After the last one, starts the next generation (invariant 2 of the table).
    #[inline]
    pub(super) fn complete_one(&mut self) -> Option<Garbage> {
        self.completed += 1;
        (self.completed == CHUNK).then(|| {
            self.generation = self.generation.wrapping_add(1);
            (self.used, self.completed) = (0, 0);
            (mem::take(&mut self.others), mem::take(&mut self.extras))
        })
    }

    /// The number of a site, which is added if it is new.
    #[inline]
    fn site_number(&mut self, site: Site) -> u8 {
        if self.used == 0 {
            self.first = site;
        }
        if site == self.first {
            return 0;
        }
        // From the back, because recent sites are the likeliest to come again.
        let known = self.others.iter().rposition(|&known| known == site);
        let number = known.unwrap_or_else(|| {
            self.others.push(site);
            self.others.len() - 1
        });
        // It fits: there is at most one site for each of the 64 entries.
        number as u8 + 1
    }

    pub(super) fn site(&self, index: usize) -> Site {
        match usize::from(self.entries[index].site) {
            0 => self.first,
            number => self.others[number - 1],
        }
    }

    pub(super) fn label(&self, index: usize) -> Label {
        let Site { kind, location, .. } = self.site(index);
        let name = self.get_extra(index).and_then(|extra| extra.name.clone());
        Label { kind, name, location }
    }

    pub(super) fn get_extra(&self, index: usize) -> Option<&Extra> {
        self.extras.iter().find(|extra| extra.index == index)
    }

    /// The extra of an entry, which is added if there is none.
    pub(super) fn extra(&mut self, index: usize) -> &mut Extra {
        // From the back, because the newest entry is the likeliest.
        let known = self.extras.iter().rposition(|extra| extra.index == index);
        let known = known.unwrap_or_else(|| {
            self.extras.push(Extra { index, name: None, local: None });
            self.extras.len() - 1
        });
        &mut self.extras[known]
    }

    /// Removes the extra of work that has ended, because the chunk may live as long as the longest of its 64 pieces.
    #[inline]
    pub(super) fn take_extra(&mut self, index: usize) -> Option<Extra> {
        let known = self.extras.iter().rposition(|extra| extra.index == index)?;
        Some(self.extras.swap_remove(known))
    }
}
