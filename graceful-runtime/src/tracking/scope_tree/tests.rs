use super::*;

fn tree() -> ScopeTree {
    ScopeTree::new(ScopePool::new(None))
}

fn scope(tree: &mut ScopeTree, parent: ScopeId) -> ScopeId {
    let (scope, wakeups) = tree.add("scope".to_owned(), parent);
    send(tree, wakeups);
    scope.id()
}

fn send(tree: &mut ScopeTree, wakeups: Wakeups) {
    let gone = wakeups.send();
    tree.give_back(gone);
}

fn is_requested(tree: &ScopeTree, scope: ScopeId) -> bool {
    let is_requested = tree.at(scope).is_requested;
    assert_eq!(is_requested, tree.at(scope).scope.is_requested());
    is_requested
}

fn enter(tree: &ScopeTree, scope: ScopeId) {
    assert!(tree.at(scope).scope.in_flight.enter(0, 0).is_ok());
}

/// The end of a piece of work, which tells if it is to.
fn exit(tree: &mut ScopeTree, scope: ScopeId) {
    if tree.at(scope).scope.in_flight.exit(0) {
        let wakeups = tree.emptied(scope);
        send(tree, wakeups);
    }
}

#[test]
fn a_scope_is_told_once_what_it_comes_after_has_drained() {
    let mut tree = tree();
    let (first, second) = (scope(&mut tree, ScopeId::PROGRAM), scope(&mut tree, ScopeId::PROGRAM));
    let wakeups = tree.after(second, first).unwrap();
    send(&mut tree, wakeups);
    enter(&tree, first);
    let wakeups = tree.request(ScopeId::PROGRAM);
    send(&mut tree, wakeups);
    assert!(is_requested(&tree, first) && !is_requested(&tree, second));
    exit(&mut tree, first);
    assert!(is_requested(&tree, second));
}

#[test]
fn stopping_one_part_alone_leaves_the_rest() {
    let mut tree = tree();
    let (first, second) = (scope(&mut tree, ScopeId::PROGRAM), scope(&mut tree, ScopeId::PROGRAM));
    let below = scope(&mut tree, first);
    let wakeups = tree.after(second, first).unwrap();
    send(&mut tree, wakeups);
    let wakeups = tree.request(first);
    send(&mut tree, wakeups);
    assert!(is_requested(&tree, first) && is_requested(&tree, below));
    assert!(!is_requested(&tree, second) && !is_requested(&tree, ScopeId::PROGRAM));
}

#[test]
fn a_scope_after_the_program_waits_for_main() {
    let mut tree = tree();
    let last = scope(&mut tree, ScopeId::PROGRAM);
    let wakeups = tree.after(last, ScopeId::PROGRAM).unwrap();
    send(&mut tree, wakeups);
    tree.main_runs = true;
    let wakeups = tree.request(ScopeId::PROGRAM);
    send(&mut tree, wakeups);
    assert!(!is_requested(&tree, last));
    let wakeups = tree.main_ended();
    send(&mut tree, wakeups);
    assert!(is_requested(&tree, last));
}

#[test]
fn a_circle_is_refused() {
    let mut tree = tree();
    let (a, b) = (scope(&mut tree, ScopeId::PROGRAM), scope(&mut tree, ScopeId::PROGRAM));
    let below_a = scope(&mut tree, a);
    let wakeups = tree.after(b, a).unwrap();
    send(&mut tree, wakeups);
    assert!(tree.after(a, b).is_err(), "a after b after a");
    assert!(tree.after(a, a).is_err(), "a after itself");
    assert!(tree.after(below_a, a).is_err(), "a scope after the one that it is in");
    assert!(tree.after(below_a, b).is_err(), "b waits for a, and a for what is below it");
}

#[test]
fn a_scope_is_gone_once_nothing_leads_to_it() {
    let mut tree = tree();
    let outer = scope(&mut tree, ScopeId::PROGRAM);
    let inner = scope(&mut tree, outer);
    let after = scope(&mut tree, ScopeId::PROGRAM);
    let wakeups = tree.after(after, outer).unwrap();
    send(&mut tree, wakeups);
    enter(&tree, inner);
    let wakeups = tree.let_go(outer);
    send(&mut tree, wakeups);
    let wakeups = tree.let_go(inner);
    send(&mut tree, wakeups);
    assert_eq!(tree.all().count(), 4, "something is in flight in it");
    exit(&mut tree, inner);
    assert_eq!(tree.all().count(), 2, "it is gone, with what it was in");
    assert!(tree.at(after).after.is_empty());
    assert_eq!((tree.entered(), tree.ended()), (1, 1), "what was in it is not forgotten");
    assert!([outer, inner].contains(&scope(&mut tree, ScopeId::PROGRAM)), "used again");
}

/// A random life of a small tree beside a plain picture of it: what is requested, what has drained, what is gone, and what is counted.
#[test]
fn a_tree_does_what_a_plain_picture_of_it_says() {
    for seed in 1..4_000 {
        Picture::new(seed).live(60);
    }
}

struct Pictured {
    id: ScopeId,
    parent: Option<usize>,
    after: Vec<usize>,
    work: usize,
    is_requested: bool,
    is_alone: bool,
    is_held: bool,
    is_gone: bool,
}

struct Picture {
    seed: u64,
    dice: u64,
    tree: ScopeTree,
    scopes: Vec<Pictured>,
    ended: usize,
    /// Their last work has ended, and nobody has said so yet.
    unsaid: Vec<&'static Scope>,
}

impl Picture {
    fn new(seed: u64) -> Self {
        let tree = tree();
        let mut picture = Self {
            seed,
            dice: seed * 0x9E37_79B9,
            tree,
            scopes: Vec::new(),
            ended: 0,
            unsaid: Vec::new(),
        };
        picture.push(ScopeId::PROGRAM, None);
        picture
    }

    fn push(&mut self, id: ScopeId, parent: Option<usize>) {
        let (is_requested, is_alone, is_gone) = (false, false, false);
        let (after, work, is_held) = (Vec::new(), 0, true);
        self.scopes.push(Pictured {
            id,
            parent,
            after,
            work,
            is_requested,
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
            if self.unsaid.is_empty() || self.roll(2) == 0 {
                self.say();
                self.settle();
                self.check();
            }
        }
    }

    /// Says what was not said yet, late: some of the tree may be gone, and their numbers others'.
    fn say(&mut self) {
        while !self.unsaid.is_empty() {
            let next = self.roll(self.unsaid.len());
            let scope = self.unsaid.swap_remove(next);
            let wakeups = self.tree.emptied(scope.id());
            send(&mut self.tree, wakeups);
        }
    }

    fn step(&mut self) {
        let at = self.roll(self.scopes.len());
        let id = self.scopes[at].id;
        let is_held = self.scopes[at].is_held;
        match self.roll(8) {
            0 if is_held && self.scopes.len() < 12 => {
                let new = scope(&mut self.tree, id);
                self.push(new, Some(at));
            }
            1 | 2 if is_held && self.unsaid.is_empty() => {
                enter(&self.tree, id);
                self.scopes[at].work += 1;
            }
            3 | 4 if self.scopes[at].work > 0 => {
                self.scopes[at].work -= 1;
                self.ended += 1;
                let scope = self.tree.at(id).scope;
                self.unsaid.extend(scope.in_flight.exit(0).then_some(scope));
            }
            5 if is_held && at > 0 => {
                self.scopes[at].is_held = false;
                let wakeups = self.tree.let_go(id);
                send(&mut self.tree, wakeups);
            }
            6 if is_held && at > 0 && self.unsaid.is_empty() => self.order(at),
            7 if is_held && self.roll(4) == 0 => {
                self.scopes[at].is_alone = true;
                self.scopes[at].is_requested = true;
                let wakeups = self.tree.request(id);
                send(&mut self.tree, wakeups);
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
        let Ok(wakeups) = self.tree.after(id, other_id) else { return };
        send(&mut self.tree, wakeups);
        self.scopes[at].after.push(other);
        let below: Vec<_> =
            (0..self.scopes.len()).filter(|&scope| self.is_within(scope, at)).collect();
        let is_fresh = |&scope: &usize| {
            let Pictured { is_requested, is_alone, work, .. } = self.scopes[scope];
            is_requested && !is_alone && work == 0
        };
        if below.iter().all(is_fresh) {
            below.into_iter().for_each(|scope| self.scopes[scope].is_requested = false);
        }
    }

    fn is_within(&self, scope: usize, whole: usize) -> bool {
        let is_below =
            || self.scopes[scope].parent.is_some_and(|parent| self.is_within(parent, whole));
        !self.scopes[scope].is_gone && (scope == whole || is_below())
    }

    fn is_empty(&self, at: usize) -> bool {
        let below = |&(_, scope): &(usize, &Pictured)| scope.parent == Some(at);
        self.scopes[at].work == 0
            && self.scopes.iter().enumerate().filter(below).all(|(child, _)| self.is_empty(child))
    }

    fn lets_go(&self, at: usize) -> bool {
        let scope = &self.scopes[at];
        let is_empty = if at == 0 { scope.work == 0 } else { self.is_empty(at) };
        scope.is_gone || scope.is_requested && is_empty
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
                let is_requested = scope.is_requested
                    || scope.parent.is_some_and(|parent| self.scopes[parent].is_requested)
                        && scope.after.iter().all(|&other| self.lets_go(other));
                changes |= (is_gone, is_requested) != (scope.is_gone, scope.is_requested);
                let scope = &mut self.scopes[at];
                (scope.is_gone, scope.is_requested) = (is_gone, is_requested);
            }
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        let living: Vec<_> =
            (0..self.scopes.len()).filter(|&at| !self.scopes[at].is_gone).collect();
        assert_eq!(self.tree.all().count(), living.len(), "seed {seed}: how many there are");
        for at in living {
            let (id, expected) = (self.scopes[at].id, self.scopes[at].is_requested);
            assert_eq!(
                is_requested(&self.tree, id),
                expected,
                "seed {seed}: scope {at} is requested"
            );
            let is_drained = expected && self.is_empty(at);
            assert_eq!(self.tree.is_drained(id), is_drained, "seed {seed}: scope {at} has drained");
        }
        let work: usize = self.scopes.iter().map(|scope| scope.work).sum();
        let (entered, ended) = (self.tree.entered(), self.tree.ended());
        assert_eq!((entered, ended), (self.ended + work, self.ended), "seed {seed}: the count");
    }
}
