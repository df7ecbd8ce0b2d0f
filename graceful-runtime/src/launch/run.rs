//! `Builder::run`: latches the signals, then reads the settings, builds the runtime, runs the program, and writes the exit report.

use std::{
    io::{self, Write},
    mem,
    panic::Location,
    process::ExitCode,
    sync::{Arc, OnceLock},
    thread,
};

use tokio::{
    runtime::{Handle, Runtime},
    task::AbortHandle,
};

#[cfg(feature = "testing")]
use crate::launch::runtime_settings::Flavor;
use crate::{
    driver::{
        event_loop, exit_report, finalizer_runtime::FinalizerRuntime, outside,
        start::drive_in_place,
    },
    handle::shutdown::Shutdown,
    launch::{
        main_thread::{self, Payload},
        plan::Plan,
        runtime_end,
        runtime_settings::RuntimeSettings,
        thread_starter::{NotStarted, ThreadStarter},
    },
    model::{
        outcome::Outcome,
        settings::{ClockMode, Settings},
    },
    os::supervisor::{PendingSupervisor, SignalReceiver},
    program::{current::Registration, state::Program},
};

/// Runs a program with real signals and threads, and returns its exit status.
pub(crate) fn run<S: 'static, M, O>(
    settings: Settings,
    runtime: RuntimeSettings,
    plan: Plan<S>,
    main: M,
    at: &'static Location<'static>,
) -> ExitCode
where
    M: AsyncFnOnce(&S, Shutdown) -> O,
    O: Outcome,
{
    let launch = match Launch::prepare(settings, runtime, plan.reload.is_some()) {
        Ok(launch) => launch,
        Err(refusal) => return refusal.print(),
    };
    let panic = launch.run_program(plan, main, at);
    // The panic was reported. Its payload is leaked on purpose, because its drop is user code.
    mem::forget(panic);
    ExitCode::from(launch.leave())
}

/// Runs a program under a paused clock, without signals and without environment variables.
#[cfg(feature = "testing")]
pub(crate) fn test<S: 'static, M, O>(
    settings: Settings,
    plan: Plan<S>,
    main: M,
    at: &'static Location<'static>,
) -> ExitCode
where
    M: AsyncFnOnce(&S, Shutdown) -> O,
    O: Outcome,
{
    let settings = Settings { env: None, progress: false, ..settings };
    let launch = match Launch::for_a_test(settings) {
        Ok(launch) => launch,
        Err(refusal) => return refusal.print(),
    };
    let panic = launch.run_program(plan, main, at);
    let program = Arc::clone(&launch.program);
    let status = launch.leave();
    if status != 0 {
        // The test harness captures this and shows it if the test fails.
        eprintln!("graceful: {}", program.report());
    }
    if let Some(payload) = panic {
        std::panic::resume_unwind(payload);
    }
    ExitCode::from(status)
}

/// Why a program could not start.
enum Refusal {
    /// The settings or an environment variable are wrong.
    Settings(String),
    /// The system lacks a resource.
    System(io::Error),
    /// `run` was called where it cannot run a program.
    Misuse(&'static str),
}

impl Refusal {
    fn print(self) -> ExitCode {
        let (message, status) = match self {
            Self::Settings(message) => (message, 2),
            Self::System(error) => (error.to_string(), 1),
            Self::Misuse(message) => (message.to_owned(), 1),
        };
        // If standard error is closed, only the status is left to report the refusal.
        drop(writeln!(io::stderr(), "graceful: {message}"));
        ExitCode::from(status)
    }
}

/// Refuses a caller on a runtime, and a second program in this process.
fn check_caller() -> Result<(), Refusal> {
    static HAS_RUN: OnceLock<()> = OnceLock::new();
    if Handle::try_current().is_ok() {
        return Err(Refusal::Misuse(
            "`Builder::run` was called on a runtime; call it first thing in `fn main`",
        ));
    }
    HAS_RUN.set(()).map_err(|()| {
        Refusal::Misuse(
            "`Builder::run` was called twice; a process runs one program, because signals and the last exit belong to the process",
        )
    })
}

/// A program and everything that it runs on.
struct Launch {
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    runtime: Runtime,
    registration: Registration,
    starter: ThreadStarter,
    /// The task that calls `starter`, if a task does.
    starting: Option<AbortHandle>,
}

/// Preparing.
impl Launch {
    fn prepare(
        settings: Settings,
        runtime: RuntimeSettings,
        has_reload: bool,
    ) -> Result<Self, Refusal> {
        check_caller()?;
        let roles = settings.signals.roles(has_reload).map_err(Refusal::Settings)?;
        // From here on signals are latched. Everything that takes time comes later.
        let supervisor = PendingSupervisor::new(roles).map_err(Refusal::System)?;
        let settings =
            settings.with_environment().and_then(Settings::check).map_err(Refusal::Settings)?;
        let mode = if runtime.start_paused { ClockMode::Paused } else { ClockMode::Real };
        let program = Program::new(settings, mode);
        program.supervised_by(supervisor.inbox());
        let launch = match mode {
            ClockMode::Paused => Self::with_paused_clock(program, runtime, supervisor),
            ClockMode::Real => Self::with_threads(program, runtime, supervisor),
        };
        launch.map_err(Refusal::System)
    }

    fn with_paused_clock(
        program: Arc<Program>,
        runtime: RuntimeSettings,
        supervisor: PendingSupervisor,
    ) -> io::Result<Self> {
        let (receiver, started) = supervisor.start(None);
        started?;
        let launch = Self::new(program, Arc::default(), runtime, ThreadStarter::default())?;
        launch.runtime.spawn(launch.drive(Some(receiver)));
        Ok(launch)
    }

    fn with_threads(
        program: Arc<Program>,
        runtime: RuntimeSettings,
        supervisor: PendingSupervisor,
    ) -> io::Result<Self> {
        let finalizers = Arc::<FinalizerRuntime>::default();
        let starter = ThreadStarter::new(supervisor, &program, &finalizers);
        if !runtime.has_workers_of_its_own() {
            starter.start().map_err(|not_started| not_started.error)?;
            return Self::new(program, finalizers, runtime, starter);
        }
        let launch = Self::new(program, finalizers, runtime, starter)?;
        // A worker starts the threads while `main` begins, so `main` need not wait for them. No user code holds that worker up,
        // because this is the runtime's first task.
        let starter = launch.starter.clone();
        let task = launch.runtime.spawn(async move {
            if let Err(NotStarted { program, finalizers, receiver, error }) = starter.start() {
                drive_in_place(program, finalizers, receiver, error).await;
            }
        });
        Ok(Self { starting: Some(task.abort_handle()), ..launch })
    }

    #[cfg(feature = "testing")]
    fn for_a_test(settings: Settings) -> Result<Self, Refusal> {
        settings.signals.roles(true).map_err(Refusal::Settings)?;
        let program = Program::new(settings.check().map_err(Refusal::Settings)?, ClockMode::Paused);
        let runtime = RuntimeSettings {
            flavor: Flavor::CurrentThread,
            start_paused: true,
            ..RuntimeSettings::default()
        };
        let launch = Self::new(program, Arc::default(), runtime, ThreadStarter::default());
        let launch = launch.map_err(Refusal::System)?;
        launch.runtime.spawn(launch.drive(None));
        Ok(launch)
    }

    fn new(
        program: Arc<Program>,
        finalizers: Arc<FinalizerRuntime>,
        runtime: RuntimeSettings,
        starter: ThreadStarter,
    ) -> io::Result<Self> {
        let runtime = runtime.build()?;
        let registration = Registration::new(runtime.handle(), &program);
        drop(program.runtime.set(runtime.handle().clone()));
        Ok(Self { program, finalizers, runtime, registration, starter, starting: None })
    }

    /// The driver, as a task of the program's own runtime.
    fn drive(
        &self,
        receiver: Option<SignalReceiver>,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        event_loop::drive(Arc::clone(&self.program), Arc::clone(&self.finalizers), receiver)
    }
}

/// Running.
impl Launch {
    /// Runs the program to the end of its last phase. Returns the payload of a panic of `main`.
    fn run_program<S: 'static, M, O>(
        &self,
        plan: Plan<S>,
        main: M,
        at: &'static Location<'static>,
    ) -> Option<Payload>
    where
        M: AsyncFnOnce(&S, Shutdown) -> O,
        O: Outcome,
    {
        let _context = self.runtime.enter();
        let program = main_thread::run_program(&self.program, &self.finalizers, plan, main, at);
        outside::drive(program, |inside| self.runtime.block_on(inside))
    }

    /// Ends the runtimes, writes the exit report, and returns the exit status.
    fn leave(self) -> u8 {
        let Self { program, finalizers, runtime, registration, starter, starting } = self;
        // `main` may have ended before a worker got to start the threads. The rest of the stop needs them to end in time.
        drop(starter.start());
        if let Some(task) = starting {
            task.abort();
        }
        let is_left_running = runtime_end::end(&program, &finalizers, runtime);
        let status = exit_report::run(&program, is_left_running);
        drop(registration);
        status.unwrap_or_else(|| {
            // This thread was late, so the driver's thread writes the report and then exits the process. Returning from `main`
            // would cut the report off.
            loop {
                thread::park();
            }
        })
    }
}
