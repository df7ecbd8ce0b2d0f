//! The life of a program as a pure state machine: no clock, no runtime, no input or output.
//!
//! ```text
//!                    Request
//!  Init ──► Running ────────► LameDuck ──► Draining ──► Finalizing ──► (exit)
//!    │         └──────────────────────────►│ ▲
//!    │           Force / EssentialEnded /  │ └ Force: aborts the work; if the force began the drain, after a grace of 100 ms
//!    │           Request without lame duck │
//!    └─────────────────────────────────────┘
//!                a request during init
//! ```
//!
//! The [program](crate::program) passes events in, and the [driver](crate::driver) performs the actions that come out.
//!
//! # Invariants
//!
//! 1. The phase never moves back.
//! 2. Only [`Event::InitDeadline`] and [`Event::DrainDeadline`] end init early, and at most one of them does.
//! 3. `main` is started at most once, and never after a request.
//! 4. Work is aborted at most once, only in `Draining`, and never during a grace.
//! 5. Finalization begins exactly once, from `Draining`, and only [`Event::Finalized`] ends it.
//! 6. After a request or a failure, some sequence of time events alone leads to the exit.

use std::mem;

/// A phase in the life of a program.
///
/// The variants are ordered as a program passes through them. A program never returns to an earlier phase, so `phase >= Phase::Draining` says whether the
/// drain has begun.
///
/// ```
/// use graceful::Phase;
///
/// assert!(Phase::Running < Phase::Draining);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Phase {
    /// `init` runs. Signals do not interrupt it.
    Init,
    /// `main` runs, and the program is ready.
    Running,
    /// A stop was requested. The program is no longer ready, but still serves.
    LameDuck,
    /// New work from outside is refused, and running work may finish.
    Draining,
    /// Finalizers run. Neither signals nor a force interrupt them.
    Finalizing,
}

/// An event that may change the phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// `init` returned its state.
    InitEnded,
    /// `init` returned an error or panicked.
    InitFailed,
    /// The `init_timeout` has elapsed.
    InitDeadline,
    /// A stop was requested. `lame_duck` says whether the program keeps serving for a while.
    Request { lame_duck: bool },
    /// The drain must end now: a second stop signal, a `force` signal, or a call of `force`.
    Force,
    /// `main` returned, or an essential task ended. The program cannot serve without it, so there is no lame duck.
    EssentialEnded,
    /// The `lame_duck` time has elapsed.
    LameDuckOver,
    /// The grace that a force before `Draining` grants to running work has elapsed.
    GraceOver,
    /// `timeout − finalize_timeout` has elapsed since the request.
    DrainDeadline,
    /// No tracked work is left.
    Drained,
    /// The aborted work has ended, or the time to wait for it has elapsed.
    AbortOver,
    /// Every finalizer has run or was left behind.
    Finalized,
}

/// An action that the driver must perform.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Drop the unfinished `init`, because of this event.
    DropInit(Event),
    /// The phase has changed: publish it, and do what the new phase begins with.
    Enter(Phase),
    /// Start the grace: running work gets 100 ms to end by itself before it is aborted.
    Grace,
    /// Abort the tracked work, then wait for its end and for shields.
    Abort,
    /// Exit the program.
    Exit,
}

/// How far a force has come.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum ForceState {
    /// No force was requested.
    No,
    /// A force was requested during `Init`, and takes effect when `init` has ended.
    Waiting,
    /// The drain has just begun, and work may still end by itself.
    Grace,
    /// The work was aborted.
    Aborted,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Lifecycle {
    phase: Phase,
    requested: bool,
    force: ForceState,
    /// [`Action::Exit`] was issued.
    exited: bool,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Init, requested: false, force: ForceState::No, exited: false }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a stop was requested, even if it still waits for the end of `init`.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested
    }

    /// Whether the grace of a force is running.
    pub(crate) fn is_in_grace(&self) -> bool {
        self.force == ForceState::Grace
    }

    /// Handles an event. Returns the actions that it causes, in the order in which the driver must perform them. An event that means nothing in the current
    /// state causes none.
    pub(crate) fn on(&mut self, event: Event) -> Vec<Action> {
        use Event::*;
        match (self.phase, event) {
            (Phase::Init, _) => self.on_in_init(event),
            (Phase::Running, Request { lame_duck: true }) => self.enter(Phase::LameDuck),
            (Phase::Running, Request { lame_duck: false } | EssentialEnded)
            | (Phase::LameDuck, EssentialEnded | LameDuckOver) => self.enter(Phase::Draining),
            (Phase::Running | Phase::LameDuck, Force) => self.drain_briefly(),
            (Phase::LameDuck, DrainDeadline) => {
                [self.enter(Phase::Draining), self.abort()].concat()
            }
            (Phase::Draining, Force) if self.force == ForceState::No => self.abort(),
            (Phase::Draining, GraceOver) if self.force == ForceState::Grace => self.abort(),
            (Phase::Draining, DrainDeadline) if self.force != ForceState::Aborted => self.abort(),
            (Phase::Draining, Drained) => self.enter(Phase::Finalizing),
            (Phase::Draining, AbortOver) if self.force == ForceState::Aborted => {
                self.enter(Phase::Finalizing)
            }
            (Phase::Finalizing, Finalized) if !mem::replace(&mut self.exited, true) => {
                vec![Action::Exit]
            }
            // Repeated or late: for example a second request, or a deadline that an earlier event has made void.
            _ => Vec::new(),
        }
    }

    /// A request or a force during `Init` takes effect when `init` has ended (invariant 3); only time ends `init` early (invariant 2).
    fn on_in_init(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Request { .. } | Event::EssentialEnded => {
                self.requested = true;
                Vec::new()
            }
            Event::Force => {
                self.requested = true;
                self.force = ForceState::Waiting;
                Vec::new()
            }
            Event::InitEnded if self.force == ForceState::Waiting => self.drain_briefly(),
            Event::InitEnded if self.requested => self.enter(Phase::Draining),
            Event::InitEnded => self.enter(Phase::Running),
            Event::InitFailed => self.drain_briefly(),
            Event::InitDeadline => [vec![Action::DropInit(event)], self.drain_briefly()].concat(),
            Event::DrainDeadline => {
                [self.enter(Phase::Draining), self.abort(), vec![Action::DropInit(event)]].concat()
            }
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, phase: Phase) -> Vec<Action> {
        self.requested |= phase > Phase::Running;
        self.phase = phase;
        vec![Action::Enter(phase)]
    }

    /// A force before `Draining` begins the drain with a grace, so that work sees the request and may end by itself. So does a failure of `init`.
    fn drain_briefly(&mut self) -> Vec<Action> {
        self.force = ForceState::Grace;
        [self.enter(Phase::Draining), vec![Action::Grace]].concat()
    }

    fn abort(&mut self) -> Vec<Action> {
        self.force = ForceState::Aborted;
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
        Event::EssentialEnded,
        Event::LameDuckOver,
        Event::GraceOver,
        Event::DrainDeadline,
        Event::Drained,
        Event::AbortOver,
        Event::Finalized,
    ];

    /// What an observer of a history remembers, to check the invariants at the next event.
    #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
    struct Observer {
        init_dropped: bool,
        aborted: bool,
        finalizing: bool,
        exited: bool,
        requested: bool,
    }

    impl Observer {
        fn check(&mut self, before: Lifecycle, event: Event, after: Lifecycle, actions: &[Action]) {
            assert!(before.phase <= after.phase, "1: the phase moved back");
            assert!(!before.requested || after.requested, "1: a request was forgotten");
            for &action in actions {
                self.check_action(action, before, event, after);
            }
            self.requested |=
                matches!(event, Event::Request { .. } | Event::Force | Event::EssentialEnded)
                    && before.phase <= Phase::Running;
        }

        fn check_action(
            &mut self,
            action: Action,
            before: Lifecycle,
            event: Event,
            after: Lifecycle,
        ) {
            match action {
                Action::DropInit(by) => {
                    assert_eq!(by, event);
                    let by_time = matches!(event, Event::InitDeadline | Event::DrainDeadline);
                    let in_init = before.phase == Phase::Init;
                    assert!(in_init && by_time, "2: init was dropped by {event:?}");
                    first(&mut self.init_dropped, "2: init was dropped twice");
                }
                Action::Enter(Phase::Running) => {
                    assert!(event == Event::InitEnded, "3: main was started by {event:?}");
                    assert!(!self.requested, "3: main was started after a request");
                }
                Action::Enter(Phase::Finalizing) => {
                    assert_eq!(before.phase, Phase::Draining, "5: finalizing without a drain");
                    first(&mut self.finalizing, "5: finalized twice");
                }
                Action::Enter(_) | Action::Grace => {}
                Action::Abort => {
                    assert_eq!(after.phase, Phase::Draining, "4: work aborted outside the drain");
                    first(&mut self.aborted, "4: work aborted twice");
                    let in_grace = before.force == ForceState::Grace && event == Event::Force;
                    assert!(!in_grace, "4: a force ended the grace");
                }
                Action::Exit => {
                    assert!(self.finalizing, "5: exited without finalizers");
                    first(&mut self.exited, "5: exited twice");
                    assert_eq!(event, Event::Finalized, "5: finalization ended early");
                }
            }
        }
    }

    /// Sets a flag, which must not be set yet.
    fn first(flag: &mut bool, message: &str) {
        assert!(!mem::replace(flag, true), "{message}");
    }

    /// Checks every history of `depth` events. Returns how many there are.
    fn walk(life: Lifecycle, observer: Observer, depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        EVENTS
            .iter()
            .map(|&event| {
                let (mut life_after, mut observer_after) = (life, observer);
                let actions = life_after.on(event);
                observer_after.check(life, event, life_after, &actions);
                walk(life_after, observer_after, depth - 1)
            })
            .sum()
    }

    #[test]
    fn invariants_hold_in_every_history_of_six_events() {
        assert_eq!(walk(Lifecycle::new(), Observer::default(), 6), 13u64.pow(6));
    }

    /// The machine and the observer have so few states that this visits all of them, which covers histories of any length.
    #[test]
    fn invariants_hold_in_every_reachable_state() {
        let mut known = HashSet::new();
        let mut open = vec![(Lifecycle::new(), Observer::default())];
        while let Some((life, observer)) = open.pop() {
            if !known.insert((life, observer)) {
                continue;
            }
            for event in EVENTS {
                let (mut life_after, mut observer_after) = (life, observer);
                let actions = life_after.on(event);
                observer_after.check(life, event, life_after, &actions);
                open.push((life_after, observer_after));
            }
        }
        assert!(known.len() > 20, "only {} states were reached", known.len());
    }

    #[test]
    fn time_alone_ends_every_stop() {
        let time = [Event::DrainDeadline, Event::AbortOver, Event::Finalized];
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
