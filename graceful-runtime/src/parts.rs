//! The parts of a program, which drain in the order that `after` declares.
//!
//! Part 0 is the program itself; every [`scope`](crate::Shutdown::scope) adds one below the part that it was called on.
//!
//! # Invariants
//!
//! 1. A part is told to stop once its parent was, and everything it comes `after` has drained; or when it is asked alone.
//! 2. `live` is the number of pieces of work in a part and all parts below it, `own` in the part alone.
//! 3. The relation "must drain before" (a part before what comes after it, a child before its parent) has no cycle.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::work::quietly;

/// The index of a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PartId(usize);

impl PartId {
    pub(crate) const PROGRAM: Self = Self(0);
}

/// What is to be told once the lock is free: wakers are user code.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct News {
    told: Vec<CancellationToken>,
    drained: Vec<watch::Sender<()>>,
}

impl News {
    pub(crate) fn tell(self) {
        let Self { told, drained } = self;
        // Whoever waits is woken: a waker is user code.
        for token in told {
            quietly(|| token.cancel());
        }
        for part in drained {
            quietly(|| part.send_replace(()));
        }
    }
}

#[derive(Debug)]
struct Part {
    name: String,
    parent: Option<PartId>,
    after: Vec<PartId>,
    told: bool,
    /// It was asked to stop by itself and not with what it is in.
    alone: bool,
    forced: bool,
    token: CancellationToken,
    own: usize,
    live: usize,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct Parts {
    parts: Vec<Part>,
    /// `init` or `main`, whichever runs: it belongs to the program but is not counted.
    pub(crate) main_runs: bool,
}

impl Parts {
    pub(crate) fn new(token: CancellationToken) -> Self {
        let mut parts = Self { parts: Vec::new(), main_runs: false };
        parts.push("program".to_owned(), None, token);
        parts
    }

    pub(crate) fn add(&mut self, name: String, parent: PartId, token: CancellationToken) -> PartId {
        self.push(name, Some(parent), token)
    }

    /// Makes `part` wait for `other`.
    ///
    /// # Errors
    ///
    /// The names of both where the order would be a circle.
    pub(crate) fn after(
        &mut self,
        part: PartId,
        other: PartId,
    ) -> Result<(CancellationToken, News), (String, String)> {
        if self.waits_for(other, part, &mut Vec::new()) {
            return Err((self.at(part).name.clone(), self.at(other).name.clone()));
        }
        let new = self.at_mut(part);
        new.after.push(other);
        if new.told && !new.alone && new.live == 0 {
            // Told as it was made, before it could say what it comes after.
            new.told = false;
            new.token = CancellationToken::new();
        }
        let token = new.token.clone();
        Ok((token, self.settled()))
    }

    /// Marks the part and what is below it: what is let in from now on is aborted.
    pub(crate) fn force(&mut self, part: PartId) {
        self.at_mut(part).forced = true;
    }

    /// Whether the part, or one that it is in, was forced.
    pub(crate) fn is_forced(&self, part: PartId) -> bool {
        let part = self.at(part);
        part.forced || part.parent.is_some_and(|parent| self.is_forced(parent))
    }

    pub(crate) fn is_told(&self, part: PartId) -> bool {
        self.at(part).told
    }

    /// Whether `part` is `whole` or somewhere below it.
    pub(crate) fn is_within(&self, part: PartId, whole: PartId) -> bool {
        part == whole || self.at(part).parent.is_some_and(|parent| self.is_within(parent, whole))
    }

    /// How many pieces of work are in the part and below it.
    pub(crate) fn live(&self, part: PartId) -> usize {
        self.at(part).live
    }

    /// Whether the part was told to stop and has nothing left; for the program's own work see `own`.
    pub(crate) fn is_drained(&self, part: PartId) -> bool {
        let part = self.at(part);
        part.told && part.live == 0
    }

    pub(crate) fn changes(&self, part: PartId) -> watch::Receiver<()> {
        self.at(part).changed.subscribe()
    }

    pub(crate) fn enter(&mut self, part: PartId) {
        self.at_mut(part).own += 1;
        self.each_above(part, |part| part.live += 1);
    }

    pub(crate) fn leave(&mut self, part: PartId) -> News {
        self.at_mut(part).own -= 1;
        // What follows from an empty part follows only once it was told.
        let emptied = self.at(part).own == 0 && self.at(part).told;
        let mut news = News::default();
        self.each_above(part, |part| {
            part.live -= 1;
            if part.told && part.live == 0 {
                news.drained.push(part.changed.clone());
            }
        });
        if emptied {
            self.settle(&mut news);
        }
        news
    }

    pub(crate) fn main_ended(&mut self) -> News {
        self.main_runs = false;
        self.settled()
    }

    /// Tells the part to stop, and what may stop with it.
    pub(crate) fn request(&mut self, part: PartId) -> News {
        let mut news = News::default();
        self.at_mut(part).alone = true;
        self.tell(part.0, &mut news);
        self.settle(&mut news);
        news
    }

    /// What follows from the state of things.
    pub(crate) fn settled(&mut self) -> News {
        let mut news = News::default();
        self.settle(&mut news);
        news
    }

    /// Invariant 1, until nothing more follows from it.
    fn settle(&mut self, news: &mut News) {
        while let Some(next) = (0..self.parts.len()).find(|&index| self.may_be_told(index)) {
            self.tell(next, news);
        }
    }

    fn may_be_told(&self, index: usize) -> bool {
        let part = &self.parts[index];
        let parent_is_told = part.parent.is_some_and(|parent| self.at(parent).told);
        !part.told && parent_is_told && part.after.iter().all(|&other| self.lets_go(other))
    }

    /// Whether what comes after the part may be told: of the program itself, its own work counts and that of its scopes does not.
    fn lets_go(&self, part: PartId) -> bool {
        let own_is_done = self.at(part).told && self.at(part).own == 0;
        if part == PartId::PROGRAM { own_is_done && !self.main_runs } else { self.is_drained(part) }
    }

    fn tell(&mut self, index: usize, news: &mut News) {
        let part = &mut self.parts[index];
        part.told = true;
        news.told.push(part.token.clone());
        if part.live == 0 {
            news.drained.push(part.changed.clone());
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

    fn each_above(&mut self, part: PartId, mut change: impl FnMut(&mut Part)) {
        let mut next = Some(part);
        while let Some(part) = next {
            let part = self.at_mut(part);
            change(part);
            next = part.parent;
        }
    }

    fn at(&self, part: PartId) -> &Part {
        &self.parts[part.0]
    }

    fn at_mut(&mut self, part: PartId) -> &mut Part {
        &mut self.parts[part.0]
    }

    fn push(&mut self, name: String, parent: Option<PartId>, token: CancellationToken) -> PartId {
        let changed = watch::Sender::new(());
        self.parts.push(Part {
            name,
            parent,
            after: Vec::new(),
            told: false,
            alone: false,
            forced: false,
            token,
            own: 0,
            live: 0,
            changed,
        });
        PartId(self.parts.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts::new(CancellationToken::new())
    }

    fn scope(parts: &mut Parts, parent: PartId) -> PartId {
        parts.add("scope".to_owned(), parent, CancellationToken::new())
    }

    #[test]
    fn a_scope_is_told_once_what_it_comes_after_has_drained() {
        let mut parts = parts();
        let (first, second) =
            (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        parts.after(second, first).unwrap().1.tell();
        parts.enter(first);
        parts.request(PartId::PROGRAM).tell();
        assert!(parts.is_told(first) && !parts.is_told(second));
        parts.leave(first).tell();
        assert!(parts.is_told(second));
    }

    #[test]
    fn stopping_one_part_alone_leaves_the_rest() {
        let mut parts = parts();
        let (first, second) =
            (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let below = scope(&mut parts, first);
        parts.after(second, first).unwrap().1.tell();
        parts.request(first).tell();
        assert!(parts.is_told(first) && parts.is_told(below));
        assert!(!parts.is_told(second) && !parts.is_told(PartId::PROGRAM));
    }

    #[test]
    fn a_scope_after_the_program_waits_for_main() {
        let mut parts = parts();
        let last = scope(&mut parts, PartId::PROGRAM);
        parts.after(last, PartId::PROGRAM).unwrap().1.tell();
        parts.main_runs = true;
        parts.request(PartId::PROGRAM).tell();
        assert!(!parts.is_told(last));
        parts.main_ended().tell();
        assert!(parts.is_told(last));
    }

    #[test]
    fn a_circle_is_refused() {
        let mut parts = parts();
        let (a, b) = (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let below_a = scope(&mut parts, a);
        parts.after(b, a).unwrap().1.tell();
        assert!(parts.after(a, b).is_err(), "a after b after a");
        assert!(parts.after(a, a).is_err(), "a after itself");
        assert!(parts.after(below_a, a).is_err(), "a part after the one that it is in");
        assert!(parts.after(below_a, b).is_err(), "b waits for a, and a for what is below it");
    }
}
