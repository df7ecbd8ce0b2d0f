//! Which thread runs the finalizers: a pure state machine without clock and threads.
//!
//! ```text
//!             claims                 does not return               does not return
//!  Nobody ───────────────► Main ─────────────────────► Thread(1) ─────────────────────► Thread(2) …
//!     └───────────────────────────────────────────────────▲
//!             the main thread cannot claim
//! ```
//!
//! The main thread runs the finalizers. A finalizer that blocks its thread cannot be aborted, so its thread loses its turn instead, and a thread of the
//! library continues with the next finalizer.
//!
//! # Invariants
//!
//! 1. A finalizer begins only for the runner whose turn it is, while no other finalizer runs, and not after the end.
//! 2. A runner that has lost its turn never gets it back, and its later calls change nothing.
//! 3. The turn of the main thread is the first, or there is none.
//! 4. A runner loses its turn only some time after its finalizer was told to end; at once only if `main` still runs, so that its thread cannot claim the
//!    first turn.
//! 5. Finalization is over once the budget is used up or no finalizer is left, and it stays over.

use tokio::time::Instant;

use crate::model::settings::patience;

/// The thread that runs the finalizers.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Runner {
    /// None yet: the main thread has not claimed its turn.
    #[default]
    Nobody,
    /// The main thread.
    Main,
    /// A thread of the library: the first, the second, and so on.
    Thread(u32),
}

/// See the [module](self).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Turns {
    runner: Runner,
    /// The deadline of the running finalizer; `None` if none is running.
    deadline: Option<Instant>,
    /// Invariant 5.
    is_over: bool,
    /// The main thread has returned from its finalizers, or was refused a turn.
    is_main_back: bool,
}

/// What the driver knows when it checks whether a turn must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) now: Instant,
    /// The start of finalization.
    pub(crate) began: Instant,
    /// The end of the budget.
    pub(crate) end: Instant,
    /// `main` still runs, so its thread does not claim the turn.
    pub(crate) is_main_stuck: bool,
    /// Another thread may run finalizers.
    pub(crate) can_take_over: bool,
}

/// What the driver must do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Check again at this time.
    WaitUntil(Instant),
    /// Abort the running finalizer, and check again at this time.
    CutAndWaitUntil(Instant),
    /// Abort the running finalizer, and give the turn to another thread.
    TakeOver,
    /// The budget is used up: leave behind the finalizers that have not run.
    GiveUp,
    /// Nothing: finalization is over.
    Rest,
}

impl Turns {
    /// The main thread claims its turn. Returns `false` if another thread has it.
    pub(crate) fn claim(&mut self) -> bool {
        let is_free = self.runner == Runner::Nobody;
        if is_free {
            self.runner = Runner::Main;
        }
        is_free
    }

    /// Gives the turn to the next thread, and returns its name as a runner.
    pub(crate) fn take_over(&mut self) -> Runner {
        self.runner = match self.runner {
            Runner::Nobody | Runner::Main => Runner::Thread(1),
            Runner::Thread(number) => Runner::Thread(number + 1),
        };
        self.deadline = None;
        self.runner
    }

    /// Whether this runner may begin a finalizer: invariant 1.
    pub(crate) fn may_begin(&self, runner: Runner) -> bool {
        runner == self.runner && !self.is_over && self.deadline.is_none()
    }

    /// A finalizer begins, and must end before `deadline`.
    pub(crate) fn begin(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// The finalizer of this runner has ended. Returns `false` if the runner has lost its turn: invariant 2.
    pub(crate) fn end(&mut self, runner: Runner) -> bool {
        runner == self.runner && !self.is_over && self.deadline.take().is_some()
    }

    /// No finalizer is left, or no time is left.
    pub(crate) fn finish(&mut self) {
        self.is_over = true;
        self.deadline = None;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The main thread has returned from its finalizers, or was refused a turn.
    pub(crate) fn main_came_back(&mut self) {
        self.is_main_back = true;
    }

    /// Whether another thread has taken over, and the main thread has not returned.
    pub(crate) fn is_main_stuck(&self) -> bool {
        matches!(self.runner, Runner::Thread(_)) && !self.is_main_back
    }

    /// What the driver must do now.
    pub(crate) fn next(&self, look: &Look) -> Next {
        let Look { now, began, end, is_main_stuck, can_take_over } = *look;
        if self.is_over {
            return Next::Rest;
        }
        if end <= now {
            return Next::GiveUp;
        }
        // Since when the turn has made no progress, and whether its runner is known not to come.
        let (since, is_stuck) = match (self.deadline, self.runner) {
            (Some(deadline), _) if deadline > now => return Next::WaitUntil(deadline.min(end)),
            (Some(deadline), _) => (deadline, false),
            (None, Runner::Nobody) => (began, is_main_stuck),
            (None, Runner::Main | Runner::Thread(_)) => return Next::WaitUntil(end),
        };
        let patient_until = if is_stuck { since } else { since + patience(since, end) };
        match can_take_over {
            true if patient_until <= now => Next::TakeOver,
            true => Next::CutAndWaitUntil(patient_until.min(end)),
            false => Next::CutAndWaitUntil(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;

    const SECONDS: u64 = 8;
    /// The largest number of threads that take over; from the second on they behave alike.
    const THREADS: u32 = 3;

    fn at(begin: Instant, half_seconds: u64) -> Instant {
        begin + Duration::from_millis(500 * half_seconds)
    }

    /// Visits every state that can be reached within a budget, by every order of calls of the main thread, the other threads and the driver.
    #[test]
    fn every_reachable_state_keeps_the_invariants() {
        let begin = Instant::now();
        let end = at(begin, 2 * SECONDS);
        let mut seen = HashSet::new();
        let mut open = vec![(Turns::default(), 0)];
        while let Some((turns, time)) = open.pop() {
            if !seen.insert((turns.clone(), time)) {
                continue;
            }
            for after in successors(&turns, begin, time) {
                check(&turns, &after, at(begin, time));
                open.push((after, time));
            }
            for can_take_over in [false, true] {
                for is_main_stuck in [false, true] {
                    let now = at(begin, time);
                    let look = Look { now, began: begin, end, is_main_stuck, can_take_over };
                    check_next(&turns, &look);
                }
            }
            if time <= 2 * SECONDS {
                open.push((turns, time + 1));
            }
        }
        assert!(seen.len() > 500, "{} states", seen.len());
    }

    fn successors(turns: &Turns, begin: Instant, time: u64) -> Vec<Turns> {
        let changed = |change: &dyn Fn(&mut Turns)| {
            let mut after = turns.clone();
            change(&mut after);
            after
        };
        let mut all = vec![
            changed(&|turns| _ = turns.claim()),
            changed(&Turns::finish),
            changed(&Turns::main_came_back),
        ];
        let runners = [Runner::Main].into_iter().chain((1..=THREADS).map(Runner::Thread));
        for runner in runners {
            all.push(changed(&|turns| _ = turns.end(runner)));
            if turns.may_begin(runner) {
                all.push(changed(&|turns| turns.begin(at(begin, time + 1))));
            }
        }
        // The driver looks and takes over in one step.
        let (now, end) = (at(begin, time), at(begin, 2 * SECONDS));
        let takes_over = [false, true].into_iter().any(|is_main_stuck| {
            let look = Look { now, began: begin, end, is_main_stuck, can_take_over: true };
            turns.next(&look) == Next::TakeOver
        });
        if turns.runner != Runner::Thread(THREADS) && takes_over {
            all.push(changed(&|turns| _ = turns.take_over()));
        }
        all
    }

    fn rank(runner: Runner) -> u32 {
        match runner {
            Runner::Nobody => 0,
            Runner::Main => 1,
            Runner::Thread(number) => number + 1,
        }
    }

    fn check(before: &Turns, after: &Turns, now: Instant) {
        let begins = before.deadline.is_none() && after.deadline.is_some();
        assert!(!begins || before.may_begin(after.runner), "1: {before:?} {after:?}");
        assert!(rank(after.runner) >= rank(before.runner), "2: {before:?} {after:?}");
        let others = (0..=THREADS).map(Runner::Thread).chain([Runner::Main, Runner::Nobody]);
        for other in others.filter(|&other| other != after.runner) {
            let mut late = after.clone();
            assert!(!late.may_begin(other) && !late.end(other), "2: {after:?} {other:?}");
            assert_eq!(late, *after, "2: a late call changed something");
        }
        let was_taken_over = rank(after.runner) > rank(before.runner).max(1);
        let is_late = before.deadline.is_none_or(|deadline| deadline < now);
        assert!(!was_taken_over || is_late && !before.is_over, "4: {before:?} {now:?}");
        let becomes_main = before.runner != Runner::Main && after.runner == Runner::Main;
        assert!(!becomes_main || before.runner == Runner::Nobody, "3: {before:?}");
        assert!(
            !before.is_over || after.is_over && after.deadline.is_none(),
            "5: {after:?} {now:?}"
        );
    }

    fn check_next(turns: &Turns, look: &Look) {
        let Look { now, began, end, is_main_stuck, can_take_over } = *look;
        let next = turns.next(look);
        match next {
            Next::Rest => assert!(turns.is_over, "5"),
            Next::GiveUp => assert!(now >= end && !turns.is_over, "5"),
            Next::TakeOver => {
                assert!(can_take_over, "4");
                let since = turns.deadline.unwrap_or(began);
                let is_free = turns.runner == Runner::Nobody && is_main_stuck;
                assert!(is_free || now >= since + patience(since, end), "4: {turns:?} {look:?}");
            }
            Next::WaitUntil(until) | Next::CutAndWaitUntil(until) => {
                assert!(until > now && until <= end, "the driver checks again in time: {next:?}");
            }
        }
        let has_passed = turns.deadline.is_some_and(|deadline| deadline <= now);
        let cuts = matches!(next, Next::CutAndWaitUntil(_) | Next::TakeOver | Next::GiveUp);
        assert!(!has_passed || turns.is_over || cuts, "4: {turns:?} {next:?}");
    }
}
