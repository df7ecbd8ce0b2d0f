//! What all handles of one program share: the lifecycle with its clock, the registry, the hooks, and what has happened so far.
//!
//! Any thread may bring an event; it takes effect at once, so that `request` is seen by the next line of the caller. What user
//! code could hold up (a log, an abort, a thread) is left to the driver, which [`Program::changed`] wakes.
//!
//! Locks are taken one at a time, and never while user code runs; `life` alone is held while the books of the drain are opened, so that what has ended before
//! the stop is told from what ends after it (for those of the books see `tasks`).

use std::{
    collections::VecDeque,
    process::ExitCode,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::{
    model::{
        lifecycle::{Action, Event, Lifecycle, Phase},
        panics::quietly,
        report::{
            Cause, ErrorReport, FinalizerEnd, PanicReport, PhaseReport, ReceivedSignal, Report,
            Verdict,
        },
        sanitize,
        settings::{Budget, ClockMode, Readiness, Settings},
        signal::{Role, Signal},
    },
    os::{mutex::Mutex, socket_files::SocketFiles, supervisor::SupervisorHandle, sys},
    program::{
        finalizer_queue::FinalizerQueue, log, log_thread::LogThread, untracked_wait::UntrackedWait,
    },
    tracking::{label::Label, listener::Listener, scope_id::ScopeId, tracker::Tracker},
};

type AtExit = Box<dyn FnOnce(&Report) + Send>;

/// What has happened so far.
#[derive(Debug)]
struct Life {
    machine: Lifecycle,
    /// What the driver has still to do.
    actions: VecDeque<Action>,
    began: Instant,
    phases: Vec<(Phase, Instant)>,
    stop: Option<Stop>,
    signals: Vec<(Role, ReceivedSignal)>,
    ready: bool,
    /// The report is out, and its status the last word.
    is_reported: bool,
    verdict: Verdict,
    panics: Vec<PanicReport>,
    errors: Vec<ErrorReport>,
}

/// A stop that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    pub(crate) at: Instant,
    pub(crate) budget: Budget,
}

/// What an event has changed.
struct Transition {
    actions: Vec<Action>,
    phase: Phase,
    begins_stop: bool,
    /// When the process has to have left, where the supervisor is still to be told.
    last_exit: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) settings: Settings,
    pub(crate) mode: ClockMode,
    life: Mutex<Life>,
    phases: watch::Sender<Phase>,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) finalizers: Arc<FinalizerQueue>,
    pub(crate) log_thread: LogThread,
    pub(crate) cut_init: CancellationToken,
    /// A reload signal came.
    pub(crate) reload: Notify,
    /// A stop is under way.
    begun: CancellationToken,
    /// The last phase is over.
    pub(crate) over: CancellationToken,
    /// Wakes the driver.
    pub(crate) changed: Arc<Notify>,
    pub(crate) runtime: OnceLock<Handle>,
    inbox: OnceLock<SupervisorHandle>,
    pub(crate) socket_files: SocketFiles,
    waits: Mutex<Option<UntrackedWait>>,
    at_exit: Mutex<AtExits>,
}

#[derive(Default)]
struct AtExits {
    hooks: Vec<AtExit>,
    taken: bool,
}

impl std::fmt::Debug for AtExits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtExits")
            .field("hooks", &self.hooks.len())
            .field("taken", &self.taken)
            .finish()
    }
}

impl Program {
    pub(crate) fn new(settings: Settings, mode: ClockMode) -> Arc<Self> {
        let began = Instant::now();
        let life = Life {
            machine: Lifecycle::new(),
            actions: VecDeque::new(),
            began,
            phases: vec![(Phase::Init, began)],
            stop: None,
            signals: Vec::new(),
            ready: settings.readiness == Readiness::Auto,
            is_reported: false,
            verdict: Verdict::default(),
            panics: Vec::new(),
            errors: Vec::new(),
        };
        let changed = Arc::new(Notify::new());
        Arc::new_cyclic(|program: &Weak<Self>| Self {
            settings,
            mode,
            life: Mutex::new(life),
            phases: watch::Sender::new(Phase::Init),
            tracker: Tracker::new(program.clone(), mode == ClockMode::Real, Arc::clone(&changed)),
            finalizers: Arc::new(FinalizerQueue::new(Arc::clone(&changed))),
            log_thread: LogThread::default(),
            cut_init: CancellationToken::new(),
            reload: Notify::new(),
            begun: CancellationToken::new(),
            over: CancellationToken::new(),
            changed,
            runtime: OnceLock::new(),
            inbox: OnceLock::new(),
            socket_files: SocketFiles::default(),
            waits: Mutex::default(),
            at_exit: Mutex::default(),
        })
    }

    pub(crate) fn supervised_by(&self, inbox: SupervisorHandle) {
        drop(self.inbox.set(inbox));
    }

    /// Takes in what happened now, with the cause that it is if it begins a stop. Says what follows at once.
    pub(crate) fn on(&self, event: Event, cause: impl FnOnce() -> Cause) -> Vec<Action> {
        self.on_at(event, Instant::now(), cause)
    }

    fn on_at(&self, event: Event, at: Instant, cause: impl FnOnce() -> Cause) -> Vec<Action> {
        let transition = self.transition(event, at, cause);
        self.announce(event, &transition);
        transition.actions
    }

    /// What an event changes. All of it is one step under the lock, so other threads see none or all of it.
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
        life.phases.extend(entered(&actions).map(|phase| (phase, now)));
        life.actions.extend(&actions);
        // The supervisor knows of a signal already, unless the clock is another than its own.
        let knows =
            |stop: &&Stop| self.mode == ClockMode::Real && matches!(stop.cause, Cause::Signal(_));
        let stop = life.stop.as_ref().filter(|stop| begins_stop && !knows(stop));
        let last_exit = stop.map(|stop| stop.budget.last_exit);
        Transition { phase: life.machine.phase(), actions, begins_stop, last_exit }
    }

    /// What follows from a transition, with the lock free. Two threads may be here at once, in either order, so each step is one that may be repeated
    /// or come late. The order within one transition: the supervisor first, because it ends the process in any case; then the log, then whoever
    /// waits for the phase, and last the driver, which acts upon all of it.
    fn announce(&self, event: Event, transition: &Transition) {
        let Transition { actions, phase, begins_stop, last_exit } = transition;
        if *begins_stop {
            self.begun.cancel();
            self.publish_status();
        }
        if let (Some(at), Some(inbox)) = (last_exit, self.inbox.get()) {
            inbox.last_exit(sys::now() + at.saturating_duration_since(Instant::now()));
        }
        for phase in entered(actions).filter(|&phase| phase > Phase::Running) {
            self.start_log_thread();
            self.log_phase(phase);
        }
        // Also where another thread's event brought the phase: that thread may not have come this far yet.
        self.set_phase(*phase);
        if actions.contains(&Action::Exit) {
            self.over.cancel();
        }
        // What ends the drain or finalization is brought by the driver itself, or by the main thread on its way out.
        let is_on_its_way = matches!(event, Event::Drained | Event::Finalized);
        if *begins_stop || !(actions.is_empty() || is_on_its_way) {
            self.changed.notify_one();
        }
    }

    fn log_phase(&self, phase: Phase) {
        let cause = self.stop().map(|stop| stop.cause.to_string()).unwrap_or_default();
        let in_flight = self.tracker.in_flight(self.tracker.root());
        log::entered(&self.log_thread, phase, cause, in_flight, self.remaining(phase));
    }

    /// From here on the narrator speaks: what could block is no longer said by whoever has something to say.
    pub(crate) fn start_log_thread(&self) {
        if self.mode == ClockMode::Real {
            self.log_thread.start();
        }
    }

    fn set_phase(&self, phase: Phase) {
        if phase >= Phase::Draining {
            // Refused first, then told: whoever has heard of the stop finds nothing let in any more.
            self.tracker.request(ScopeId::PROGRAM);
        }
        // Two threads may come here in either order; the phase that is seen never moves back.
        quietly(|| {
            self.phases.send_if_modified(|seen| {
                let later = phase > *seen;
                *seen = (*seen).max(phase);
                later
            })
        });
    }

    /// A signal came.
    pub(crate) fn on_signal(&self, signal: Signal, sender: Option<u32>, role: Role, at: Instant) {
        let lame_duck =
            signal != Signal::INT && self.is_ready() && !self.settings.lame_duck.is_zero();
        let mut life = self.life.lock();
        let phase = life.machine.phase();
        let after = at.saturating_duration_since(life.began);
        if life.signals.len() < REMEMBERED {
            life.signals.push((role, ReceivedSignal { signal, sender, after, phase }));
        }
        let asks_to_stop = matches!(role, Role::Stop | Role::Force);
        if asks_to_stop {
            life.verdict.signal.get_or_insert(signal);
        }
        let requested = life.stop.as_ref().map(|stop| stop.at);
        let init_ended = life.phases.get(1).map(|&(_, at)| at);
        let is_over = life.machine.phase() >= Phase::Finalizing;
        drop(life);
        if asks_to_stop {
            self.publish_status();
        }
        let cause = || Cause::Signal(signal);
        match (role, requested) {
            (Role::Reload, None) if phase <= Phase::Running => self.reload.notify_one(),
            (Role::Reload | Role::Exit, _) => {}
            (Role::Force, _) => drop(self.on_at(Event::Force, at, cause)),
            (Role::Stop, None) => drop(self.on_at(Event::Request { lame_duck }, at, cause)),
            (Role::Stop, Some(requested)) => {
                let again = at >= requested + crate::model::settings::GRACE;
                if again && !is_over && init_ended.is_some_and(|ended| at >= ended) {
                    self.on_at(Event::Force, at, cause);
                }
            }
        }
    }

    /// Waits for the stop that a signal has asked for by now, if one has: the driver sees it a moment after it arrives.
    pub(crate) async fn hear_signals(&self) {
        if self.inbox.get().is_some_and(SupervisorHandle::is_asked) {
            self.begun.cancelled().await;
        }
    }

    /// Begins finalization if nothing is left to wait for: whoever brought the last end need not wait for the driver to see it.
    pub(crate) fn try_finish_drain(&self) {
        if self.phase() == Phase::Draining && self.tracker.close_if_drained() {
            self.on(Event::Drained, || Cause::MainReturned);
        }
    }

    /// What the driver has to do next.
    pub(crate) fn next_action(&self) -> Option<Action> {
        self.life.lock().actions.pop_front()
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phases.borrow()
    }

    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phases.subscribe()
    }

    pub(crate) fn stop(&self) -> Option<Stop> {
        self.life.lock().stop.clone()
    }

    /// Whether `main` returned, failed or panicked before anybody asked for a stop, and no stop signal has come since.
    pub(crate) fn ended_by_itself(&self) -> bool {
        let life = self.life.lock();
        let cause = life.stop.as_ref().map(|stop| &stop.cause);
        cause == Some(&Cause::MainReturned) && life.verdict.signal.is_none()
    }

    /// The main thread waits for what nothing tracks, or no more.
    pub(crate) fn wait_for_untracked(&self, wait: Option<UntrackedWait>) {
        *self.waits.lock() = wait;
    }

    /// The wait for what nothing tracks, if the main thread is in it or gave it up.
    pub(crate) fn waits(&self) -> Option<UntrackedWait> {
        *self.waits.lock()
    }

    /// When the program entered its phase.
    pub(crate) fn entered_at(&self) -> Instant {
        let life = self.life.lock();
        life.phases.last().map_or(life.began, |&(_, at)| at)
    }

    /// What is left of the phase's share of the budget.
    pub(crate) fn remaining(&self, phase: Phase) -> Duration {
        let Some(stop) = self.stop() else { return Duration::ZERO };
        let end = match phase {
            Phase::LameDuck => self.entered_at() + self.settings.lame_duck,
            Phase::Finalizing => stop.budget.report,
            _ => stop.budget.force,
        };
        end.saturating_duration_since(Instant::now())
    }

    /// Whether a force gives running work a moment before it is aborted.
    pub(crate) fn is_in_grace(&self) -> bool {
        self.life.lock().machine.is_in_grace()
    }

    pub(crate) fn is_ready(&self) -> bool {
        let life = self.life.lock();
        life.ready && life.machine.phase() == Phase::Running
    }

    pub(crate) fn set_ready(&self) {
        self.life.lock().ready = true;
    }

    /// Puts an error into the report; `counts` for the exit status or not.
    pub(crate) fn failed(&self, name: &str, error: String, counts: bool) {
        let mut life = self.life.lock();
        life.verdict.failed |= counts;
        if counts || life.errors.len() < REMEMBERED {
            life.errors.push(ErrorReport { name: name.to_owned(), error, counts });
        }
        drop(life);
        self.publish_status();
    }

    /// Puts a panic into the report; `counts` for the exit status or not.
    pub(crate) fn panicked(&self, name: &str, message: String, counts: bool) {
        let mut life = self.life.lock();
        life.verdict.panicked |= counts;
        if counts || life.panics.len() < REMEMBERED {
            life.panics.push(PanicReport { name: name.to_owned(), message });
        }
        drop(life);
        self.publish_status();
    }

    pub(crate) fn returned(&self, code: ExitCode) {
        self.life.lock().verdict.code = Some(code);
    }

    /// The last exit of a stop leaves with what is known now: taken before the end, it leaves something behind.
    pub(crate) fn publish_status(&self) {
        let life = self.life.lock();
        let verdict = Verdict { forced: true, ..life.verdict };
        if let (Some(_), false, Some(inbox)) = (&life.stop, life.is_reported, self.inbox.get()) {
            inbox.status(verdict.status());
        }
    }

    /// What happened, as it stands now.
    pub(crate) fn report(&self) -> Report {
        let (finalizers, stragglers, drained) =
            (self.finalizers.reports(), self.tracker.stragglers(), self.tracker.drained());
        let now = Instant::now();
        let life = self.life.lock();
        let ended = |end| finalizers.iter().any(|hook| hook.end == end);
        let verdict = Verdict {
            panicked: life.verdict.panicked || ended(FinalizerEnd::Panicked),
            failed: life.verdict.failed || ended(FinalizerEnd::Failed),
            forced: life.verdict.forced
                || self.tracker.is_forced()
                || ended(FinalizerEnd::LeftBehind),
            ..life.verdict
        };
        let ends = life.phases.iter().skip(1).map(|&(_, at)| at).chain([now]);
        let phases = life.phases.iter().zip(ends).map(|(&(phase, from), to)| PhaseReport {
            phase,
            duration: to.saturating_duration_since(from),
        });
        let report = Report {
            cause: life.stop.as_ref().map_or(Cause::MainReturned, |stop| stop.cause.clone()),
            signals: life.signals.iter().map(|&(_, signal)| signal).collect(),
            phases: phases.collect(),
            drained,
            stragglers,
            panics: life.panics.clone(),
            errors: life.errors.clone(),
            finalizers,
            exit_status: verdict.status(),
        };
        drop(life);
        report.shown()
    }

    /// The errors that make the exit status 1, each as its `Debug` has it.
    pub(crate) fn failures(&self) -> Vec<String> {
        let errors = self.life.lock().errors.clone();
        let errors = errors.into_iter().filter(|error| error.counts).map(|error| error.error);
        let hooks = self.finalizers.reports().into_iter();
        let hooks = hooks.filter(|hook| hook.end == FinalizerEnd::Failed);
        errors.chain(hooks.filter_map(|hook| hook.error)).collect()
    }

    /// Init was cut by the deadline of a request: that counts as forced, also where nothing else was left behind.
    pub(crate) fn forced(&self) {
        self.life.lock().verdict.forced = true;
    }

    /// Registers what runs last; refused once that has begun.
    pub(crate) fn at_exit(&self, hook: AtExit) -> Result<(), AtExit> {
        let mut at_exit = self.at_exit.lock();
        if at_exit.taken {
            return Err(hook);
        }
        at_exit.hooks.push(hook);
        Ok(())
    }

    /// Hands out what runs last, to the first who asks.
    pub(crate) fn take_at_exit(&self) -> Option<Vec<AtExit>> {
        let mut at_exit = self.at_exit.lock();
        (!std::mem::replace(&mut at_exit.taken, true)).then(|| std::mem::take(&mut at_exit.hooks))
    }

    /// The last word on the status: the report is out.
    pub(crate) fn leaves_with(&self, status: u8) {
        let mut life = self.life.lock();
        life.is_reported = true;
        if let Some(inbox) = self.inbox.get() {
            inbox.status(status);
        }
    }
}

impl Listener for Program {
    fn task_ended(&self, label: &Label, is_essential: bool, error: Option<String>) {
        let name = label.name();
        if let Some(error) = &error {
            self.failed(&name, error.clone(), is_essential);
        }
        if is_essential {
            self.on(Event::EssentialEnded, || Cause::EssentialEnded(name.clone()));
        }
        if let Some(error) = error {
            let (location, error) = (label.location, sanitize::message(error));
            self.log_thread.event(Level::ERROR, move || {
                tracing::error!(target: "graceful", task = %name, %location, %error, "task failed");
            });
        }
    }

    fn task_panicked(&self, label: &Label, is_essential: bool, message: String) {
        let name = label.name();
        self.panicked(&name, message.clone(), is_essential);
        if is_essential {
            self.on(Event::EssentialEnded, || Cause::EssentialEnded(name.clone()));
        }
        let (location, message) = (label.location, sanitize::message(message));
        self.log_thread.event(Level::ERROR, move || {
            tracing::error!(target: "graceful", task = %name, %location, %message, "task panicked");
        });
    }
}

/// How many signals, panics and errors the report lists: a program that runs for years must not grow. What decides the status is always there.
const REMEMBERED: usize = 1000;

fn entered(actions: &[Action]) -> impl Iterator<Item = Phase> + '_ {
    actions.iter().filter_map(|action| match action {
        Action::Enter(phase) => Some(*phase),
        _ => None,
    })
}
