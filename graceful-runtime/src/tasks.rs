//! The registry of what is tracked: the one place where work is counted, named and aborted.
//!
//! Everything is behind one lock, so a piece of work is either refused or counted, with nothing in between. The lock is held for
//! a few instructions and never while user code runs: wakers, drops and aborts come after it.
//!
//! # Invariants
//!
//! 1. Work that was let in is in `entries` until its [`Work`] is dropped, on whatever thread and for whatever reason.
//! 2. Once closed, nothing is let in; it closes at most once, at the begin of finalization.
//! 3. Whatever a force aborted, or left behind, becomes a straggler exactly once.
//! 4. A task that waits in a shield, or has had its value and has not yet reached its next await, is not aborted.

use std::{collections::BTreeMap, panic::Location, sync::Arc};

use tokio::{sync::Notify, task::AbortHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    lock::Mutex,
    parts::{PartId, Parts},
    report::{Kind, Straggler},
};

/// Where tracked work is, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// What the user calls it; otherwise it is named after the place.
    pub(crate) name: Option<String>,
    pub(crate) location: &'static Location<'static>,
}

impl Label {
    pub(crate) fn name(&self) -> String {
        let at = self.location;
        self.name.clone().unwrap_or_else(|| format!("{}:{}", at.file(), at.line()))
    }
}

/// How a piece of work is ended from outside.
#[derive(Clone, Debug)]
pub(crate) enum Abort {
    /// A task of tokio.
    Task(AbortHandle),
    /// A future that the main thread polls.
    Local(CancellationToken),
    /// It cannot be: a guard, a thread, a future that something else polls.
    Impossible,
}

#[derive(Debug)]
struct Entry {
    part: PartId,
    label: Label,
    since: Instant,
    abort: Abort,
    /// How many shields the work waits in.
    shields: usize,
    /// A force has asked it to end.
    cut: bool,
}

#[derive(Debug)]
struct Inner {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    parts: Parts,
    /// How many were cut, will end by that, and have not ended yet.
    aborting: usize,
    closed: bool,
    drained: u64,
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

#[derive(Debug)]
pub(crate) struct Tasks {
    inner: Mutex<Inner>,
    /// Wakes the driver when the last piece of work of a drain has ended, or one that a force waits for.
    changed: Arc<Notify>,
}

/// A piece of work in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Work {
    tasks: Arc<Tasks>,
    id: u64,
}

impl Tasks {
    pub(crate) fn new(token: CancellationToken, changed: Arc<Notify>) -> Arc<Self> {
        let inner = Inner {
            entries: BTreeMap::new(),
            next: 0,
            parts: Parts::new(token),
            aborting: 0,
            closed: false,
            drained: 0,
            stragglers: Vec::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner), changed })
    }

    /// Lets work in that belongs to running work; refused once finalization has begun.
    pub(crate) fn enter(self: &Arc<Self>, part: PartId, label: Label) -> Option<Work> {
        let mut inner = self.inner.lock();
        (!inner.closed).then(|| self.admit(&mut inner, part, label))
    }

    /// Lets work in that comes from outside; refused once its part was told to stop.
    pub(crate) fn try_enter(self: &Arc<Self>, part: PartId, label: Label) -> Option<Work> {
        let mut inner = self.inner.lock();
        (!inner.closed && !inner.parts.is_told(part)).then(|| self.admit(&mut inner, part, label))
    }

    fn admit(self: &Arc<Self>, inner: &mut Inner, part: PartId, label: Label) -> Work {
        let id = inner.next;
        inner.next += 1;
        if label.kind.is_main() {
            inner.parts.main_runs = true;
        } else {
            inner.parts.enter(part);
        }
        let abort = Abort::Impossible;
        let entry = Entry { part, label, since: Instant::now(), abort, shields: 0, cut: false };
        inner.entries.insert(id, entry);
        Work { tasks: Arc::clone(self), id }
    }

    /// Adds a part below `parent`.
    pub(crate) fn add_part(
        &self,
        name: String,
        parent: PartId,
        token: CancellationToken,
    ) -> PartId {
        let mut inner = self.inner.lock();
        let part = inner.parts.add(name, parent, token);
        let news = inner.parts.settled();
        drop(inner);
        news.tell();
        part
    }

    /// Lets `part` come after another; gives the token of the part from now on.
    pub(crate) fn order(
        &self,
        part: PartId,
        after: PartId,
    ) -> Result<CancellationToken, (String, String)> {
        let (token, news) = self.inner.lock().parts.after(part, after)?;
        news.tell();
        Ok(token)
    }

    /// Tells a part to stop: nothing from outside is let into it any more.
    pub(crate) fn request(&self, part: PartId) {
        let news = self.inner.lock().parts.request(part);
        news.tell();
        self.changed.notify_one();
    }

    pub(crate) fn in_flight(&self, part: PartId) -> usize {
        self.inner.lock().parts.live(part)
    }

    pub(crate) fn is_drained(&self, part: PartId) -> bool {
        self.inner.lock().parts.is_drained(part)
    }

    pub(crate) fn changes(&self, part: PartId) -> tokio::sync::watch::Receiver<()> {
        self.inner.lock().parts.changes(part)
    }

    /// What is in flight now, the oldest first, at most so many.
    pub(crate) fn running(&self, most: usize) -> Vec<Straggler> {
        self.inner.lock().entries.values().take(most).map(Entry::as_straggler).collect()
    }

    /// Whether `init` or `main` has not ended.
    pub(crate) fn main_runs(&self) -> bool {
        self.inner.lock().parts.main_runs
    }

    /// How much work there is, `main` included.
    pub(crate) fn count(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Closes for good if the drain has nothing left.
    pub(crate) fn close_if_drained(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.closed |= inner.parts.is_told(PartId::PROGRAM) && inner.entries.is_empty();
        inner.closed
    }

    /// Closes for good and leaves behind what is left.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let left: Vec<_> = inner
            .entries
            .values_mut()
            .map(|entry| {
                entry.cut = false;
                entry.as_straggler()
            })
            .collect();
        inner.stragglers.extend(left);
    }

    /// Aborts whatever of a part can be, except what a shield holds; of the program's, everything.
    pub(crate) fn force(&self, part: PartId) {
        let mut inner = self.inner.lock();
        inner.parts.force(part);
        let Inner { entries, parts, aborting, .. } = &mut *inner;
        let inside = entries.values_mut().filter(|entry| parts.is_within(entry.part, part));
        let aborts: Vec<_> = inside.filter_map(|entry| entry.cut(aborting)).collect();
        drop(inner);
        aborts.into_iter().for_each(Abort::abort);
    }

    /// Aborts what is still shielded: the time for it has passed.
    pub(crate) fn force_shields(&self) {
        let mut inner = self.inner.lock();
        let Inner { entries, aborting, .. } = &mut *inner;
        let aborts: Vec<_> =
            entries.values_mut().map(|entry| entry.cut_for_good(aborting)).collect();
        drop(inner);
        aborts.into_iter().for_each(Abort::abort);
    }

    pub(crate) fn awaited(&self) -> Awaited {
        let inner = self.inner.lock();
        let shielded =
            inner.entries.values().filter(|entry| !entry.cut && entry.is_shielded()).count();
        Awaited { shielded, aborting: inner.aborting }
    }

    pub(crate) fn drained(&self) -> u64 {
        self.inner.lock().drained
    }

    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        self.inner.lock().stragglers.clone()
    }

    pub(crate) fn set_abort(&self, id: u64, abort: Abort) {
        let mut inner = self.inner.lock();
        let Inner { entries, parts, aborting, .. } = &mut *inner;
        let Some(entry) = entries.get_mut(&id) else { return };
        // A force may have come before there was a way to abort it.
        entry.abort = abort;
        let abort = match entry.cut {
            true => Some(entry.abort.clone()),
            false if parts.is_forced(entry.part) => entry.cut(aborting),
            false => None,
        };
        drop(inner);
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    /// The work begins to wait in one more shield.
    pub(crate) fn shield(&self, id: u64) {
        if let Some(entry) = self.inner.lock().entries.get_mut(&id) {
            entry.shields += 1;
        }
    }

    /// The work waits in one shield less; it is aborted later, by [`Self::unshielded`].
    pub(crate) fn unshield(&self, id: u64) {
        if let Some(entry) = self.inner.lock().entries.get_mut(&id) {
            entry.shields -= 1;
        }
    }

    /// The work has had the value of its shield and waits for something else: a force may have it.
    pub(crate) fn unshielded(&self, id: u64) {
        let mut inner = self.inner.lock();
        let Inner { entries, parts, aborting, .. } = &mut *inner;
        let entry = entries.get_mut(&id).filter(|entry| parts.is_forced(entry.part));
        let abort = entry.and_then(|entry| entry.cut(aborting));
        drop(inner);
        if let Some(abort) = abort {
            abort.abort();
            self.changed.notify_one();
        }
    }

    fn leave(&self, id: u64, unfinished: bool) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.entries.remove(&id) else { return };
        let news = if entry.label.kind.is_main() {
            inner.parts.main_ended()
        } else {
            inner.parts.leave(entry.part)
        };
        if !inner.closed && entry.cut && unfinished {
            inner.stragglers.push(entry.as_straggler());
        } else if !inner.closed
            && !entry.label.kind.is_main()
            && inner.parts.is_told(PartId::PROGRAM)
        {
            inner.drained += 1;
        }
        if entry.cut && entry.ends_when_aborted() {
            inner.aborting -= 1;
        }
        // Of a million that end, the driver has to see the last.
        let wake = match inner.parts.is_forced(PartId::PROGRAM) {
            true => !entry.cut || inner.aborting == 0,
            false => inner.entries.is_empty() && inner.parts.is_told(PartId::PROGRAM),
        };
        drop(inner);
        news.tell();
        if wake {
            self.changed.notify_one();
        }
    }
}

impl Entry {
    /// Marks the work as cut by a force and says how to end it; `None` while a shield holds it, or where that was done.
    fn cut(&mut self, aborting: &mut usize) -> Option<Abort> {
        (!self.cut && !self.is_shielded()).then(|| self.cut_for_good(aborting))
    }

    fn cut_for_good(&mut self, aborting: &mut usize) -> Abort {
        if !self.cut && self.ends_when_aborted() {
            *aborting += 1;
        }
        self.cut = true;
        self.abort.clone()
    }

    fn is_shielded(&self) -> bool {
        self.shields > 0 || self.label.kind == Kind::Shield
    }

    fn ends_when_aborted(&self) -> bool {
        // By its kind, because the handle that aborts it may be on its way.
        !matches!(self.label.kind, Kind::Blocking | Kind::Thread | Kind::Guard | Kind::Future)
    }

    fn as_straggler(&self) -> Straggler {
        let Label { kind, location, .. } = self.label;
        Straggler { name: self.label.name(), kind, age: self.since.elapsed(), location }
    }
}

impl Abort {
    fn abort(self) {
        match self {
            Self::Task(handle) => handle.abort(),
            Self::Local(token) => token.cancel(),
            Self::Impossible => {}
        }
    }
}

impl Work {
    /// Says how to abort the work; done at once if the force is already over it.
    pub(crate) fn set_abort(&self, abort: Abort) {
        self.tasks.set_abort(self.id, abort);
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn tasks(&self) -> &Arc<Tasks> {
        &self.tasks
    }

    /// Ends the work; `unfinished` says that it did not come to its end by itself.
    pub(crate) fn end(self, unfinished: bool) {
        self.tasks.leave(self.id, unfinished);
        // `Drop` finds nothing to remove any more.
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.tasks.leave(self.id, crate::work::is_being_aborted());
    }
}
