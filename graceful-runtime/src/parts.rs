//! The parts of a program, which drain in the order that `after` declares.
//!
//! Part 0 is the program itself; every [`scope`](crate::Shutdown::scope) adds one below the part that it was called on. A scope is gone, and its
//! memory used again, once no handle leads to it and nothing is in flight in it or below it.
//!
//! # Invariants
//!
//! 1. A part is told to stop once its parent was, and everything it comes `after` has drained; or when it is asked alone.
//! 2. Whether a part is empty is decided under the lock of the tree, by an exact look at its counters; if work is found there,
//!    the end of the last of it comes back as [`Parts::emptied`].
//! 3. The relation "must drain before" (a part before what comes after it, a child before its parent) has no cycle.
//! 4. A part's witness is in it or below it, has work in flight, and its end will be told. So while the witness stands, the part is not empty,
//!    and nobody has to look at all that is below it.
//! 5. A part that no handle leads to gets work only from work that is in flight in it. So once it is found empty it stays so.

use std::collections::HashSet;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    in_flight::{InFlight, is_empty, mode},
    part::Part,
    part_id::PartId,
    parts_stock::PartsStock,
    sync::heavy_fence,
    work::quietly,
};

/// What is to be told once the lock is free: wakers are user code.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct News {
    told: Vec<&'static Part>,
    tokens: Vec<CancellationToken>,
    drained: Vec<watch::Sender<()>>,
    /// Parts that are gone, to be cleared and given back: futures that were leaked may have left wakers in them, or wait for their changes.
    gone: Vec<Node>,
}

impl News {
    /// Tells it. Gives the parts that are gone, for [`Parts::give_back`].
    #[must_use]
    pub(crate) fn tell(self) -> Vec<&'static Part> {
        let Self { told, tokens, drained, gone } = self;
        told.into_iter().for_each(Part::wake);
        for token in tokens {
            quietly(|| token.cancel());
        }
        for part in drained {
            // This wakes those that wait: a waker is user code.
            quietly(|| part.send_replace(()));
        }
        gone.into_iter()
            .map(|Node { part, .. }| {
                part.clear();
                part
            })
            .collect()
    }
}

#[derive(Debug)]
struct Node {
    name: String,
    parent: Option<PartId>,
    /// Its place among the children of its parent.
    place: usize,
    children: Vec<PartId>,
    /// From which of its children on work is looked for.
    next_child: usize,
    /// Invariant 4.
    witness: Option<PartId>,
    /// It was found drained, and everybody was told, when so much had ended in the part itself; nobody has said since then that something has ended in
    /// it or below it.
    known_drained: Option<usize>,
    after: Vec<PartId>,
    /// From which of them on it is looked whether they have drained.
    next_after: usize,
    /// The parts that come after it.
    followers: Vec<PartId>,
    /// It is told to stop, and every look at its counters sees who was let in before.
    is_told: bool,
    /// It was asked to stop by itself and not with what it is in.
    is_alone: bool,
    /// A handle leads to it.
    is_held: bool,
    part: &'static Part,
    /// How much had ended in it when it was another's.
    before: usize,
    /// Made when somebody asks for it, as are tokens: a scope for each session should cost little.
    token: Option<CancellationToken>,
    /// Tokens of parts below it that are gone: they had their own, because those parts came after others.
    orphans: Vec<CancellationToken>,
    /// Its token is no child of its parent's.
    has_own_token: bool,
    changed: Option<watch::Sender<()>>,
}

impl Node {
    fn new(name: String, parent: Option<PartId>, part: &'static Part) -> Self {
        Self {
            name,
            parent,
            place: 0,
            children: Vec::new(),
            next_child: 0,
            witness: None,
            known_drained: None,
            after: Vec::new(),
            next_after: 0,
            followers: Vec::new(),
            is_told: false,
            is_alone: false,
            is_held: true,
            part,
            before: part.in_flight.exits(),
            token: None,
            orphans: Vec::new(),
            has_own_token: false,
            changed: None,
        }
    }

    fn in_flight(&self) -> &'static InFlight {
        &self.part.in_flight
    }

    /// Whether something is in flight in the part itself. From here on the end of the last of it will be told.
    fn has_work(&self) -> bool {
        let counter = self.in_flight();
        counter.await_empty();
        counter.count() > 0
    }
}

#[derive(Debug)]
pub(crate) struct Parts {
    /// By their numbers. `None`: free.
    nodes: Vec<Option<Node>>,
    free: Vec<PartId>,
    stock: PartsStock,
    /// How much had ended in parts that are gone, and how much was let into them.
    gone: usize,
    /// `init` or `main`, whichever runs: it belongs to the program but is not counted.
    pub(crate) main_runs: bool,
    /// Nothing is let in any more.
    pub(crate) closed: bool,
}

/// The parts themselves.
impl Parts {
    pub(crate) fn new(stock: PartsStock) -> Self {
        let root = Node::new("program".to_owned(), None, stock.root());
        root.part.set_id(PartId::PROGRAM);
        Self {
            nodes: vec![Some(root)],
            free: Vec::new(),
            stock,
            gone: 0,
            main_runs: false,
            closed: false,
        }
    }

    /// Adds a scope, which one handle leads to.
    pub(crate) fn add(&mut self, name: String, parent: PartId) -> (&'static Part, News) {
        let part = self.stock.take();
        let inherited = [mode::FORCED, mode::BY_STOP].into_iter();
        let inherited = inherited.filter(|&bit| self.at(parent).in_flight().is(bit));
        let shut = self.closed.then_some(mode::SHUT);
        // Nobody else has it yet, so this needs no fence.
        part.in_flight.mark(inherited.chain(shut).sum());
        let mut node = Node::new(name, Some(parent), part);
        node.place = self.at(parent).children.len();
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            PartId(self.nodes.len() - 1)
        });
        part.set_id(id);
        self.nodes[id.0] = Some(node);
        self.at_mut(parent).children.push(id);
        let mut news = News::default();
        if self.may_be_told(id) {
            self.tell(vec![id], &mut news);
        }
        (part, news)
    }

    /// The last handle of a scope is gone.
    pub(crate) fn let_go(&mut self, part: PartId) -> News {
        let mut news = News::default();
        self.at_mut(part).is_held = false;
        self.look_up_from(part, &mut news);
        news
    }

    /// Makes `part` wait for `other`.
    ///
    /// # Errors
    ///
    /// The names of both where the order would be a circle.
    pub(crate) fn after(&mut self, part: PartId, other: PartId) -> Result<News, (String, String)> {
        if self.waits_for(other, part, &mut HashSet::new()) {
            return Err((self.at(part).name.clone(), self.at(other).name.clone()));
        }
        self.at_mut(part).after.push(other);
        self.at_mut(other).followers.push(part);
        self.untell(part);
        let mut news = News::default();
        if self.may_be_told(part) {
            self.tell(vec![part], &mut news);
        }
        Ok(news)
    }

    /// Takes back that the part is told, which it was as it was made, before it could say what it comes after. What has work, or was asked to stop by
    /// itself, stays as it is.
    fn untell(&mut self, part: PartId) {
        let all = self.within(part);
        let is_fresh = |&id: &PartId| {
            let node = self.at(id);
            node.is_told && !node.is_alone && !node.has_work()
        };
        if all.iter().all(is_fresh) {
            for id in all {
                let node = self.at_mut(id);
                (node.is_told, node.known_drained, node.token) = (false, None, None);
                node.part.untell();
            }
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Part> + Clone + '_ {
        self.nodes.iter().flatten().map(|node| node.part)
    }

    /// Marks the part and what is below it: what is let in from now on is aborted. Gives their numbers if anything is in flight in them.
    pub(crate) fn force(&self, part: PartId, bits: usize) -> HashSet<PartId> {
        let parts = self.within(part);
        let counters = parts.iter().map(|&id| self.at(id).in_flight());
        for counter in counters.clone() {
            counter.mark(bits);
        }
        heavy_fence();
        let is_idle = counters.map(InFlight::count).all(|count| count == 0);
        if is_idle && part != PartId::PROGRAM {
            HashSet::new()
        } else {
            parts.into_iter().collect()
        }
    }

    /// How many pieces of work are in the part and below it.
    pub(crate) fn count(&self, part: PartId) -> usize {
        self.within(part).into_iter().map(|id| self.at(id).in_flight().count()).sum()
    }

    /// How many pieces of work have ended, ever.
    pub(crate) fn ended(&self) -> usize {
        self.sum(InFlight::exits)
    }

    /// How many pieces of work were let in, ever.
    pub(crate) fn entered(&self) -> usize {
        self.sum(InFlight::enters)
    }

    fn sum(&self, of: fn(&InFlight) -> usize) -> usize {
        let own = |node: &Node| of(node.in_flight()).wrapping_sub(node.before);
        self.nodes.iter().flatten().fold(self.gone, |sum, node| sum.wrapping_add(own(node)))
    }

    pub(crate) fn changes(&mut self, part: PartId) -> watch::Receiver<()> {
        self.at_mut(part).changed.get_or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// The token of a part. Where nothing has to drain before it, that is a child of its parent's: told with it, and gone without a trace.
    pub(crate) fn token(&mut self, part: PartId) -> CancellationToken {
        let node = self.at(part);
        if let Some(token) = &node.token {
            return token.clone();
        }
        let (is_told, parent) = (node.is_told, node.parent.filter(|_| node.after.is_empty()));
        let token = match parent {
            Some(parent) => self.token(parent).child_token(),
            None => CancellationToken::new(),
        };
        if is_told {
            // It is new: there is nobody to be woken.
            token.cancel();
        }
        let node = self.at_mut(part);
        node.has_own_token = parent.is_none();
        node.token.insert(token).clone()
    }
}

/// Draining.
impl Parts {
    /// Whether the part was told to stop and has nothing left; for the program's own work see `lets_go`.
    pub(crate) fn is_drained(&mut self, part: PartId) -> bool {
        self.at(part).is_told && self.is_empty(part)
    }

    /// `init` or `main` begins, unless all is over.
    pub(crate) fn main_begins(&mut self) -> bool {
        self.main_runs |= !self.closed;
        !self.closed
    }

    pub(crate) fn main_ended(&mut self) -> News {
        self.main_runs = false;
        self.emptied(PartId::PROGRAM)
    }

    /// The last piece of work in a part has ended. The part may be gone by now, or another with its number.
    pub(crate) fn emptied(&mut self, part: PartId) -> News {
        self.forget(part, Some(part));
        let mut news = News::default();
        self.look_up_from(part, &mut news);
        news
    }

    /// Closes if the program was told to stop and nothing is left.
    pub(crate) fn close_if_drained(&mut self) -> bool {
        let is_over = !self.main_runs && self.is_drained(PartId::PROGRAM);
        if self.closed || !is_over {
            return self.closed;
        }
        // What comes now is sent to wait for the lock. If something had come before, it was too early.
        self.close();
        if !is_empty(self.all().map(|part| &part.in_flight)) {
            self.all().for_each(|part| part.in_flight.clear(mode::SHUT));
            self.closed = false;
        }
        self.closed
    }

    /// Closes, whatever is left.
    pub(crate) fn close(&mut self) {
        for part in self.all() {
            part.in_flight.mark(mode::SHUT);
        }
        heavy_fence();
        self.closed = true;
    }

    /// Tells the part to stop, and what may stop with it.
    pub(crate) fn request(&mut self, part: PartId) -> News {
        let mut news = News::default();
        self.at_mut(part).is_alone = true;
        if !self.at(part).is_told {
            self.tell(vec![part], &mut news);
        }
        news
    }

    /// This part, and what it is in, may have drained, or be gone.
    fn look_up_from(&mut self, first: PartId, news: &mut News) {
        let mut next = Some(first);
        while let Some(id) = next {
            let Some(node) = &self.nodes[id.0] else { return };
            next = node.parent;
            // A scope's end is none of the program's own work, which alone lets go what comes after that.
            let is_own = id == first || id != PartId::PROGRAM;
            let mut followers = self.let_go_by(id, is_own, news);
            followers.extend(self.remove_if_unused(id, news));
            followers.retain(|&follower| self.may_be_told(follower));
            self.tell(followers, news);
        }
    }

    /// What may be told now that something has ended in this part; if it has drained, that is news.
    fn let_go_by(&mut self, part: PartId, is_own: bool, news: &mut News) -> Vec<PartId> {
        if self.at(part).known_drained.is_some() {
            return Vec::new();
        }
        if self.is_drained(part) {
            let node = self.at_mut(part);
            node.known_drained = Some(node.in_flight().exits());
            news.drained.extend(node.changed.clone());
        } else if part != PartId::PROGRAM || !self.lets_go(part) {
            return Vec::new();
        }
        if is_own { self.at(part).followers.clone() } else { Vec::new() }
    }

    /// Whether nothing is in flight in the part and below it. If something is, the end of the last of it will say so.
    fn is_empty(&mut self, part: PartId) -> bool {
        self.find_witness(part).is_none() && {
            let parts = self.within(part);
            // Each was found empty, but not all at the same time: work may have been handed from one to another.
            is_empty(parts.iter().map(|&id| self.at(id).in_flight()))
        }
    }

    /// A part with work in flight, at or below this one. The next search begins where this one ended.
    fn find_witness(&mut self, part: PartId) -> Option<PartId> {
        let node = self.at(part);
        if node.witness.is_some() {
            return node.witness;
        }
        let mut found = node.has_work().then_some(part);
        let (children, begin) = (node.children.len(), node.next_child);
        for step in 0..children {
            if found.is_some() {
                break;
            }
            let place = (begin + step) % children;
            let child = self.at(part).children[place];
            found = self.find_witness(child);
            self.at_mut(part).next_child = place;
        }
        self.at_mut(part).witness = found;
        found
    }

    /// Whether what comes after the part may be told: of the program itself, its own work counts and that of its scopes does not.
    fn lets_go(&mut self, part: PartId) -> bool {
        if part != PartId::PROGRAM {
            return self.is_drained(part);
        }
        let node = self.at(part);
        node.is_told && !self.main_runs && !node.has_work()
    }

    fn may_be_told(&mut self, part: PartId) -> bool {
        let Some(node) = &self.nodes[part.0] else { return false };
        let parent_is_told = node.parent.is_some_and(|parent| self.at(parent).is_told);
        let (count, begin) = (node.after.len(), node.next_after);
        if node.is_told || !parent_is_told {
            return false;
        }
        // From the one on that was waited for the last time: those before it had drained.
        let holds = |parts: &mut Self, place: &usize| {
            let other = parts.at(part).after[*place];
            !parts.lets_go(other)
        };
        let held_by =
            (0..count).map(|step| (begin + step) % count).find(|place| holds(self, place));
        self.at_mut(part).next_after = held_by.unwrap_or(0);
        held_by.is_none()
    }

    /// Tells parts to stop, and everything that may stop with them: invariant 1, until nothing more follows from it.
    fn tell(&mut self, mut wave: Vec<PartId>, news: &mut News) {
        while !wave.is_empty() {
            self.tell_all(&wave, news);
            let mut next = Vec::new();
            for part in wave {
                next.extend(self.let_go_by(part, true, news));
                next.extend(&self.at(part).children);
            }
            next.sort_unstable();
            next.dedup();
            next.retain(|&part| self.may_be_told(part));
            wave = next;
        }
    }

    /// Tells these, with one fence for all: there may be thousands.
    fn tell_all(&mut self, parts: &[PartId], news: &mut News) {
        let awaits: Vec<_> = parts
            .iter()
            .map(|&id| {
                let counter = self.at(id).in_flight();
                counter.mark(mode::TOLD);
                counter.mark(mode::AWAITED)
            })
            .collect();
        heavy_fence();
        for (&id, is_new) in parts.iter().zip(awaits) {
            let node = self.at_mut(id);
            if is_new {
                node.in_flight().set_hint();
            }
            node.is_told = true;
            node.part.set_told();
            news.told.push(node.part);
            news.tokens.extend(node.token.clone().into_iter().chain(node.orphans.drain(..)));
        }
    }

    /// Removes a scope that no handle leads to and that has nothing in it. Gives what came after it.
    fn remove_if_unused(&mut self, part: PartId, news: &mut News) -> Vec<PartId> {
        let node = self.at(part);
        let may_go = part != PartId::PROGRAM && !node.is_held && node.children.is_empty();
        // Invariant 5: a zero holds, also without a fence. Otherwise the end of the last piece of work is to say so.
        if !may_go || node.in_flight().count() > 0 && node.has_work() {
            return Vec::new();
        }
        let Some(node) = self.nodes[part.0].take() else { return Vec::new() };
        self.gone = self.gone.wrapping_add(node.in_flight().exits().wrapping_sub(node.before));
        self.unlink(part, &node, news);
        self.free.push(part);
        let followers = node.followers.clone();
        news.gone.push(node);
        followers
    }

    /// Parts that are gone, and cleared, may be used again.
    pub(crate) fn give_back(&mut self, parts: Vec<&'static Part>) {
        self.stock.give_back(parts);
    }

    /// Takes a part that is gone out of what the others know of it.
    fn unlink(&mut self, part: PartId, node: &Node, news: &mut News) {
        for &other in &node.after {
            self.at_mut(other).followers.retain(|&follower| follower != part);
        }
        for &follower in &node.followers {
            let follower = self.at_mut(follower);
            follower.after.retain(|&other| other != part);
            follower.next_after = 0;
        }
        if let Some(parent) = node.parent {
            let tokens = node.token.iter().filter(|_| !node.is_told).chain(&node.orphans);
            let is_told = self.at(parent).is_told;
            match is_told {
                true => news.tokens.extend(tokens.cloned()),
                // A child of the parent's own needs no help.
                false if node.has_own_token => self.at_mut(parent).orphans.extend(tokens.cloned()),
                false => self.at_mut(parent).orphans.extend(node.orphans.iter().cloned()),
            }
            let children = &mut self.at_mut(parent).children;
            children.swap_remove(node.place);
            if let Some(&moved) = children.get(node.place) {
                self.at_mut(moved).place = node.place;
            }
        }
        if node.known_drained != Some(node.in_flight().exits()) {
            // Its last work has ended, and may have no part left to say so of.
            self.forget(part, node.parent);
        }
    }

    /// Something has ended in this part: forgets what was known from there up because of it.
    fn forget(&mut self, part: PartId, mut from: Option<PartId>) {
        while let Some(Some(node)) = from.map(|id| &mut self.nodes[id.0]) {
            node.known_drained = None;
            node.witness = node.witness.filter(|&witness| witness != part);
            from = node.parent;
        }
    }

    /// Whether `part` cannot drain before `other` has: invariant 3. `seen` have been looked at.
    fn waits_for(&self, part: PartId, other: PartId, seen: &mut HashSet<PartId>) -> bool {
        if part == other {
            return true;
        }
        if !seen.insert(part) {
            return false;
        }
        let node = self.at(part);
        // The program's own work does not wait for its scopes.
        let children = if part == PartId::PROGRAM { &[] } else { &node.children[..] };
        node.after.iter().chain(children).any(|&before| self.waits_for(before, other, seen))
    }

    /// The part and all below it.
    fn within(&self, whole: PartId) -> Vec<PartId> {
        let mut all = vec![whole];
        let mut next = 0;
        while let Some(&part) = all.get(next) {
            all.extend(&self.at(part).children);
            next += 1;
        }
        all
    }

    fn at(&self, part: PartId) -> &Node {
        self.nodes[part.0].as_ref().unwrap_or_else(|| unreachable!("it is in use"))
    }

    fn at_mut(&mut self, part: PartId) -> &mut Node {
        self.nodes[part.0].as_mut().unwrap_or_else(|| unreachable!("it is in use"))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let scopes = self.nodes.iter().skip(1).flatten().map(|node| node.part);
        self.stock.retire(scopes.collect());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    fn parts() -> Parts {
        Parts::new(PartsStock::new(Weak::new()))
    }

    fn scope(parts: &mut Parts, parent: PartId) -> PartId {
        let (part, news) = parts.add("scope".to_owned(), parent);
        tell(parts, news);
        part.id()
    }

    fn tell(parts: &mut Parts, news: News) {
        let gone = news.tell();
        parts.give_back(gone);
    }

    fn is_told(parts: &Parts, part: PartId) -> bool {
        let is_told = parts.at(part).is_told;
        assert_eq!(is_told, parts.at(part).part.is_told());
        is_told
    }

    fn enter(parts: &Parts, part: PartId) {
        assert!(parts.at(part).part.in_flight.enter(0, 0).is_ok());
    }

    /// The end of a piece of work, which tells if it is to.
    fn exit(parts: &mut Parts, part: PartId) {
        if parts.at(part).part.in_flight.exit(0) {
            let news = parts.emptied(part);
            tell(parts, news);
        }
    }

    #[test]
    fn a_scope_is_told_once_what_it_comes_after_has_drained() {
        let mut parts = parts();
        let (first, second) =
            (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let news = parts.after(second, first).unwrap();
        tell(&mut parts, news);
        enter(&parts, first);
        let news = parts.request(PartId::PROGRAM);
        tell(&mut parts, news);
        assert!(is_told(&parts, first) && !is_told(&parts, second));
        exit(&mut parts, first);
        assert!(is_told(&parts, second));
    }

    #[test]
    fn stopping_one_part_alone_leaves_the_rest() {
        let mut parts = parts();
        let (first, second) =
            (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let below = scope(&mut parts, first);
        let news = parts.after(second, first).unwrap();
        tell(&mut parts, news);
        let news = parts.request(first);
        tell(&mut parts, news);
        assert!(is_told(&parts, first) && is_told(&parts, below));
        assert!(!is_told(&parts, second) && !is_told(&parts, PartId::PROGRAM));
    }

    #[test]
    fn a_scope_after_the_program_waits_for_main() {
        let mut parts = parts();
        let last = scope(&mut parts, PartId::PROGRAM);
        let news = parts.after(last, PartId::PROGRAM).unwrap();
        tell(&mut parts, news);
        parts.main_runs = true;
        let news = parts.request(PartId::PROGRAM);
        tell(&mut parts, news);
        assert!(!is_told(&parts, last));
        let news = parts.main_ended();
        tell(&mut parts, news);
        assert!(is_told(&parts, last));
    }

    #[test]
    fn a_circle_is_refused() {
        let mut parts = parts();
        let (a, b) = (scope(&mut parts, PartId::PROGRAM), scope(&mut parts, PartId::PROGRAM));
        let below_a = scope(&mut parts, a);
        let news = parts.after(b, a).unwrap();
        tell(&mut parts, news);
        assert!(parts.after(a, b).is_err(), "a after b after a");
        assert!(parts.after(a, a).is_err(), "a after itself");
        assert!(parts.after(below_a, a).is_err(), "a part after the one that it is in");
        assert!(parts.after(below_a, b).is_err(), "b waits for a, and a for what is below it");
    }

    #[test]
    fn a_scope_is_gone_once_nothing_leads_to_it() {
        let mut parts = parts();
        let outer = scope(&mut parts, PartId::PROGRAM);
        let inner = scope(&mut parts, outer);
        let after = scope(&mut parts, PartId::PROGRAM);
        let news = parts.after(after, outer).unwrap();
        tell(&mut parts, news);
        enter(&parts, inner);
        let news = parts.let_go(outer);
        tell(&mut parts, news);
        let news = parts.let_go(inner);
        tell(&mut parts, news);
        assert_eq!(parts.all().count(), 4, "something is in flight in it");
        exit(&mut parts, inner);
        assert_eq!(parts.all().count(), 2, "it is gone, with what it was in");
        assert!(parts.at(after).after.is_empty());
        assert_eq!((parts.entered(), parts.ended()), (1, 1), "what was in it is not forgotten");
        assert!([outer, inner].contains(&scope(&mut parts, PartId::PROGRAM)), "used again");
    }

    /// A random life of a small tree beside a plain picture of it: what is told, what has drained, what is gone, and what is counted.
    #[test]
    fn a_tree_does_what_a_plain_picture_of_it_says() {
        for seed in 1..4_000 {
            Picture::new(seed).live(60);
        }
    }

    struct Scope {
        id: PartId,
        parent: Option<usize>,
        after: Vec<usize>,
        work: usize,
        is_told: bool,
        is_alone: bool,
        is_held: bool,
        is_gone: bool,
    }

    struct Picture {
        seed: u64,
        dice: u64,
        parts: Parts,
        scopes: Vec<Scope>,
        ended: usize,
        /// Their last work has ended, and nobody has said so yet.
        untold: Vec<&'static Part>,
    }

    impl Picture {
        fn new(seed: u64) -> Self {
            let parts = parts();
            let mut picture = Self {
                seed,
                dice: seed * 0x9E37_79B9,
                parts,
                scopes: Vec::new(),
                ended: 0,
                untold: Vec::new(),
            };
            picture.push(PartId::PROGRAM, None);
            picture
        }

        fn push(&mut self, id: PartId, parent: Option<usize>) {
            let (is_told, is_alone, is_gone) = (false, false, false);
            let (after, work, is_held) = (Vec::new(), 0, true);
            self.scopes.push(Scope {
                id,
                parent,
                after,
                work,
                is_told,
                is_alone,
                is_held,
                is_gone,
            });
        }

        fn roll(&mut self, below: usize) -> usize {
            self.dice ^= self.dice << 13;
            self.dice ^= self.dice >> 7;
            self.dice ^= self.dice << 17;
            (self.dice % below as u64) as usize
        }

        fn live(&mut self, steps: usize) {
            for _ in 0..steps {
                self.step();
                if self.untold.is_empty() || self.roll(2) == 0 {
                    self.say();
                    self.settle();
                    self.check();
                }
            }
        }

        /// Says what was not said yet, late: some of the parts may be gone, and their numbers others'.
        fn say(&mut self) {
            while !self.untold.is_empty() {
                let next = self.roll(self.untold.len());
                let part = self.untold.swap_remove(next);
                let news = self.parts.emptied(part.id());
                tell(&mut self.parts, news);
            }
        }

        fn step(&mut self) {
            let at = self.roll(self.scopes.len());
            let id = self.scopes[at].id;
            let is_held = self.scopes[at].is_held;
            match self.roll(8) {
                0 if is_held && self.scopes.len() < 12 => {
                    let new = scope(&mut self.parts, id);
                    self.push(new, Some(at));
                }
                1 | 2 if is_held && self.untold.is_empty() => {
                    enter(&self.parts, id);
                    self.scopes[at].work += 1;
                }
                3 | 4 if self.scopes[at].work > 0 => {
                    self.scopes[at].work -= 1;
                    self.ended += 1;
                    let part = self.parts.at(id).part;
                    self.untold.extend(part.in_flight.exit(0).then_some(part));
                }
                5 if is_held && at > 0 => {
                    self.scopes[at].is_held = false;
                    let news = self.parts.let_go(id);
                    tell(&mut self.parts, news);
                }
                6 if is_held && at > 0 && self.untold.is_empty() => self.order(at),
                7 if is_held && self.roll(4) == 0 => {
                    self.scopes[at].is_alone = true;
                    self.scopes[at].is_told = true;
                    let news = self.parts.request(id);
                    tell(&mut self.parts, news);
                }
                _ => {}
            }
        }

        fn order(&mut self, at: usize) {
            let other = self.roll(self.scopes.len());
            if !self.scopes[other].is_held || self.scopes[other].is_gone {
                return;
            }
            let (id, other_id) = (self.scopes[at].id, self.scopes[other].id);
            let Ok(news) = self.parts.after(id, other_id) else { return };
            tell(&mut self.parts, news);
            self.scopes[at].after.push(other);
            let below: Vec<_> =
                (0..self.scopes.len()).filter(|&scope| self.is_within(scope, at)).collect();
            let is_fresh = |&scope: &usize| {
                let Scope { is_told, is_alone, work, .. } = self.scopes[scope];
                is_told && !is_alone && work == 0
            };
            if below.iter().all(is_fresh) {
                below.into_iter().for_each(|scope| self.scopes[scope].is_told = false);
            }
        }

        fn is_within(&self, scope: usize, whole: usize) -> bool {
            let is_below =
                || self.scopes[scope].parent.is_some_and(|parent| self.is_within(parent, whole));
            !self.scopes[scope].is_gone && (scope == whole || is_below())
        }

        fn is_empty(&self, at: usize) -> bool {
            let below = |&(_, scope): &(usize, &Scope)| scope.parent == Some(at);
            self.scopes[at].work == 0
                && self
                    .scopes
                    .iter()
                    .enumerate()
                    .filter(below)
                    .all(|(child, _)| self.is_empty(child))
        }

        fn lets_go(&self, at: usize) -> bool {
            let scope = &self.scopes[at];
            let is_empty = if at == 0 { scope.work == 0 } else { self.is_empty(at) };
            scope.is_gone || scope.is_told && is_empty
        }

        /// What follows, until nothing more does.
        fn settle(&mut self) {
            let count = self.scopes.len();
            let mut changes = true;
            while std::mem::take(&mut changes) {
                for at in 0..count {
                    let scope = &self.scopes[at];
                    let has_children =
                        self.scopes.iter().any(|child| child.parent == Some(at) && !child.is_gone);
                    let is_gone = at > 0 && !scope.is_held && scope.work == 0 && !has_children;
                    let is_told = scope.is_told
                        || scope.parent.is_some_and(|parent| self.scopes[parent].is_told)
                            && scope.after.iter().all(|&other| self.lets_go(other));
                    changes |= (is_gone, is_told) != (scope.is_gone, scope.is_told);
                    let scope = &mut self.scopes[at];
                    (scope.is_gone, scope.is_told) = (is_gone, is_told);
                }
            }
        }

        fn check(&mut self) {
            let seed = self.seed;
            let living: Vec<_> =
                (0..self.scopes.len()).filter(|&at| !self.scopes[at].is_gone).collect();
            assert_eq!(self.parts.all().count(), living.len(), "seed {seed}: how many there are");
            for at in living {
                let (id, expected) = (self.scopes[at].id, self.scopes[at].is_told);
                assert_eq!(is_told(&self.parts, id), expected, "seed {seed}: scope {at} is told");
                let is_drained = expected && self.is_empty(at);
                assert_eq!(
                    self.parts.is_drained(id),
                    is_drained,
                    "seed {seed}: scope {at} has drained"
                );
            }
            let work: usize = self.scopes.iter().map(|scope| scope.work).sum();
            let (entered, ended) = (self.parts.entered(), self.parts.ended());
            assert_eq!((entered, ended), (self.ended + work, self.ended), "seed {seed}: the count");
        }
    }
}
