//! The life of a program as a pure state machine: no clock, no runtime, no input or output.
//!
//! ```text
//!            Request / Force / PartEnded
//!                       │
//!  Init ──► Running ──► LameDuck ──► Draining ──► Finalizing ──► (exit)
//!    │         └───────────────────────►│ ▲
//!    └──────────────────────────────────┘ └ Force: first 100 ms (Grace), then Cut
//! ```
//!
//! # Invariants
//!
//! 1. The phase never moves back.
//! 2. Nothing but [`Event::InitDeadline`] and [`Event::DrainDeadline`] cuts init, and it is cut at most once.
//! 3. `main` is started at most once, and never after a request.
//! 4. Work is aborted at most once, only in `Draining`, and never while a grace is running.
//! 5. Finalization begins exactly once, out of `Draining`, and nothing but [`Event::Finalized`] ends it.
//! 6. After a request or a failure, some sequence of time events alone leads to the exit.

use std::mem;

/// Where a program is in its life.
///
/// The order is the order of life: a phase never moves back, so `phase >= Phase::Draining` asks
/// whether the drain has begun.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Phase {
    /// `init` runs, shielded from signals.
    Init,
    /// `main` runs; the program is ready.
    Running,
    /// A stop was requested: not ready any more, still serving.
    LameDuck,
    /// Nothing new is taken; what runs may finish.
    Draining,
    /// Finalizers run, shielded from signals and force.
    Finalizing,
}

/// What can happen to a program, as far as its phase is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// `init` returned its state.
    InitEnded,
    /// `init` returned an error or panicked.
    InitFailed,
    /// The `init_timeout` has passed.
    InitDeadline,
    /// Somebody asks the program to stop; `lame_duck` says whether it may serve on for a while.
    Request { lame_duck: bool },
    /// The drain is to end now: a second stop signal, a `force` signal, or a call.
    Force,
    /// `main` returned, or an essential task ended: there is nothing left to serve with.
    PartEnded,
    /// The lame duck has lasted as long as it should.
    LameDuckOver,
    /// The time that a force before `Draining` gives to running work has passed.
    GraceOver,
    /// `timeout − finalize_timeout` has passed since the request.
    DrainDeadline,
    /// Nothing tracked is left.
    Drained,
    /// What was aborted has ended, or was waited for long enough.
    CutOver,
    /// Every finalizer has run or was left behind.
    Finalized,
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Drop `init` unfinished, because of this event.
    CutInit(Event),
    /// The phase is a new one: tell everybody.
    Enter(Phase),
    /// Give running work a moment before it is aborted.
    Grace,
    /// Abort what is tracked, wait for shields.
    Abort,
    /// Nothing is left to do: leave.
    Exit,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum ForceState {
    No,
    /// Asked for during `Init`: waits for its end.
    Waiting,
    Grace,
    Cut,
}

/// The state of the machine.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Lifecycle {
    phase: Phase,
    requested: bool,
    force: ForceState,
    exited: bool,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Init, requested: false, force: ForceState::No, exited: false }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a stop is under way, also while it waits for init.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested
    }

    /// Whether work has a moment left before it is aborted.
    pub(crate) fn is_in_grace(&self) -> bool {
        self.force == ForceState::Grace
    }

    /// Takes in what happened and says what is to be done, in this order.
    pub(crate) fn on(&mut self, event: Event) -> Vec<Action> {
        use Event::*;
        match (self.phase, event) {
            (Phase::Init, Request { .. } | PartEnded) => {
                self.requested = true;
                Vec::new()
            }
            (Phase::Init, Force) => {
                self.requested = true;
                self.force = ForceState::Waiting;
                Vec::new()
            }
            (Phase::Init, InitEnded) if self.force == ForceState::Waiting => self.drain_briefly(),
            (Phase::Init, InitEnded) if self.requested => self.enter(Phase::Draining),
            (Phase::Init, InitEnded) => self.enter(Phase::Running),
            (Phase::Init, InitFailed) => self.drain_briefly(),
            (Phase::Init, InitDeadline) => {
                [vec![Action::CutInit(event)], self.drain_briefly()].concat()
            }
            (Phase::Init, DrainDeadline) => {
                [self.enter(Phase::Draining), self.cut(), vec![Action::CutInit(event)]].concat()
            }
            (Phase::Running, Request { lame_duck: true }) => self.enter(Phase::LameDuck),
            (Phase::Running, Request { lame_duck: false } | PartEnded)
            | (Phase::LameDuck, PartEnded | LameDuckOver) => self.enter(Phase::Draining),
            (Phase::Running | Phase::LameDuck, Force) => self.drain_briefly(),
            (Phase::LameDuck, DrainDeadline) => [self.enter(Phase::Draining), self.cut()].concat(),
            (Phase::Draining, Force) if self.force == ForceState::No => self.cut(),
            (Phase::Draining, GraceOver) if self.force == ForceState::Grace => self.cut(),
            (Phase::Draining, DrainDeadline) if self.force != ForceState::Cut => self.cut(),
            (Phase::Draining, Drained) => self.enter(Phase::Finalizing),
            (Phase::Draining, CutOver) if self.force == ForceState::Cut => {
                self.enter(Phase::Finalizing)
            }
            (Phase::Finalizing, Finalized) if !mem::replace(&mut self.exited, true) => {
                vec![Action::Exit]
            }
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, phase: Phase) -> Vec<Action> {
        self.requested |= phase > Phase::Running;
        self.phase = phase;
        vec![Action::Enter(phase)]
    }

    /// A force before `Draining` begins the drain first, so that work hears of it and may end by itself.
    fn drain_briefly(&mut self) -> Vec<Action> {
        self.force = ForceState::Grace;
        [self.enter(Phase::Draining), vec![Action::Grace]].concat()
    }

    fn cut(&mut self) -> Vec<Action> {
        self.force = ForceState::Cut;
        vec![Action::Abort]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const EVENTS: [Event; 13] = [
        Event::InitEnded,
        Event::InitFailed,
        Event::InitDeadline,
        Event::Request { lame_duck: true },
        Event::Request { lame_duck: false },
        Event::Force,
        Event::PartEnded,
        Event::LameDuckOver,
        Event::GraceOver,
        Event::DrainDeadline,
        Event::Drained,
        Event::CutOver,
        Event::Finalized,
    ];

    /// What an observer remembers of a history, to judge the next step by.
    #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
    struct Seen {
        cut_init: bool,
        aborted: bool,
        finalizing: bool,
        exited: bool,
        grace: bool,
        asked: bool,
    }

    impl Seen {
        fn check(&mut self, before: Lifecycle, event: Event, after: Lifecycle, actions: &[Action]) {
            assert!(before.phase <= after.phase, "1: the phase moved back");
            assert!(!before.requested || after.requested, "1: a request was forgotten");
            for action in actions {
                match *action {
                    Action::CutInit(by) => {
                        assert_eq!(by, event);
                        let by_time = matches!(event, Event::InitDeadline | Event::DrainDeadline);
                        assert!(
                            before.phase == Phase::Init && by_time,
                            "2: init was cut by {event:?}"
                        );
                        assert!(!mem::replace(&mut self.cut_init, true), "2: init was cut twice");
                    }
                    Action::Enter(Phase::Running) => {
                        assert!(event == Event::InitEnded, "3: main was started by {event:?}");
                        assert!(!self.asked, "3: main was started after a request");
                    }
                    Action::Enter(Phase::Finalizing) => {
                        assert_eq!(before.phase, Phase::Draining, "5: finalizing without a drain");
                        assert!(!mem::replace(&mut self.finalizing, true), "5: finalized twice");
                    }
                    Action::Enter(_) => {}
                    Action::Grace => self.grace = true,
                    Action::Abort => {
                        assert_eq!(
                            after.phase,
                            Phase::Draining,
                            "4: work aborted outside the drain"
                        );
                        assert!(!mem::replace(&mut self.aborted, true), "4: work aborted twice");
                        let in_grace = before.force == ForceState::Grace && event == Event::Force;
                        assert!(!in_grace, "4: the grace was cut by a force");
                    }
                    Action::Exit => {
                        assert!(self.finalizing, "5: left without finalizers");
                        assert!(!mem::replace(&mut self.exited, true), "5: left twice");
                        assert_eq!(event, Event::Finalized, "5: finalizers were cut short");
                    }
                }
            }
            self.asked |= matches!(event, Event::Request { .. } | Event::Force | Event::PartEnded)
                && before.phase <= Phase::Running;
        }
    }

    /// Every history of `depth` events, seen by an observer; returns how many there were.
    fn walk(life: Lifecycle, seen: Seen, depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        EVENTS
            .iter()
            .map(|&event| {
                let (mut life_after, mut seen_after) = (life, seen);
                let actions = life_after.on(event);
                seen_after.check(life, event, life_after, &actions);
                walk(life_after, seen_after, depth - 1)
            })
            .sum()
    }

    #[test]
    fn invariants_hold_in_every_history_of_six_events() {
        assert_eq!(walk(Lifecycle::new(), Seen::default(), 6), 13u64.pow(6));
    }

    /// The machine and its observer are small enough to visit every state there is, which covers histories of any length.
    #[test]
    fn invariants_hold_in_every_reachable_state() {
        let mut known = HashSet::new();
        let mut open = vec![(Lifecycle::new(), Seen::default())];
        while let Some((life, seen)) = open.pop() {
            if !known.insert((life, seen)) {
                continue;
            }
            for event in EVENTS {
                let (mut life_after, mut seen_after) = (life, seen);
                let actions = life_after.on(event);
                seen_after.check(life, event, life_after, &actions);
                open.push((life_after, seen_after));
            }
        }
        assert!(known.len() > 20, "only {} states were reached", known.len());
    }

    #[test]
    fn time_alone_ends_every_stop() {
        let time = [Event::DrainDeadline, Event::CutOver, Event::Finalized];
        for first in EVENTS {
            for second in EVENTS {
                for third in EVENTS {
                    let mut life = Lifecycle::new();
                    for event in [first, second, third] {
                        life.on(event);
                    }
                    if life.is_requested() || life.phase() > Phase::Running {
                        for event in time {
                            life.on(event);
                        }
                        assert!(life.exited, "6: {first:?} {second:?} {third:?} never ends");
                    }
                }
            }
        }
    }

    #[test]
    fn a_request_during_init_skips_main() {
        let mut life = Lifecycle::new();
        assert_eq!(life.on(Event::Request { lame_duck: true }), []);
        assert_eq!(life.on(Event::InitEnded), [Action::Enter(Phase::Draining)]);
    }
}
