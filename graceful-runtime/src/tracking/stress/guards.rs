//! Guards that are taken and dropped on different threads.

use std::{
    panic::Location,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::{Dice, TIME, seed};
use crate::tracking::{
    scope::{GuardSlot, Origin, Scope, ScopeRoster},
    scope_pool::ScopePool,
};

/// Guards are taken on some threads and dropped on others. Each is listed while it is held, and none afterwards.
#[test]
fn every_guard_is_listed_while_it_is_held() {
    let mut pool = ScopePool::new(None);
    let guards = Guards {
        scope: pool.root(),
        roster: pool.roster(),
        held: Mutex::default(),
        taken: AtomicUsize::new(0),
    };
    thread::scope(|threads| {
        for thread in 0..4 {
            let guards = &guards;
            threads.spawn(move || guards.take_and_drop(thread));
        }
    });
    let listed = guards.listed();
    let Guards { scope, held, taken, .. } = guards;
    let held = held.into_inner().unwrap();
    assert_eq!((listed, scope.in_flight.count()), (held.len(), held.len()));
    held.into_iter().for_each(|slot| scope.end_guard(slot));
    pool.roster().guards.each(|slot| assert!(slot.read().is_none(), "listed after its end"));
    assert!(taken.into_inner() > 1000);
    pool.retire(Vec::new());
}

struct Guards {
    scope: &'static Scope,
    roster: &'static ScopeRoster,
    held: Mutex<Vec<&'static GuardSlot>>,
    taken: AtomicUsize,
}

impl Guards {
    fn take_and_drop(&self, thread: u64) {
        let (begin, mut dice) = (Instant::now(), Dice(seed() ^ thread << 32));
        while begin.elapsed() < TIME {
            if dice.roll(2) == 0 {
                let slot = self.scope.guard(Origin::Inside, Location::caller()).unwrap();
                self.taken.fetch_add(1, Ordering::Relaxed);
                self.held.lock().unwrap().push(slot);
            } else {
                let mut held = self.held.lock().unwrap();
                let index = dice.roll(held.len().max(1) as u64) as usize;
                let slot = (index < held.len()).then(|| held.swap_remove(index));
                drop(held);
                slot.into_iter().for_each(|slot| self.scope.end_guard(slot));
            }
            if dice.roll(1000) == 0 {
                let held = self.held.lock().unwrap();
                let listed = self.listed();
                // Other threads may be taking or dropping guards.
                assert!(listed >= held.len(), "{listed} of {} are listed", held.len());
            }
        }
    }

    fn listed(&self) -> usize {
        let mut listed = 0;
        self.roster.guards.each(|slot| listed += usize::from(slot.read().is_some()));
        listed
    }
}
