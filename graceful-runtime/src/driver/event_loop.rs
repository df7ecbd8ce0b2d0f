//! The one loop that owns clock, signals and tasks: it brings events to the lifecycle and performs what follows.
//!
//! It runs on a small runtime and thread of its own, so that no blocked worker holds it up; under a paused clock it is a task of
//! the program's runtime instead, so that its deadlines follow that clock.

use std::{
    future::{pending, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
    thread,
};

use tokio::{
    net::UnixStream,
    task,
    time::{Instant, sleep_until},
};

use crate::{
    driver::{
        abort_phase::AbortPhase, exit_report, finalizer_runtime::FinalizerRuntime, finalizers,
        progress,
    },
    model::finalizer_turns::{Look, Next},
    model::{
        lifecycle::{Action, Event, Phase},
        report::Cause,
        settings::{ClockMode, GRACE, TICK},
        signal::{Role, Signal},
    },
    os::{
        mutex::Mutex,
        supervisor::{LENGTH, SignalReceiver},
        sys,
    },
    program::{log, state::Program},
    sync::coarse_clock::{self, MANY},
};

/// Starts the driver on a thread of its own.
///
/// # Errors
///
/// The system has no thread or no descriptor left; the arrivals come back.
pub(crate) fn start(
    program: &Arc<Program>,
    finalizers: &Arc<FinalizerRuntime>,
    arrivals: SignalReceiver,
) -> Result<(), (SignalReceiver, io::Error)> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Err((arrivals, error)),
    };
    // Where the system has no thread the closure is dropped, and what it was given must not go with it.
    let given = Arc::new(Mutex::new(Some((runtime, arrivals))));
    let taken = Arc::clone(&given);
    let (program, finalizers) = (Arc::clone(program), Arc::clone(finalizers));
    let drive = move || {
        if let Some((runtime, arrivals)) = { taken.lock().take() } {
            runtime.block_on(drive(Arc::clone(&program), finalizers, Some(arrivals)));
            exit_report::run_late(&program);
        }
    };
    let spawned = thread::Builder::new().name("graceful-driver".to_owned()).spawn(drive);
    let left = spawned.err().and_then(|error| Some((given.lock().take()?, error)));
    left.map_or(Ok(()), |((runtime, arrivals), error)| {
        // This may be a task, in which a runtime must not be dropped.
        runtime.shutdown_background();
        Err((arrivals, error))
    })
}

/// Drives the program on its own runtime, because the system has nothing left for more, to its end: it is stopped at once.
pub(crate) async fn make_do(
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    arrivals: SignalReceiver,
    error: io::Error,
) {
    program.failed("graceful", format!("cannot start its threads: {error}"), true);
    let cause = || Cause::Requested("the system has no thread or descriptor left".to_owned());
    program.on(Event::Request { lame_duck: false }, cause);
    drive(Arc::clone(&program), finalizers, Some(arrivals)).await;
    task::block_in_place(|| exit_report::run_late(&program));
}

/// Drives the program from its begin to its end: until this thread has to say the last words, unless the clock is paused.
pub(crate) async fn drive(
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    arrivals: Option<SignalReceiver>,
) {
    let signals = arrivals.and_then(|SignalReceiver { socket, roles }| {
        Some((UnixStream::from_std(socket).ok()?, roles))
    });
    let mut driver = Driver {
        program,
        finalizers,
        signals,
        init_from: Instant::now(),
        abort_phase: None,
        tick: None,
        clock: None,
        next_look: None,
    };
    while driver.perform() {
        driver.prepare();
        driver.tick();
        driver.wait().await;
    }
    if driver.program.mode == ClockMode::Real {
        driver.leave().await;
    }
}

struct Driver {
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    signals: Option<(UnixStream, Vec<(Signal, Role)>)>,
    init_from: Instant,
    abort_phase: Option<AbortPhase>,
    /// When the next line of progress is due.
    tick: Option<Instant>,
    /// When the clock of the guards is to tick next, and how many there had been at the last tick.
    clock: Option<(Instant, usize)>,
    /// When the finalizers are to be looked at again.
    next_look: Option<Instant>,
}

/// What the loop woke up for.
enum Woken {
    Signals(Vec<u8>),
    /// A change, or a time that has come: what follows is looked up.
    Other,
}

impl Driver {
    /// Performs what follows from the state of things, until nothing more does. Returns whether life goes on.
    fn perform(&mut self) -> bool {
        loop {
            while let Some(action) = self.program.next_action() {
                match action {
                    Action::DropInit(by) => self.cut_init(by),
                    Action::Enter(phase) => self.entered(phase),
                    Action::Grace => {}
                    Action::Abort => self.abort(),
                    Action::Exit => return false,
                }
            }
            let Some(event) = self.due() else { return true };
            self.program.on(event, || Cause::InitFailed);
        }
    }

    /// Opens the lane of the finalizers before anybody waits for it.
    fn prepare(&self) {
        let program = &self.program;
        let is_early = program.phase() < Phase::Finalizing;
        if program.mode == ClockMode::Real && is_early && program.finalizers.are_there() {
            // Without it now, it is tried again when a hook runs.
            drop(self.finalizers.open(program));
        }
    }

    /// The event whose time or condition has come.
    fn due(&mut self) -> Option<Event> {
        let now = Instant::now();
        let program = &self.program;
        let stop = program.stop();
        match program.phase() {
            Phase::Init => match (&stop, program.settings.init_timeout) {
                (Some(stop), _) if stop.budget.force <= now => Some(Event::DrainDeadline),
                (_, Some(limit)) if self.init_from + limit <= now => Some(Event::InitDeadline),
                _ => None,
            },
            Phase::Running => None,
            Phase::LameDuck => (program.entered_at() + program.settings.lame_duck <= now)
                .then_some(Event::LameDuckOver),
            Phase::Draining if program.tracker.close_if_drained() => Some(Event::Drained),
            Phase::Draining => match &mut self.abort_phase {
                Some(cut) => cut.is_over(program, now).then(|| {
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

    fn cut_init(&self, by: Event) {
        let program = &self.program;
        if by == Event::InitDeadline {
            let limit = program.settings.init_timeout.unwrap_or_default();
            program.failed(
                "init",
                format!("init did not end within its init_timeout of {limit:?}"),
                true,
            );
        } else {
            program.forced();
        }
        program.cut_init.cancel();
    }

    fn entered(&mut self, phase: Phase) {
        self.begin_to_tick();
        if matches!(phase, Phase::LameDuck | Phase::Draining) && self.program.tracker.count() > 0 {
            progress::status_line(&self.program);
        }
    }

    fn abort(&mut self) {
        // Before anything of it is gone.
        progress::forced(&self.program);
        self.program.tracker.force(self.program.tracker.root());
        self.abort_phase = Some(AbortPhase::begin(&self.program));
    }

    /// Sees to it that the finalizers end in time, and that one that blocks its thread does not hold the others up.
    fn watch_finalizers(&mut self, now: Instant) -> Option<Event> {
        let program = &self.program;
        let look = Look {
            now,
            began: program.entered_at(),
            end: program.stop()?.budget.report,
            is_main_stuck: program.tracker.main_runs(),
            can_take_over: program.mode == ClockMode::Real,
        };
        self.next_look = None;
        match program.finalizers.watch(&look) {
            Next::WaitUntil(at) | Next::CutAndWaitUntil(at) => self.next_look = Some(at),
            Next::TakeOver => {
                finalizers::take_over(program, &self.finalizers);
                self.next_look = Some(now);
            }
            Next::GiveUp => {
                program.finalizers.close();
                return Some(Event::Finalized);
            }
            Next::Rest => {}
        }
        None
    }

    /// Tells of the progress when that is due.
    fn tick(&mut self) {
        if let Some(tick) = self.tick.filter(|&tick| tick <= Instant::now()) {
            self.tick = Some(tick + TICK);
            progress::tick(&self.program);
        }
    }

    async fn wait(&mut self) {
        if let Woken::Signals(bytes) = self.woken(self.next_time()).await {
            self.signals(&bytes);
        }
        self.tick_for_guards();
    }

    /// Lets the clock of the guards tick as long as there are many of them.
    fn tick_for_guards(&mut self) {
        if !self.program.tracker.is_clock_wound() {
            return;
        }
        let now = Instant::now();
        if self.clock.is_some_and(|(at, _)| at > now) {
            return;
        }
        let tasks = &self.program.tracker;
        let entered = tasks.tick();
        let are_many = self.clock.is_none_or(|(_, before)| entered.wrapping_sub(before) >= MANY);
        self.clock = are_many.then(|| (now + coarse_clock::TICK, entered));
        if !are_many {
            tasks.stop_clock();
        }
    }

    /// The one place where the loop waits.
    async fn woken(&self, time: Option<Instant>) -> Woken {
        let program = Arc::clone(&self.program);
        let mut changed = pin!(program.changed.notified());
        let mut sleep = pin!(async move {
            match time {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        });
        poll_fn(|cx| {
            if let Some((socket, _)) = &self.signals {
                let mut bytes = vec![0; 64 * LENGTH];
                while socket.poll_read_ready(cx).is_ready() {
                    if let Ok(read) = socket.try_read(&mut bytes) {
                        bytes.truncate(read);
                        return Poll::Ready(Woken::Signals(bytes));
                    }
                }
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Other);
            }
            sleep.as_mut().poll(cx).map(|()| Woken::Other)
        })
        .await
    }

    fn signals(&mut self, bytes: &[u8]) {
        let Some((_, roles)) = &self.signals else { return };
        let roles = roles.clone();
        for (arrival, role) in
            bytes.chunks_exact(LENGTH).filter_map(|record| SignalReceiver::decode(&roles, record))
        {
            let (now, age) = (Instant::now(), sys::now().saturating_sub(arrival.at));
            let at = now.checked_sub(age).unwrap_or(now);
            self.program.start_log_thread();
            log::signal(
                &self.program.log_thread,
                arrival.signal,
                arrival.sender,
                self.program.phase(),
            );
            self.program.on_signal(arrival.signal, arrival.sender, role, at);
            self.begin_to_tick();
        }
    }

    /// Once a stop is under way, it is told each second what is waited for.
    fn begin_to_tick(&mut self) {
        if self.program.stop().is_some() {
            self.tick.get_or_insert_with(|| Instant::now() + TICK);
        }
    }

    /// The next instant at which [`Self::due`] or the progress may have something to say.
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
                Some(cut) => cut.next_times(),
                None => [force, program.is_in_grace().then(|| program.entered_at() + GRACE), None],
            },
            Phase::Finalizing => [self.next_look, None, None],
        };
        let clock = self.clock.map(|(at, _)| at);
        times.into_iter().chain([self.tick, clock]).flatten().min()
    }

    /// Waits until the last words are due from this thread, because the main thread does not come back in time to say them; as a rule
    /// the process is gone before that.
    async fn leave(mut self) {
        let program = Arc::clone(&self.program);
        if program.finalizers.is_main_stuck() {
            return;
        }
        let report = program.stop().map_or_else(Instant::now, |stop| stop.budget.report);
        let mut line = None;
        loop {
            let (now, wait) = (Instant::now(), program.waits());
            let end = wait.map_or(report, |wait| wait.ends_at(program.ended_by_itself()));
            if end <= now {
                return;
            }
            let next = wait.map_or(now + TICK, |wait| *line.get_or_insert(wait.since + TICK));
            if let Woken::Signals(bytes) = self.woken(Some(end.min(next))).await {
                self.signals(&bytes);
            }
            if line.is_some_and(|line| line <= Instant::now()) && program.waits().is_some() {
                line = Some(Instant::now() + TICK);
                progress::tick(&program);
            }
        }
    }
}
