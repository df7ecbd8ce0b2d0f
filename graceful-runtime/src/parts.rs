//! The parts of a program, which drain in the order that `after` declares.
//!
//! Part 0 is the program itself; every [`scope`](crate::Shutdown::scope) adds one below the part that it was called on.
//!
//! # Invariants
//!
//! 1. A part is told to stop once its parent was, and everything it comes `after` has drained; or when it is asked alone.
//! 2. Whether a part is empty is decided under the lock of the tree, by an exact look at its counters; who finds work there is told
//!    of the end of the last of it.
//! 3. The relation "must drain before" (a part before what comes after it, a child before its parent) has no cycle.

use std::sync::Weak;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    in_flight::{is_empty, mode},
    part::Part,
    program::Program,
    work::quietly,
};

/// The index of a part.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct PartId(usize);

impl PartId {
    pub(crate) const PROGRAM: Self = Self(0);
}

/// What is to be told once the lock is free: wakers are user code.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct News {
    told: Vec<(&'static Part, CancellationToken)>,
    drained: Vec<watch::Sender<()>>,
}

impl News {
    pub(crate) fn tell(self) {
        let Self { told, drained } = self;
        for (part, token) in told {
            part.wake();
            quietly(|| token.cancel());
        }
        for part in drained {
            // Whoever waits is woken: a waker is user code.
            quietly(|| part.send_replace(()));
        }
    }
}

#[derive(Debug)]
struct Node {
    name: String,
    parent: Option<PartId>,
    after: Vec<PartId>,
    /// It was asked to stop by itself and not with what it is in.
    alone: bool,
    part: &'static Part,
    /// How much had ended in it when it was another program's.
    before: usize,
    changed: watch::Sender<()>,
}

impl Node {
    fn is(&self, bit: usize) -> bool {
        self.part.in_flight.is(bit)
    }
}

#[derive(Debug)]
pub(crate) struct Parts {
    parts: Vec<Node>,
    /// `init` or `main`, whichever runs: it belongs to the program but is not counted.
    pub(crate) main_runs: bool,
    /// Nothing is let in any more.
    pub(crate) closed: bool,
}

impl Parts {
    pub(crate) fn new(root: &'static Part) -> Self {
        let mut parts = Self { parts: Vec::new(), main_runs: false, closed: false };
        parts.push("program".to_owned(), None, root);
        parts
    }

    pub(crate) fn add(
        &mut self,
        name: String,
        parent: PartId,
        program: &Weak<Program>,
    ) -> &'static Part {
        let part = Part::new(program.clone(), PartId(self.parts.len()));
        if self.is_forced(parent) {
            part.in_flight.set(mode::FORCED);
        }
        if self.closed {
            part.in_flight.set(mode::SHUT);
        }
        self.push(name, Some(parent), part);
        part
    }

    /// Makes `part` wait for `other`.
    ///
    /// # Errors
    ///
    /// The names of both where the order would be a circle.
    pub(crate) fn after(&mut self, part: PartId, other: PartId) -> Result<News, (String, String)> {
        if self.waits_for(other, part, &mut Vec::new()) {
            return Err((self.at(part).name.clone(), self.at(other).name.clone()));
        }
        let node = self.at_mut(part);
        node.after.push(other);
        if node.is(mode::TOLD) && !node.alone && node.part.in_flight.count() == 0 {
            // Told as it was made, before it could say what it comes after.
            node.part.untell();
        }
        Ok(self.settled())
    }

    /// Marks the part and what is below it: what is let in from now on is aborted.
    pub(crate) fn force(&self, part: PartId) -> Vec<&'static Part> {
        let parts: Vec<_> = self.within(part).map(|node| node.part).collect();
        parts.iter().for_each(|part| part.in_flight.set(mode::FORCED));
        parts
    }

    /// Whether the part, or one that it is in, was forced.
    fn is_forced(&self, part: PartId) -> bool {
        self.at(part).is(mode::FORCED)
    }

    /// Whether `part` is `whole` or somewhere below it.
    fn is_within(&self, part: PartId, whole: PartId) -> bool {
        part == whole || self.at(part).parent.is_some_and(|parent| self.is_within(parent, whole))
    }

    /// The part and all below it.
    fn within(&self, whole: PartId) -> impl Iterator<Item = &Node> + Clone {
        let inside = move |&index: &usize| self.is_within(PartId(index), whole);
        (0..self.parts.len()).filter(inside).map(|index| &self.parts[index])
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Part> + '_ {
        self.parts.iter().map(|node| node.part)
    }

    pub(crate) fn part(&self, part: PartId) -> &'static Part {
        self.at(part).part
    }

    /// How many pieces of work are in the part and below it.
    pub(crate) fn count(&self, part: PartId) -> usize {
        self.within(part).map(|node| node.part.in_flight.count()).sum()
    }

    /// How many pieces of work have ended, ever.
    pub(crate) fn ended(&self) -> usize {
        let ended = |node: &Node| node.part.in_flight.ended().wrapping_sub(node.before);
        self.parts.iter().fold(0, |sum: usize, node| sum.wrapping_add(ended(node)))
    }

    /// Whether the part was told to stop and has nothing left; for the program's own work see `lets_go`.
    pub(crate) fn is_drained(&self, part: PartId) -> bool {
        self.at(part).is(mode::TOLD) && self.is_empty(self.within(part))
    }

    /// Whether nothing is in flight in these. If something is, the exit of the last one in each will say so.
    fn is_empty<'a>(&self, nodes: impl Iterator<Item = &'a Node> + Clone) -> bool {
        nodes.clone().for_each(|node| node.part.in_flight.await_empty());
        is_empty(nodes.map(|node| &node.part.in_flight))
    }

    pub(crate) fn changes(&self, part: PartId) -> watch::Receiver<()> {
        self.at(part).changed.subscribe()
    }

    /// `init` or `main` begins, unless all is over.
    pub(crate) fn main_begins(&mut self) -> bool {
        self.main_runs |= !self.closed;
        !self.closed
    }

    pub(crate) fn main_ended(&mut self) -> News {
        self.main_runs = false;
        self.settled()
    }

    /// The last piece of work in a part has ended.
    pub(crate) fn emptied(&self, part: PartId) -> News {
        let mut news = News::default();
        let mut next = Some(part);
        while let Some(part) = next {
            if self.is_drained(part) {
                news.drained.push(self.at(part).changed.clone());
            }
            next = self.at(part).parent;
        }
        self.settle(&mut news);
        news
    }

    /// Closes if the program was told to stop and nothing is left.
    pub(crate) fn close_if_drained(&mut self) -> bool {
        let is_over = !self.main_runs && self.is_drained(PartId::PROGRAM);
        if self.closed || !is_over {
            return self.closed;
        }
        // Whoever comes now is sent to wait for the lock. If somebody had come before, it was too early.
        self.close();
        if !self.is_empty(self.parts.iter()) {
            self.parts.iter().for_each(|node| node.part.in_flight.clear(mode::SHUT));
            self.closed = false;
        }
        self.closed
    }

    /// Closes, whatever is left.
    pub(crate) fn close(&mut self) {
        self.parts.iter().for_each(|node| node.part.in_flight.set(mode::SHUT));
        self.closed = true;
    }

    /// Tells the part to stop, and what may stop with it.
    pub(crate) fn request(&mut self, part: PartId) -> News {
        let mut news = News::default();
        self.at_mut(part).alone = true;
        if !self.at(part).is(mode::TOLD) {
            self.tell(part.0, &mut news);
            self.settle(&mut news);
        }
        news
    }

    /// What follows from the state of things.
    pub(crate) fn settled(&self) -> News {
        let mut news = News::default();
        self.settle(&mut news);
        news
    }

    /// Invariant 1, until nothing more follows from it.
    fn settle(&self, news: &mut News) {
        while let Some(next) = (0..self.parts.len()).find(|&index| self.may_be_told(index)) {
            self.tell(next, news);
        }
    }

    fn may_be_told(&self, index: usize) -> bool {
        let node = &self.parts[index];
        let parent_is_told = node.parent.is_some_and(|parent| self.at(parent).is(mode::TOLD));
        !node.is(mode::TOLD)
            && parent_is_told
            && node.after.iter().all(|&other| self.lets_go(other))
    }

    /// Whether what comes after the part may be told: of the program itself, its own work counts and that of its scopes does not.
    fn lets_go(&self, part: PartId) -> bool {
        if part != PartId::PROGRAM {
            return self.is_drained(part);
        }
        let own = self.parts.iter().take(1);
        self.at(part).is(mode::TOLD) && !self.main_runs && self.is_empty(own)
    }

    fn tell(&self, index: usize, news: &mut News) {
        let node = &self.parts[index];
        news.told.push((node.part, node.part.set_told()));
        if self.is_drained(PartId(index)) {
            news.drained.push(node.changed.clone());
        }
    }

    /// Whether `part` cannot drain before `other` has: invariant 3. `seen` have been looked at.
    fn waits_for(&self, part: PartId, other: PartId, seen: &mut Vec<PartId>) -> bool {
        if part == other {
            return true;
        }
        if seen.contains(&part) {
            return false;
        }
        seen.push(part);
        // The program's own work does not wait for its scopes.
        let below = |child: PartId| part != PartId::PROGRAM && self.at(child).parent == Some(part);
        let children = (0..self.parts.len()).map(PartId).filter(|&child| below(child));
        let before: Vec<_> = self.at(part).after.iter().copied().chain(children).collect();
        before.into_iter().any(|before| self.waits_for(before, other, seen))
    }

    fn at(&self, part: PartId) -> &Node {
        &self.parts[part.0]
    }

    fn at_mut(&mut self, part: PartId) -> &mut Node {
        &mut self.parts[part.0]
    }

    fn push(&mut self, name: String, parent: Option<PartId>, part: &'static Part) {
        let changed = watch::Sender::new(());
        let (after, before) = (Vec::new(), part.in_flight.ended());
        self.parts.push(Node { name, parent, after, alone: false, part, before, changed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts::new(Part::new(Weak::new(), PartId::PROGRAM))
    }

    fn scope(parts: &mut Parts, parent: PartId) -> PartId {
        parts.add("scope".to_owned(), parent, &Weak::new()).id()
    }

    fn is_told(parts: &Parts, part: PartId) -> bool {
        parts.at(part).is(mode::TOLD)
    }

    #[test]
    fn a_scope_is_told_once_what_it_comes_after_has_drained() {
        let mut parts = parts();
        let (first, second) =
            (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        parts.after(second, first).unwrap().tell();
        assert!(parts.part(first).in_flight.enter(0, 0).is_ok());
        parts.request(PartId::PROGRAM).tell();
        assert!(is_told(&parts, first) && !is_told(&parts, second));
        assert!(parts.part(first).in_flight.exit(0));
        parts.emptied(first).tell();
        assert!(is_told(&parts, second));
    }

    #[test]
    fn stopping_one_part_alone_leaves_the_rest() {
        let mut parts = parts();
        let (first, second) =
            (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let below = scope(&mut parts, first);
        parts.after(second, first).unwrap().tell();
        parts.request(first).tell();
        assert!(is_told(&parts, first) && is_told(&parts, below));
        assert!(!is_told(&parts, second) && !is_told(&parts, PartId::PROGRAM));
    }

    #[test]
    fn a_scope_after_the_program_waits_for_main() {
        let mut parts = parts();
        let last = scope(&mut parts, PartId::PROGRAM);
        parts.after(last, PartId::PROGRAM).unwrap().tell();
        parts.main_runs = true;
        parts.request(PartId::PROGRAM).tell();
        assert!(!is_told(&parts, last));
        parts.main_ended().tell();
        assert!(is_told(&parts, last));
    }

    #[test]
    fn a_circle_is_refused() {
        let mut parts = parts();
        let (a, b) = (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let below_a = scope(&mut parts, a);
        parts.after(b, a).unwrap().tell();
        assert!(parts.after(a, b).is_err(), "a after b after a");
        assert!(parts.after(a, a).is_err(), "a after itself");
        assert!(parts.after(below_a, a).is_err(), "a part after the one that it is in");
        assert!(parts.after(below_a, b).is_err(), "b waits for a, and a for what is below it");
    }
}
