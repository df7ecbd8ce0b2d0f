//! The scopes of a program, which drain in the order that `after` declares.
//!
//! Scope 0 is the program itself; every [`scope`](crate::Shutdown::scope) adds one below the scope that it was called on. A scope is gone, and its
//! memory used again, once no handle leads to it and nothing is in flight in it or below it.
//!
//! # Invariants
//!
//! 1. A scope is told to stop once its parent was, and everything it comes `after` has drained; or when it is asked alone.
//! 2. Whether a scope is empty is decided under the lock of the tree, by an exact look at its counters; if work is found there,
//!    the end of the last of it comes back as [`ScopeTree::emptied`].
//! 3. The relation "must drain before" (a scope before what comes after it, a child before its parent) has no cycle.
//! 4. A scope's witness is in it or below it, has work in flight, and its end will be told. So while the witness stands, the scope is not empty,
//!    and nobody has to look at all that is below it.
//! 5. A scope that no handle leads to gets work only from work that is in flight in it. So once it is found empty it stays so.

use std::collections::HashSet;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    model::panics::quietly,
    sync::{
        atomic::heavy_fence,
        in_flight::{InFlight, is_empty, mode},
    },
    tracking::{scope::Scope, scope_id::ScopeId, scope_pool::ScopePool},
};

/// What is to be told once the lock is free: wakers are user code.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakeups {
    requested: Vec<&'static Scope>,
    tokens: Vec<CancellationToken>,
    drained: Vec<watch::Sender<()>>,
    /// ScopeTree that are gone, to be cleared and given back: futures that were leaked may have left wakers in them, or wait for their changes.
    gone: Vec<Node>,
}

impl Wakeups {
    /// Tells it. Gives the scopes that are gone, for [`ScopeTree::give_back`].
    #[must_use]
    pub(crate) fn send(self) -> Vec<&'static Scope> {
        let Self { requested, tokens, drained, gone } = self;
        requested.into_iter().for_each(Scope::wake);
        for token in tokens {
            quietly(|| token.cancel());
        }
        for scope in drained {
            // This wakes those that wait: a waker is user code.
            quietly(|| scope.send_replace(()));
        }
        gone.into_iter()
            .map(|Node { scope, .. }| {
                scope.clear();
                scope
            })
            .collect()
    }
}

#[derive(Debug)]
struct Node {
    name: String,
    parent: Option<ScopeId>,
    /// Its place among the children of its parent.
    place: usize,
    children: Vec<ScopeId>,
    /// From which of its children on work is looked for.
    next_child: usize,
    /// Invariant 4.
    witness: Option<ScopeId>,
    /// It was found drained, and everybody was told, when so much had ended in the scope itself; nobody has said since then that something has ended in
    /// it or below it.
    known_drained: Option<usize>,
    after: Vec<ScopeId>,
    /// From which of them on it is looked whether they have drained.
    next_after: usize,
    /// The scopes that come after it.
    followers: Vec<ScopeId>,
    /// It is told to stop, and every look at its counters sees who was let in before.
    is_requested: bool,
    /// It was asked to stop by itself and not with what it is in.
    is_alone: bool,
    /// A handle leads to it.
    is_held: bool,
    scope: &'static Scope,
    /// How much had ended in it when it was another's.
    before: usize,
    /// Made when somebody asks for it, as are tokens: a scope for each session should cost little.
    token: Option<CancellationToken>,
    /// Tokens of scopes below it that are gone: they had their own, because those scopes came after others.
    orphans: Vec<CancellationToken>,
    /// Its token is no child of its parent's.
    has_own_token: bool,
    changed: Option<watch::Sender<()>>,
}

impl Node {
    fn new(name: String, parent: Option<ScopeId>, scope: &'static Scope) -> Self {
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
            is_requested: false,
            is_alone: false,
            is_held: true,
            scope,
            before: scope.in_flight.exits(),
            token: None,
            orphans: Vec::new(),
            has_own_token: false,
            changed: None,
        }
    }

    fn in_flight(&self) -> &'static InFlight {
        &self.scope.in_flight
    }

    /// Whether something is in flight in the scope itself. From here on the end of the last of it will be told.
    fn has_work(&self) -> bool {
        let counter = self.in_flight();
        counter.await_empty();
        counter.count() > 0
    }
}

#[derive(Debug)]
pub(crate) struct ScopeTree {
    /// By their numbers. `None`: free.
    nodes: Vec<Option<Node>>,
    free: Vec<ScopeId>,
    stock: ScopePool,
    /// How much had ended in scopes that are gone, and how much was let into them.
    gone: usize,
    /// `init` or `main`, whichever runs: it belongs to the program but is not counted.
    pub(crate) main_runs: bool,
    /// Nothing is let in any more.
    pub(crate) closed: bool,
}

/// The scopes themselves.
impl ScopeTree {
    pub(crate) fn new(stock: ScopePool) -> Self {
        let root = Node::new("program".to_owned(), None, stock.root());
        root.scope.set_id(ScopeId::PROGRAM);
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
    pub(crate) fn add(&mut self, name: String, parent: ScopeId) -> (&'static Scope, Wakeups) {
        let scope = self.stock.take();
        let inherited = [mode::FORCED, mode::BY_STOP].into_iter();
        let inherited = inherited.filter(|&bit| self.at(parent).in_flight().is(bit));
        let shut = self.closed.then_some(mode::SHUT);
        // Nobody else has it yet, so this needs no fence.
        scope.in_flight.mark(inherited.chain(shut).sum());
        let mut node = Node::new(name, Some(parent), scope);
        node.place = self.at(parent).children.len();
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            ScopeId(self.nodes.len() - 1)
        });
        scope.set_id(id);
        self.nodes[id.0] = Some(node);
        self.at_mut(parent).children.push(id);
        let mut wakeups = Wakeups::default();
        if self.may_be_requested(id) {
            self.spread_request(vec![id], &mut wakeups);
        }
        (scope, wakeups)
    }

    /// The last handle of a scope is gone.
    pub(crate) fn let_go(&mut self, scope: ScopeId) -> Wakeups {
        let mut wakeups = Wakeups::default();
        self.at_mut(scope).is_held = false;
        self.look_up_from(scope, &mut wakeups);
        wakeups
    }

    /// Makes `scope` wait for `other`.
    ///
    /// # Errors
    ///
    /// The names of both where the order would be a circle.
    pub(crate) fn after(
        &mut self,
        scope: ScopeId,
        other: ScopeId,
    ) -> Result<Wakeups, (String, String)> {
        if self.waits_for(other, scope, &mut HashSet::new()) {
            return Err((self.at(scope).name.clone(), self.at(other).name.clone()));
        }
        self.at_mut(scope).after.push(other);
        self.at_mut(other).followers.push(scope);
        self.withdraw_request(scope);
        let mut wakeups = Wakeups::default();
        if self.may_be_requested(scope) {
            self.spread_request(vec![scope], &mut wakeups);
        }
        Ok(wakeups)
    }

    /// Takes back that the scope is told, which it was as it was made, before it could say what it comes after. What has work, or was asked to stop by
    /// itself, stays as it is.
    fn withdraw_request(&mut self, scope: ScopeId) {
        let all = self.within(scope);
        let is_fresh = |&id: &ScopeId| {
            let node = self.at(id);
            node.is_requested && !node.is_alone && !node.has_work()
        };
        if all.iter().all(is_fresh) {
            for id in all {
                let node = self.at_mut(id);
                (node.is_requested, node.known_drained, node.token) = (false, None, None);
                node.scope.withdraw_request();
            }
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Scope> + Clone + '_ {
        self.nodes.iter().flatten().map(|node| node.scope)
    }

    /// Marks the scope and what is below it: what is let in from now on is aborted. Gives their numbers if anything is in flight in them.
    pub(crate) fn force(&self, scope: ScopeId, bits: usize) -> HashSet<ScopeId> {
        let scopes = self.within(scope);
        let counters = scopes.iter().map(|&id| self.at(id).in_flight());
        for counter in counters.clone() {
            counter.mark(bits);
        }
        heavy_fence();
        let is_idle = counters.map(InFlight::count).all(|count| count == 0);
        if is_idle && scope != ScopeId::PROGRAM {
            HashSet::new()
        } else {
            scopes.into_iter().collect()
        }
    }

    /// How many pieces of work are in the scope and below it.
    pub(crate) fn count(&self, scope: ScopeId) -> usize {
        self.within(scope).into_iter().map(|id| self.at(id).in_flight().count()).sum()
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

    pub(crate) fn changes(&mut self, scope: ScopeId) -> watch::Receiver<()> {
        self.at_mut(scope).changed.get_or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// The token of a scope. Where nothing has to drain before it, that is a child of its parent's: told with it, and gone without a trace.
    pub(crate) fn token(&mut self, scope: ScopeId) -> CancellationToken {
        let node = self.at(scope);
        if let Some(token) = &node.token {
            return token.clone();
        }
        let (is_requested, parent) =
            (node.is_requested, node.parent.filter(|_| node.after.is_empty()));
        let token = match parent {
            Some(parent) => self.token(parent).child_token(),
            None => CancellationToken::new(),
        };
        if is_requested {
            // It is new: there is nobody to be woken.
            token.cancel();
        }
        let node = self.at_mut(scope);
        node.has_own_token = parent.is_none();
        node.token.insert(token).clone()
    }
}

/// Draining.
impl ScopeTree {
    /// Whether the scope was told to stop and has nothing left; for the program's own work see `lets_go`.
    pub(crate) fn is_drained(&mut self, scope: ScopeId) -> bool {
        self.at(scope).is_requested && self.is_empty(scope)
    }

    /// `init` or `main` begins, unless all is over.
    pub(crate) fn main_begins(&mut self) -> bool {
        self.main_runs |= !self.closed;
        !self.closed
    }

    pub(crate) fn main_ended(&mut self) -> Wakeups {
        self.main_runs = false;
        self.emptied(ScopeId::PROGRAM)
    }

    /// The last piece of work in a scope has ended. The scope may be gone by now, or another with its number.
    pub(crate) fn emptied(&mut self, scope: ScopeId) -> Wakeups {
        self.forget(scope, Some(scope));
        let mut wakeups = Wakeups::default();
        self.look_up_from(scope, &mut wakeups);
        wakeups
    }

    /// Closes if the program was told to stop and nothing is left.
    pub(crate) fn close_if_drained(&mut self) -> bool {
        let is_over = !self.main_runs && self.is_drained(ScopeId::PROGRAM);
        if self.closed || !is_over {
            return self.closed;
        }
        // What comes now is sent to wait for the lock. If something had come before, it was too early.
        self.close();
        if !is_empty(self.all().map(|scope| &scope.in_flight)) {
            self.all().for_each(|scope| scope.in_flight.clear(mode::SHUT));
            self.closed = false;
        }
        self.closed
    }

    /// Closes, whatever is left.
    pub(crate) fn close(&mut self) {
        for scope in self.all() {
            scope.in_flight.mark(mode::SHUT);
        }
        heavy_fence();
        self.closed = true;
    }

    /// Tells the scope to stop, and what may stop with it.
    pub(crate) fn request(&mut self, scope: ScopeId) -> Wakeups {
        let mut wakeups = Wakeups::default();
        self.at_mut(scope).is_alone = true;
        if !self.at(scope).is_requested {
            self.spread_request(vec![scope], &mut wakeups);
        }
        wakeups
    }

    /// This scope, and what it is in, may have drained, or be gone.
    fn look_up_from(&mut self, first: ScopeId, wakeups: &mut Wakeups) {
        let mut next = Some(first);
        while let Some(id) = next {
            let Some(node) = &self.nodes[id.0] else { return };
            next = node.parent;
            // A scope's end is none of the program's own work, which alone lets go what comes after that.
            let is_own = id == first || id != ScopeId::PROGRAM;
            let mut followers = self.let_go_by(id, is_own, wakeups);
            followers.extend(self.remove_if_unused(id, wakeups));
            followers.retain(|&follower| self.may_be_requested(follower));
            self.spread_request(followers, wakeups);
        }
    }

    /// What may be told now that something has ended in this scope; if it has drained, that is wakeups.
    fn let_go_by(&mut self, scope: ScopeId, is_own: bool, wakeups: &mut Wakeups) -> Vec<ScopeId> {
        if self.at(scope).known_drained.is_some() {
            return Vec::new();
        }
        if self.is_drained(scope) {
            let node = self.at_mut(scope);
            node.known_drained = Some(node.in_flight().exits());
            wakeups.drained.extend(node.changed.clone());
        } else if scope != ScopeId::PROGRAM || !self.lets_go(scope) {
            return Vec::new();
        }
        if is_own { self.at(scope).followers.clone() } else { Vec::new() }
    }

    /// Whether nothing is in flight in the scope and below it. If something is, the end of the last of it will say so.
    fn is_empty(&mut self, scope: ScopeId) -> bool {
        self.find_witness(scope).is_none() && {
            let scopes = self.within(scope);
            // Each was found empty, but not all at the same time: work may have been handed from one to another.
            is_empty(scopes.iter().map(|&id| self.at(id).in_flight()))
        }
    }

    /// A scope with work in flight, at or below this one. The next search begins where this one ended.
    fn find_witness(&mut self, scope: ScopeId) -> Option<ScopeId> {
        let node = self.at(scope);
        if node.witness.is_some() {
            return node.witness;
        }
        let mut found = node.has_work().then_some(scope);
        let (children, begin) = (node.children.len(), node.next_child);
        for step in 0..children {
            if found.is_some() {
                break;
            }
            let place = (begin + step) % children;
            let child = self.at(scope).children[place];
            found = self.find_witness(child);
            self.at_mut(scope).next_child = place;
        }
        self.at_mut(scope).witness = found;
        found
    }

    /// Whether what comes after the scope may be told: of the program itself, its own work counts and that of its scopes does not.
    fn lets_go(&mut self, scope: ScopeId) -> bool {
        if scope != ScopeId::PROGRAM {
            return self.is_drained(scope);
        }
        let node = self.at(scope);
        node.is_requested && !self.main_runs && !node.has_work()
    }

    fn may_be_requested(&mut self, scope: ScopeId) -> bool {
        let Some(node) = &self.nodes[scope.0] else { return false };
        let parent_is_told = node.parent.is_some_and(|parent| self.at(parent).is_requested);
        let (count, begin) = (node.after.len(), node.next_after);
        if node.is_requested || !parent_is_told {
            return false;
        }
        // From the one on that was waited for the last time: those before it had drained.
        let holds = |scopes: &mut Self, place: &usize| {
            let other = scopes.at(scope).after[*place];
            !scopes.lets_go(other)
        };
        let held_by =
            (0..count).map(|step| (begin + step) % count).find(|place| holds(self, place));
        self.at_mut(scope).next_after = held_by.unwrap_or(0);
        held_by.is_none()
    }

    /// Tells scopes to stop, and everything that may stop with them: invariant 1, until nothing more follows from it.
    fn spread_request(&mut self, mut wave: Vec<ScopeId>, wakeups: &mut Wakeups) {
        while !wave.is_empty() {
            self.request_all(&wave, wakeups);
            let mut next = Vec::new();
            for scope in wave {
                next.extend(self.let_go_by(scope, true, wakeups));
                next.extend(&self.at(scope).children);
            }
            next.sort_unstable();
            next.dedup();
            next.retain(|&scope| self.may_be_requested(scope));
            wave = next;
        }
    }

    /// Tells these, with one fence for all: there may be thousands.
    fn request_all(&mut self, scopes: &[ScopeId], wakeups: &mut Wakeups) {
        let awaits: Vec<_> = scopes
            .iter()
            .map(|&id| {
                let counter = self.at(id).in_flight();
                counter.mark(mode::REQUESTED);
                counter.mark(mode::AWAITED)
            })
            .collect();
        heavy_fence();
        for (&id, is_new) in scopes.iter().zip(awaits) {
            let node = self.at_mut(id);
            if is_new {
                node.in_flight().set_hint();
            }
            node.is_requested = true;
            node.scope.set_requested();
            wakeups.requested.push(node.scope);
            wakeups.tokens.extend(node.token.clone().into_iter().chain(node.orphans.drain(..)));
        }
    }

    /// Removes a scope that no handle leads to and that has nothing in it. Gives what came after it.
    fn remove_if_unused(&mut self, scope: ScopeId, wakeups: &mut Wakeups) -> Vec<ScopeId> {
        let node = self.at(scope);
        let may_go = scope != ScopeId::PROGRAM && !node.is_held && node.children.is_empty();
        // Invariant 5: a zero holds, also without a fence. Otherwise the end of the last piece of work is to say so.
        if !may_go || node.in_flight().count() > 0 && node.has_work() {
            return Vec::new();
        }
        let Some(node) = self.nodes[scope.0].take() else { return Vec::new() };
        self.gone = self.gone.wrapping_add(node.in_flight().exits().wrapping_sub(node.before));
        self.unlink(scope, &node, wakeups);
        self.free.push(scope);
        let followers = node.followers.clone();
        wakeups.gone.push(node);
        followers
    }

    /// ScopeTree that are gone, and cleared, may be used again.
    pub(crate) fn give_back(&mut self, scopes: Vec<&'static Scope>) {
        self.stock.give_back(scopes);
    }

    /// Takes a scope that is gone out of what the others know of it.
    fn unlink(&mut self, scope: ScopeId, node: &Node, wakeups: &mut Wakeups) {
        for &other in &node.after {
            self.at_mut(other).followers.retain(|&follower| follower != scope);
        }
        for &follower in &node.followers {
            let follower = self.at_mut(follower);
            follower.after.retain(|&other| other != scope);
            follower.next_after = 0;
        }
        if let Some(parent) = node.parent {
            let tokens = node.token.iter().filter(|_| !node.is_requested).chain(&node.orphans);
            let is_requested = self.at(parent).is_requested;
            match is_requested {
                true => wakeups.tokens.extend(tokens.cloned()),
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
            // Its last work has ended, and may have no scope left to say so of.
            self.forget(scope, node.parent);
        }
    }

    /// Something has ended in this scope: forgets what was known from there up because of it.
    fn forget(&mut self, scope: ScopeId, mut from: Option<ScopeId>) {
        while let Some(Some(node)) = from.map(|id| &mut self.nodes[id.0]) {
            node.known_drained = None;
            node.witness = node.witness.filter(|&witness| witness != scope);
            from = node.parent;
        }
    }

    /// Whether `scope` cannot drain before `other` has: invariant 3. `seen` have been looked at.
    fn waits_for(&self, scope: ScopeId, other: ScopeId, seen: &mut HashSet<ScopeId>) -> bool {
        if scope == other {
            return true;
        }
        if !seen.insert(scope) {
            return false;
        }
        let node = self.at(scope);
        // The program's own work does not wait for its scopes.
        let children = if scope == ScopeId::PROGRAM { &[] } else { &node.children[..] };
        node.after.iter().chain(children).any(|&before| self.waits_for(before, other, seen))
    }

    /// The scope and all below it.
    fn within(&self, whole: ScopeId) -> Vec<ScopeId> {
        let mut all = vec![whole];
        let mut next = 0;
        while let Some(&scope) = all.get(next) {
            all.extend(&self.at(scope).children);
            next += 1;
        }
        all
    }

    fn at(&self, scope: ScopeId) -> &Node {
        self.nodes[scope.0].as_ref().unwrap_or_else(|| unreachable!("it is in use"))
    }

    fn at_mut(&mut self, scope: ScopeId) -> &mut Node {
        self.nodes[scope.0].as_mut().unwrap_or_else(|| unreachable!("it is in use"))
    }
}

impl Drop for ScopeTree {
    fn drop(&mut self) {
        let scopes = self.nodes.iter().skip(1).flatten().map(|node| node.scope);
        self.stock.retire(scopes.collect());
    }
}

#[cfg(test)]
mod tests;
