//! How events change the program.
//!
//! Any thread may bring an event. The event takes effect before [`Program::on`] returns, so the caller's next line sees it. Work
//! that user code could hold up (writing a log, aborting tasks, starting a thread) is left to the driver, which
//! `Program::changed` wakes.

use tokio::time::Instant;

use crate::{
    model::{
        lifecycle::{Action, Event, Phase},
        panics::quietly,
        report::Cause,
        settings::{ClockMode, GRACE},
        signal::{Role, Signal},
    },
    os::{supervisor::SupervisorHandle, sys},
    program::{
        log,
        state::{Program, Stop},
    },
    tracking::scope_id::ScopeId,
};

/// What an event changed.
struct Transition {
    actions: Vec<Action>,
    phase: Phase,
    begins_stop: bool,
    /// When the process must be gone, if the supervisor does not know it yet.
    last_exit: Option<Instant>,
}

impl Program {
    /// Handles an event that happens now, and returns the actions that follow from it. If the event begins a stop, `cause` names
    /// the stop's cause.
    pub(crate) fn on(&self, event: Event, cause: impl FnOnce() -> Cause) -> Vec<Action> {
        self.on_at(event, Instant::now(), cause)
    }

    fn on_at(&self, event: Event, at: Instant, cause: impl FnOnce() -> Cause) -> Vec<Action> {
        let transition = self.transition(event, at, cause);
        self.announce(event, &transition);
        transition.actions
    }

    /// Applies an event to the state. This is one critical section, so other threads see all of the change or none of it.
    fn transition(&self, event: Event, at: Instant, cause: impl FnOnce() -> Cause) -> Transition {
        let mut life = self.life.lock();
        let was_requested = life.machine.is_requested();
        let actions = life.machine.on(event);
        let begins_stop = !was_requested && life.machine.is_requested();
        if begins_stop {
            let budget = match event {
                Event::InitFailed | Event::InitDeadline => self.settings.budget_after_failure(at),
                _ => self.settings.budget(at),
            };
            life.stop = Some(Stop { cause: cause().shown(), at, budget });
            self.tracker.begin_drain();
        }
        let now = Instant::now();
        entered(&actions).for_each(|phase| life.history.entered(phase, now));
        life.actions.extend(&actions);
        // The supervisor has computed the last exit of a signal itself, unless the program's clock is paused.
        let is_known =
            |stop: &&Stop| self.mode == ClockMode::Real && matches!(stop.cause, Cause::Signal(_));
        let stop = life.stop.as_ref().filter(|stop| begins_stop && !is_known(stop));
        let last_exit = stop.map(|stop| stop.budget.last_exit);
        Transition { phase: life.machine.phase(), actions, begins_stop, last_exit }
    }

    /// Publishes a transition, with the lock released. Two threads may run this at once, in either order, so each step may be
    /// repeated and may come late.
    ///
    /// Within one transition the order is: the supervisor first, because it ends the process in any case; then the log; then
    /// the tasks that wait for the phase; and last the driver, which acts on all of it.
    fn announce(&self, event: Event, transition: &Transition) {
        let Transition { actions, phase, begins_stop, last_exit } = transition;
        if *begins_stop {
            self.begun.cancel();
            self.publish_status();
        }
        if let (Some(at), Some(supervisor)) = (last_exit, self.supervisor.get()) {
            supervisor.last_exit(sys::now() + at.saturating_duration_since(Instant::now()));
        }
        for phase in entered(actions).filter(|&phase| phase > Phase::Running) {
            self.start_log_thread();
            self.log_phase(phase);
        }
        // Even if another thread's event entered the phase: that thread may not have reached this line yet.
        self.set_phase(*phase);
        if actions.contains(&Action::Exit) {
            self.over.cancel();
        }
        // The driver needs no wake-up for the events that end the drain and finalization: either it brings them itself, or the
        // main thread does while it exits.
        let ends_phase = matches!(event, Event::Drained | Event::Finalized);
        if *begins_stop || !(actions.is_empty() || ends_phase) {
            self.changed.notify_one();
        }
    }

    fn log_phase(&self, phase: Phase) {
        let cause = self.stop().map(|stop| stop.cause.to_string()).unwrap_or_default();
        let in_flight = self.tracker.in_flight(self.tracker.root());
        log::entered(&self.log_thread, phase, cause, in_flight, self.remaining(phase));
    }

    fn set_phase(&self, phase: Phase) {
        if phase >= Phase::Draining {
            // Admission closes before the tasks are notified: a task that observes the stop finds that new work is refused.
            self.tracker.request(ScopeId::PROGRAM);
        }
        // Two threads may get here in either order; the published phase never moves back.
        quietly(|| {
            self.phases.send_if_modified(|published| {
                let is_later = phase > *published;
                *published = (*published).max(phase);
                is_later
            })
        });
    }

    /// Handles a signal that arrived at `at`.
    pub(crate) fn on_signal(&self, signal: Signal, sender: Option<u32>, role: Role, at: Instant) {
        // Computed before the lock is taken, because `is_ready` takes it too. `INT` comes from a person at a terminal, who does
        // not want to wait for a load balancer.
        let lame_duck =
            signal != Signal::INT && self.is_ready() && !self.settings.lame_duck.is_zero();
        let mut life = self.life.lock();
        let phase = life.machine.phase();
        life.history.received(signal, sender, role, phase, at);
        let requested_at = life.stop.as_ref().map(|stop| stop.at);
        let init_ended_at = life.history.init_ended_at();
        drop(life);
        if matches!(role, Role::Stop | Role::Force) {
            self.publish_status();
        }
        let cause = || Cause::Signal(signal);
        match (role, requested_at) {
            (Role::Reload, None) if phase <= Phase::Running => self.reload.notify_one(),
            (Role::Reload | Role::Exit, _) => {}
            (Role::Force, _) => drop(self.on_at(Event::Force, at, cause)),
            (Role::Stop, None) => drop(self.on_at(Event::Request { lame_duck }, at, cause)),
            (Role::Stop, Some(requested_at)) => {
                // A signal soon after the first is the same wish, sent by a terminal and a supervisor. One that came during
                // `init` never forces.
                let is_second = at >= requested_at + GRACE;
                let init_ended = init_ended_at.is_some_and(|ended| at >= ended);
                if is_second && init_ended && phase < Phase::Finalizing {
                    self.on_at(Event::Force, at, cause);
                }
            }
        }
    }

    /// Waits for the stop if a stop signal has arrived: the driver handles the signal a moment after its arrival.
    pub(crate) async fn catch_up_with_signals(&self) {
        if self.supervisor.get().is_some_and(SupervisorHandle::is_asked) {
            self.begun.cancelled().await;
        }
    }

    /// Begins finalization if the drain has ended, so that the thread that ended the last work need not wait for the driver.
    pub(crate) fn try_finish_drain(&self) {
        if self.phase() == Phase::Draining && self.tracker.close_if_drained() {
            self.on(Event::Drained, || Cause::MainReturned);
        }
    }
}

/// The phases that these actions enter.
fn entered(actions: &[Action]) -> impl Iterator<Item = Phase> + '_ {
    actions.iter().filter_map(|action| match action {
        Action::Enter(phase) => Some(*phase),
        _ => None,
    })
}
