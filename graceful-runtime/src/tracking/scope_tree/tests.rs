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
    let removed = wakeups.send();
    tree.reuse(removed);
}

fn is_requested(tree: &ScopeTree, scope: ScopeId) -> bool {
    let is_requested = tree.at(scope).is_requested;
    assert_eq!(is_requested, tree.at(scope).scope.is_requested());
    is_requested
}

fn enter(tree: &ScopeTree, scope: ScopeId) {
    assert!(tree.at(scope).scope.in_flight.enter(0, 0).is_ok());
}

/// Ends a piece of work, and reports the end if the counter asks for it.
fn exit(tree: &mut ScopeTree, scope: ScopeId) {
    if tree.at(scope).scope.in_flight.exit(0) {
        let wakeups = tree.emptied(scope);
        send(tree, wakeups);
    }
}

#[test]
fn a_scope_is_requested_once_the_scopes_before_it_have_drained() {
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
fn stopping_one_scope_alone_leaves_the_rest() {
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
fn a_cycle_is_refused() {
    let mut tree = tree();
    let (a, b) = (scope(&mut tree, ScopeId::PROGRAM), scope(&mut tree, ScopeId::PROGRAM));
    let below_a = scope(&mut tree, a);
    let wakeups = tree.after(b, a).unwrap();
    send(&mut tree, wakeups);
    assert!(tree.after(a, b).is_err(), "a after b after a");
    assert!(tree.after(a, a).is_err(), "a after itself");
    assert!(tree.after(below_a, a).is_err(), "a scope after its parent");
    assert!(tree.after(below_a, b).is_err(), "b waits for a, and a for its child");
}

#[test]
fn a_scope_is_removed_once_no_handle_leads_to_it() {
    let mut tree = tree();
    let outer = scope(&mut tree, ScopeId::PROGRAM);
    let inner = scope(&mut tree, outer);
    let after = scope(&mut tree, ScopeId::PROGRAM);
    let wakeups = tree.after(after, outer).unwrap();
    send(&mut tree, wakeups);
    enter(&tree, inner);
    let wakeups = tree.handles_gone(outer);
    send(&mut tree, wakeups);
    let wakeups = tree.handles_gone(inner);
    send(&mut tree, wakeups);
    assert_eq!(tree.all().count(), 4, "work is in flight in it");
    exit(&mut tree, inner);
    assert_eq!(tree.all().count(), 2, "it is removed, with its parent");
    assert!(tree.at(after).after.is_empty());
    assert_eq!((tree.entered(), tree.ended()), (1, 1), "its work still counts");
    assert!(
        [outer, inner].contains(&scope(&mut tree, ScopeId::PROGRAM)),
        "its number is used again"
    );
}

/// Each search of the tree is a loop: a recursion would overflow the stack of a thread here.
#[test]
fn thirty_thousand_nested_scopes_do_not_overflow_the_stack() {
    let mut tree = tree();
    let top = scope(&mut tree, ScopeId::PROGRAM);
    let deepest = (1..30_000).fold(top, |parent, _| scope(&mut tree, parent));
    enter(&tree, deepest);
    let token = tree.token(deepest);
    assert!(tree.after(deepest, top).is_err(), "a scope after its ancestor");
    let last = scope(&mut tree, ScopeId::PROGRAM);
    let wakeups = tree.after(last, top).unwrap();
    send(&mut tree, wakeups);
    let wakeups = tree.request(ScopeId::PROGRAM);
    send(&mut tree, wakeups);
    assert!(is_requested(&tree, deepest) && token.is_cancelled());
    assert!(!tree.is_drained(top) && !is_requested(&tree, last));
    assert_eq!((tree.count(top), tree.count(ScopeId::PROGRAM)), (1, 1));
}

/// Random changes of a small tree, compared with a simple model of it: which scopes are requested, drained and removed, and how much work they count.
#[test]
fn a_tree_behaves_as_a_simple_model_of_it() {
    for seed in 1..4_000 {
        Model::new(seed).run(60);
    }
}

struct ModelScope {
    id: ScopeId,
    parent: Option<usize>,
    after: Vec<usize>,
    work: usize,
    is_requested: bool,
    is_requested_alone: bool,
    has_handle: bool,
    is_removed: bool,
}

struct Model {
    seed: u64,
    dice: u64,
    tree: ScopeTree,
    scopes: Vec<ModelScope>,
    ended: usize,
    /// Scopes whose last work has ended; the tree does not know it yet.
    unreported: Vec<&'static Scope>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let tree = tree();
        let mut model = Self {
            seed,
            dice: seed * 0x9E37_79B9,
            tree,
            scopes: Vec::new(),
            ended: 0,
            unreported: Vec::new(),
        };
        model.push(ScopeId::PROGRAM, None);
        model
    }

    fn push(&mut self, id: ScopeId, parent: Option<usize>) {
        let (is_requested, is_requested_alone, is_removed) = (false, false, false);
        let (after, work, has_handle) = (Vec::new(), 0, true);
        self.scopes.push(ModelScope {
            id,
            parent,
            after,
            work,
            is_requested,
            is_requested_alone,
            has_handle,
            is_removed,
        });
    }

    fn roll(&mut self, below: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice % below as u64) as usize
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
            if self.unreported.is_empty() || self.roll(2) == 0 {
                self.report();
                self.propagate();
                self.check();
            }
        }
    }

    /// Reports the ends that were not reported yet. By now some scopes may have been removed, and other scopes may have their numbers.
    fn report(&mut self) {
        while !self.unreported.is_empty() {
            let next = self.roll(self.unreported.len());
            let scope = self.unreported.swap_remove(next);
            let wakeups = self.tree.emptied(scope.id());
            send(&mut self.tree, wakeups);
        }
    }

    fn step(&mut self) {
        let at = self.roll(self.scopes.len());
        let id = self.scopes[at].id;
        let has_handle = self.scopes[at].has_handle;
        match self.roll(8) {
            0 if has_handle && self.scopes.len() < 12 => {
                let new = scope(&mut self.tree, id);
                self.push(new, Some(at));
            }
            1 | 2 if has_handle && self.unreported.is_empty() => {
                enter(&self.tree, id);
                self.scopes[at].work += 1;
            }
            3 | 4 if self.scopes[at].work > 0 => {
                self.scopes[at].work -= 1;
                self.ended += 1;
                let scope = self.tree.at(id).scope;
                self.unreported.extend(scope.in_flight.exit(0).then_some(scope));
            }
            5 if has_handle && at > 0 => {
                self.scopes[at].has_handle = false;
                let wakeups = self.tree.handles_gone(id);
                send(&mut self.tree, wakeups);
            }
            6 if has_handle && at > 0 && self.unreported.is_empty() => self.order(at),
            7 if has_handle && self.roll(4) == 0 => {
                self.scopes[at].is_requested_alone = true;
                self.scopes[at].is_requested = true;
                let wakeups = self.tree.request(id);
                send(&mut self.tree, wakeups);
            }
            _ => {}
        }
    }

    fn order(&mut self, at: usize) {
        let other = self.roll(self.scopes.len());
        if !self.scopes[other].has_handle || self.scopes[other].is_removed {
            return;
        }
        let (id, other_id) = (self.scopes[at].id, self.scopes[other].id);
        let Ok(wakeups) = self.tree.after(id, other_id) else { return };
        send(&mut self.tree, wakeups);
        self.scopes[at].after.push(other);
        let below: Vec<_> =
            (0..self.scopes.len()).filter(|&scope| self.is_within(scope, at)).collect();
        let is_fresh = |&scope: &usize| {
            let ModelScope { is_requested, is_requested_alone, work, .. } = self.scopes[scope];
            is_requested && !is_requested_alone && work == 0
        };
        if below.iter().all(is_fresh) {
            below.into_iter().for_each(|scope| self.scopes[scope].is_requested = false);
        }
    }

    fn is_within(&self, scope: usize, whole: usize) -> bool {
        let is_below =
            || self.scopes[scope].parent.is_some_and(|parent| self.is_within(parent, whole));
        !self.scopes[scope].is_removed && (scope == whole || is_below())
    }

    fn is_empty(&self, at: usize) -> bool {
        let below = |&(_, scope): &(usize, &ModelScope)| scope.parent == Some(at);
        self.scopes[at].work == 0
            && self.scopes.iter().enumerate().filter(below).all(|(child, _)| self.is_empty(child))
    }

    fn releases_followers(&self, at: usize) -> bool {
        let scope = &self.scopes[at];
        let is_empty = if at == 0 { scope.work == 0 } else { self.is_empty(at) };
        scope.is_removed || scope.is_requested && is_empty
    }

    /// Applies the rules to all scopes until nothing changes any more.
    fn propagate(&mut self) {
        let count = self.scopes.len();
        let mut changes = true;
        while std::mem::take(&mut changes) {
            for at in 0..count {
                let scope = &self.scopes[at];
                let has_children =
                    self.scopes.iter().any(|child| child.parent == Some(at) && !child.is_removed);
                let is_removed = at > 0 && !scope.has_handle && scope.work == 0 && !has_children;
                let is_requested = scope.is_requested
                    || scope.parent.is_some_and(|parent| self.scopes[parent].is_requested)
                        && scope.after.iter().all(|&other| self.releases_followers(other));
                changes |= (is_removed, is_requested) != (scope.is_removed, scope.is_requested);
                let scope = &mut self.scopes[at];
                (scope.is_removed, scope.is_requested) = (is_removed, is_requested);
            }
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        let living: Vec<_> =
            (0..self.scopes.len()).filter(|&at| !self.scopes[at].is_removed).collect();
        assert_eq!(self.tree.all().count(), living.len(), "seed {seed}: the number of scopes");
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
