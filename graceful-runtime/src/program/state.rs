//! The state of one program: its lifecycle and clock, its tracked work, its finalizers and its history.
//!
//! `transitions` changes this state, and `recording` adds errors and panics to it.
//!
//! # Locks
//!
//! A thread holds one lock at a time and runs no user code under it. The exception is `life`, which `transition` holds while the
//! tracker begins its drain tally, so that work which ended before the stop is told apart from work which ends after it. The
//! locks of the tracker are described in `tracking::tracker`.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        lifecycle::{Action, Lifecycle, Phase},
        report::Cause,
        settings::{Budget, ClockMode, Readiness, Settings},
    },
    os::{mutex::Mutex, socket_files::SocketFiles, supervisor::SupervisorHandle},
    program::{
        at_exit::AtExit, finalizer_queue::FinalizerQueue, history::History, log_thread::LogThread,
        untracked_wait::UntrackedWait,
    },
    tracking::tracker::Tracker,
};

/// One program, shared by its handles, its driver and its main thread.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) settings: Settings,
    pub(crate) mode: ClockMode,
    pub(super) life: Mutex<Life>,
    /// The current phase, for the tasks that wait for it.
    pub(super) phases: watch::Sender<Phase>,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) finalizers: Arc<FinalizerQueue>,
    pub(crate) log_thread: LogThread,
    /// Cancelled to drop `init` unfinished.
    pub(crate) cancel_init: CancellationToken,
    /// Notified by each reload signal.
    pub(crate) reload: Notify,
    /// Cancelled when a stop begins.
    pub(super) begun: CancellationToken,
    /// Cancelled when the last phase is over.
    pub(crate) over: CancellationToken,
    /// Wakes the driver.
    pub(crate) changed: Arc<Notify>,
    pub(crate) runtime: OnceLock<Handle>,
    pub(super) supervisor: OnceLock<SupervisorHandle>,
    pub(crate) socket_files: SocketFiles,
    pub(crate) at_exit: AtExit,
    untracked_wait: Mutex<Option<UntrackedWait>>,
}

/// The part of the state that one critical section changes as a whole.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) machine: Lifecycle,
    /// The actions that the driver has yet to perform.
    pub(super) actions: VecDeque<Action>,
    pub(super) stop: Option<Stop>,
    pub(super) history: History,
    ready: bool,
}

/// A stop that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    /// When the stop was requested. A signal's time is its arrival, even if every thread was busy then.
    pub(crate) at: Instant,
    pub(crate) budget: Budget,
}

impl Program {
    pub(crate) fn new(settings: Settings, mode: ClockMode) -> Arc<Self> {
        let life = Life {
            machine: Lifecycle::new(),
            actions: VecDeque::new(),
            stop: None,
            history: History::new(Instant::now()),
            ready: settings.readiness == Readiness::Auto,
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
            cancel_init: CancellationToken::new(),
            reload: Notify::new(),
            begun: CancellationToken::new(),
            over: CancellationToken::new(),
            changed,
            runtime: OnceLock::new(),
            supervisor: OnceLock::new(),
            socket_files: SocketFiles::default(),
            at_exit: AtExit::default(),
            untracked_wait: Mutex::default(),
        })
    }

    pub(crate) fn supervised_by(&self, supervisor: SupervisorHandle) {
        drop(self.supervisor.set(supervisor));
    }

    /// From now on the log thread writes events, so that a subscriber or a pipe that blocks holds up no other thread.
    ///
    /// Under a paused clock each thread goes on writing its own events.
    pub(crate) fn start_log_thread(&self) {
        if self.mode == ClockMode::Real {
            self.log_thread.start();
        }
    }

    /// Takes the next action that the driver has to perform.
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

    /// Whether `main` returned, failed or panicked before a stop was requested, and no stop signal has arrived since.
    pub(crate) fn ended_by_itself(&self) -> bool {
        let life = self.life.lock();
        let cause = life.stop.as_ref().map(|stop| &stop.cause);
        cause == Some(&Cause::MainReturned) && life.history.verdict.signal.is_none()
    }

    /// Records that the main thread waits for untracked work, or with `None` that this wait is over.
    pub(crate) fn set_untracked_wait(&self, wait: Option<UntrackedWait>) {
        *self.untracked_wait.lock() = wait;
    }

    /// The wait for untracked work, if the main thread is in it or gave it up.
    pub(crate) fn untracked_wait(&self) -> Option<UntrackedWait> {
        *self.untracked_wait.lock()
    }

    /// When the program entered its current phase.
    pub(crate) fn entered_at(&self) -> Instant {
        self.life.lock().history.entered_at()
    }

    /// The time left of the phase's share of the budget.
    pub(crate) fn remaining(&self, phase: Phase) -> Duration {
        let Some(stop) = self.stop() else { return Duration::ZERO };
        let end = match phase {
            Phase::LameDuck => self.entered_at() + self.settings.lame_duck,
            Phase::Finalizing => stop.budget.report,
            _ => stop.budget.force,
        };
        end.saturating_duration_since(Instant::now())
    }

    /// Whether a force still gives running work a moment to end by itself.
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
}
