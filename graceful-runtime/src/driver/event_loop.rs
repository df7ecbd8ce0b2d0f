//! The one loop that owns the clock, the signals and the deadlines: it brings events to the program and performs the actions that
//! follow.
//!
//! The loop runs on a small runtime and thread of its own, so that blocked workers do not hold it up. Under a paused clock it is
//! a task of the program's runtime instead, so that its deadlines follow that clock.
//!
//! Each turn performs all actions that are due, and then waits for the first of three things: signals, a change of the program,
//! or the next deadline.

use std::{future::pending, sync::Arc};

use tokio::time::{Instant, sleep_until};

use crate::{
    driver::{
        abort_phase::AbortPhase,
        finalizer_runtime::FinalizerRuntime,
        finalizers,
        guard_clock::GuardClock,
        progress,
        signals::{Arrived, Signals},
    },
    model::{
        finalizer_turns::Look,
        lifecycle::{Action, Event, Phase},
        report::Cause,
        select::race,
        settings::{ClockMode, GRACE, TICK},
    },
    os::supervisor::SignalReceiver,
    program::{finalizer_queue::Watched, log, state::Program},
};

/// Drives the program from its start to the end of its last phase.
///
/// On a real clock, it then waits for the main thread to write the exit report, and returns only if that thread is late.
pub(crate) async fn drive(
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    receiver: Option<SignalReceiver>,
) {
    let mut driver = Driver {
        program,
        finalizers,
        signals: Signals::new(receiver),
        init_from: Instant::now(),
        abort_phase: None,
        next_progress: None,
        guard_clock: GuardClock::default(),
        next_finalizer_check: None,
    };
    while driver.perform() {
        driver.open_finalizer_runtime();
        driver.log_progress();
        driver.wait().await;
    }
    if driver.program.mode == ClockMode::Real {
        driver.wait_for_main_thread().await;
    }
}

struct Driver {
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    signals: Signals,
    init_from: Instant,
    /// Set by a force.
    abort_phase: Option<AbortPhase>,
    /// When the next progress line is due, once a stop is under way.
    next_progress: Option<Instant>,
    guard_clock: GuardClock,
    /// When [`Driver::watch_finalizers`] has to run again.
    next_finalizer_check: Option<Instant>,
}

/// Why the loop woke up.
enum Wakeup {
    /// Signals arrived: the bytes of their records.
    Signals(Vec<u8>),
    /// The program changed, or a deadline passed. [`Driver::due`] finds out which.
    Other,
}

/// Performing actions, and finding the events that are due.
impl Driver {
    /// Performs actions and brings the events that are due, until neither is left. Returns false once the last phase is over.
    fn perform(&mut self) -> bool {
        loop {
            while let Some(action) = self.program.next_action() {
                match action {
                    Action::DropInit(by) => self.cancel_init(by),
                    Action::Enter(phase) => self.entered(phase),
                    // `due` looks when the grace is over.
                    Action::Grace => {}
                    Action::Abort => self.abort(),
                    Action::Exit => return false,
                }
            }
            let Some(event) = self.due() else { return true };
            // Of the events that are due, only `InitDeadline` can begin a stop.
            self.program.on(event, || Cause::InitFailed);
        }
    }

    /// The event whose deadline has passed or whose condition holds.
    fn due(&mut self) -> Option<Event> {
        let now = Instant::now();
        let program = &self.program;
        let stop = program.stop();
        match program.phase() {
            // A requested stop waits for `init` until the drain deadline, and then counts as forced. If `init_timeout` passes, `init` has failed.
            Phase::Init => match (&stop, program.settings.init_timeout) {
                (Some(stop), _) if stop.budget.force <= now => Some(Event::DrainDeadline),
                (_, Some(limit)) if self.init_from + limit <= now => Some(Event::InitDeadline),
                _ => None,
            },
            Phase::Running => None,
            Phase::LameDuck => (program.entered_at() + program.settings.lame_duck <= now)
                .then_some(Event::LameDuckOver),
            // The check and the close are one step of the tracker, so no work can enter between the drain and finalization.
            Phase::Draining if program.tracker.close_if_drained() => Some(Event::Drained),
            // After a force, work that does not end in time is left behind.
            Phase::Draining => match &mut self.abort_phase {
                Some(abort_phase) => abort_phase.is_over(program, now).then(|| {
                    program.tracker.close();
                    Event::AbortOver
                }),
                None if stop.is_some_and(|stop| stop.budget.force <= now) => {
                    Some(Event::DrainDeadline)
                }
                None => (program.entered_at() + GRACE <= now && program.is_in_grace())
                    .then_some(Event::GraceOver),
            },
            Phase::Finalizing => self.watch_finalizers(now),
        }
    }

    /// The next time at which [`Self::due`] may return an event, a progress line is due, or the guards' clock ticks.
    fn next_time(&self) -> Option<Instant> {
        let program = &self.program;
        let settings = &program.settings;
        let stop = program.stop();
        let force = stop.as_ref().map(|stop| stop.budget.force);
        let times = match program.phase() {
            Phase::Init => [force, settings.init_timeout.map(|limit| self.init_from + limit), None],
            Phase::Running => [None; 3],
            Phase::LameDuck => [Some(program.entered_at() + settings.lame_duck), None, None],
            Phase::Draining => match &self.abort_phase {
                Some(abort_phase) => abort_phase.next_times(),
                None => [force, program.is_in_grace().then(|| program.entered_at() + GRACE), None],
            },
            Phase::Finalizing => [self.next_finalizer_check, None, None],
        };
        let others = [self.next_progress, self.guard_clock.next_tick()];
        times.into_iter().chain(others).flatten().min()
    }

    fn cancel_init(&self, by: Event) {
        let program = &self.program;
        if by == Event::InitDeadline {
            let limit = program.settings.init_timeout.unwrap_or_default();
            let error = format!("init did not end within its init_timeout of {limit:?}");
            program.failed("init", error, true);
        } else {
            program.forced();
        }
        program.cancel_init.cancel();
    }

    fn entered(&mut self, phase: Phase) {
        self.start_progress();
        if matches!(phase, Phase::LameDuck | Phase::Draining) && self.program.tracker.count() > 0 {
            progress::status_line(&self.program);
        }
    }

    fn abort(&mut self) {
        // Logged first, because the log names the work that is in flight.
        progress::forced(&self.program);
        self.program.tracker.force(self.program.tracker.root());
        self.abort_phase = Some(AbortPhase::begin(&self.program));
    }
}

/// Finalizers and progress.
impl Driver {
    /// Opens the finalizers' runtime once a finalizer is registered, before one has to wait for it.
    fn open_finalizer_runtime(&self) {
        let program = &self.program;
        let is_early = program.phase() < Phase::Finalizing;
        if program.mode == ClockMode::Real && is_early && program.finalizers.is_used() {
            // If it fails, it is tried again when a finalizer runs.
            drop(self.finalizers.open(program));
        }
    }

    /// Enforces the finalizers' time limits, and takes over from a runner whose finalizer blocks its thread.
    fn watch_finalizers(&mut self, now: Instant) -> Option<Event> {
        let program = &self.program;
        let look = Look {
            now,
            began: program.entered_at(),
            end: program.stop()?.budget.report,
            is_main_stuck: program.tracker.main_runs(),
            can_take_over: program.mode == ClockMode::Real,
        };
        self.next_finalizer_check = None;
        match program.finalizers.watch(&look) {
            Watched::Until(at) => self.next_finalizer_check = Some(at),
            Watched::TookOver(runner) => {
                finalizers::start_runner(program, &self.finalizers, runner);
                self.next_finalizer_check = Some(now);
            }
            Watched::GaveUp => return Some(Event::Finalized),
            Watched::Over => {}
        }
        None
    }

    /// Once a stop is under way, schedules a progress line each second.
    fn start_progress(&mut self) {
        if self.program.stop().is_some() {
            self.next_progress.get_or_insert_with(|| Instant::now() + TICK);
        }
    }

    /// Logs the progress if that is due.
    fn log_progress(&mut self) {
        if let Some(due) = self.next_progress.filter(|&due| due <= Instant::now()) {
            self.next_progress = Some(due + TICK);
            progress::tick(&self.program);
        }
    }
}

/// Waiting.
impl Driver {
    async fn wait(&mut self) {
        if let Wakeup::Signals(bytes) = self.wakeup(self.next_time()).await {
            self.on_signals(&bytes);
        }
        self.guard_clock.tick(&self.program);
    }

    /// Waits for signals, a change of the program, or `time`. The driver waits nowhere else.
    async fn wakeup(&self, time: Option<Instant>) -> Wakeup {
        let sleep = async {
            match time {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let change_or_time = race(self.program.changed.notified(), sleep);
        match race(self.signals.read(), change_or_time).await {
            Some(bytes) => Wakeup::Signals(bytes),
            None => Wakeup::Other,
        }
    }

    fn on_signals(&mut self, bytes: &[u8]) {
        for Arrived { signal, sender, role, at } in self.signals.decode(bytes) {
            let program = &self.program;
            program.start_log_thread();
            log::signal(&program.log_thread, signal, sender, program.phase());
            program.on_signal(signal, sender, role, at);
        }
        self.start_progress();
    }

    /// After the last phase, waits for the main thread to write the exit report, which usually ends the process during this wait.
    /// Returns when this thread has to write the report, because the main thread is late.
    async fn wait_for_main_thread(mut self) {
        let program = Arc::clone(&self.program);
        if program.finalizers.is_main_stuck() {
            return;
        }
        let report = program.stop().map_or_else(Instant::now, |stop| stop.budget.report);
        let mut next_line = None;
        loop {
            // If the main thread waits for untracked work, this thread writes the report when that wait ends, and a progress line is due each second.
            // Otherwise the exit report is due at the end of the budget. The main thread may begin that wait at any time, which
            // does not wake this loop, so the loop looks again each second.
            let (now, wait) = (Instant::now(), program.untracked_wait());
            let end = wait.map_or(report, |wait| wait.ends_at(program.ended_by_itself()));
            if end <= now {
                return;
            }
            let next = wait.map_or(now + TICK, |wait| *next_line.get_or_insert(wait.since + TICK));
            if let Wakeup::Signals(bytes) = self.wakeup(Some(end.min(next))).await {
                self.on_signals(&bytes);
            }
            let is_line_due = next_line.is_some_and(|line| line <= Instant::now());
            if is_line_due && program.untracked_wait().is_some() {
                next_line = Some(Instant::now() + TICK);
                progress::tick(&program);
            }
        }
    }
}
