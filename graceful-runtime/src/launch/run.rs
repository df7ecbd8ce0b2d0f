//! The way from `Builder::run` to the exit status: signals first, then the settings, the runtime, the life, and the end of it all.

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

use crate::{
    driver::{event_loop, exit_report, finalizer_runtime::FinalizerRuntime, outside, start},
    handle::shutdown::Shutdown,
    launch::{
        main_thread::{self, Payload, Plan},
        runtime_end,
    },
    model::{
        outcome::Outcome,
        settings::{ClockMode, Settings},
    },
    os::{
        mutex::Mutex,
        supervisor::{PendingSupervisor, SignalReceiver},
    },
    program::{current::Registration, state::Program},
};

/// How the runtime schedules its tasks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flavor {
    /// All tasks on the main thread.
    CurrentThread,
    /// On worker threads.
    #[default]
    MultiThread,
}

/// What is set of the runtime.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeSettings {
    pub(crate) flavor: Flavor,
    pub(crate) worker_threads: Option<usize>,
    pub(crate) max_blocking_threads: Option<usize>,
    pub(crate) thread_name: Option<String>,
    pub(crate) start_paused: bool,
    pub(crate) adjust: Option<fn(&mut tokio::runtime::Builder)>,
}

impl RuntimeSettings {
    /// Whether there are workers on which no code of the user's runs before the first task.
    fn has_workers_of_its_own(&self) -> bool {
        self.flavor == Flavor::MultiThread && self.adjust.is_none()
    }

    fn build(self) -> io::Result<Runtime> {
        let Self {
            flavor,
            worker_threads,
            max_blocking_threads,
            thread_name,
            start_paused,
            adjust,
        } = self;
        let mut builder = match flavor {
            Flavor::CurrentThread => tokio::runtime::Builder::new_current_thread(),
            Flavor::MultiThread => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.enable_all();
        if let Some(threads) = worker_threads {
            builder.worker_threads(threads);
        }
        if let Some(threads) = max_blocking_threads {
            builder.max_blocking_threads(threads);
        }
        if let Some(name) = thread_name {
            builder.thread_name(name);
        }
        #[cfg(feature = "testing")]
        builder.start_paused(start_paused);
        #[cfg(not(feature = "testing"))]
        let _ = start_paused;
        if let Some(adjust) = adjust {
            adjust(&mut builder);
        }
        builder.build()
    }
}

/// Lives the life of a program on real signals and threads.
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
    // It was reported; its drop is user code.
    mem::forget(panic);
    ExitCode::from(launch.leave())
}

/// Lives the life of a program under a paused clock, without signals and environment.
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
        // Captured by the test harness, and shown for a test that fails.
        eprintln!("graceful: {}", program.report());
    }
    if let Some(payload) = panic {
        std::panic::resume_unwind(payload);
    }
    ExitCode::from(status)
}

/// All that a life needs around it.
struct Launch {
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    runtime: Runtime,
    registration: Registration,
    starter: ThreadStarter,
    /// The task that starts it, if it is one.
    starting: Option<AbortHandle>,
}

/// The supervisor and the driver, to be started once, by whoever comes first.
#[derive(Clone, Default)]
struct ThreadStarter(Arc<Mutex<Option<Unstarted>>>);

/// What they are started with.
type Unstarted = (PendingSupervisor, Arc<Program>, Arc<FinalizerRuntime>);

impl ThreadStarter {
    fn new(
        latch: PendingSupervisor,
        program: &Arc<Program>,
        finalizers: &Arc<FinalizerRuntime>,
    ) -> Self {
        let unstarted = (latch, Arc::clone(program), Arc::clone(finalizers));
        Self(Arc::new(Mutex::new(Some(unstarted))))
    }

    /// # Errors
    ///
    /// The system has no thread or no descriptor left; the program comes back, to be driven otherwise or not at all.
    fn start(&self) -> Result<(), NotStarted> {
        let Some((latch, program, finalizers)) = self.0.lock().take() else { return Ok(()) };
        let (arrivals, started) = latch.start(Some(program.settings.until_last_exit()));
        let started = match started {
            Ok(()) => start::start(&program, &finalizers, arrivals),
            Err(error) => Err((arrivals, error)),
        };
        started.map_err(|(arrivals, error)| NotStarted { program, finalizers, arrivals, error })
    }
}

/// What could not be started, and why.
struct NotStarted {
    program: Arc<Program>,
    finalizers: Arc<FinalizerRuntime>,
    arrivals: SignalReceiver,
    error: io::Error,
}

/// Why a program could not begin.
enum Refusal {
    /// What was asked for does not fit.
    Settings(String),
    /// What the system does not give.
    System(io::Error),
    /// There can be no life here.
    Misuse(&'static str),
}

/// The life of this process has begun.
static LIFE: OnceLock<()> = OnceLock::new();

impl Refusal {
    fn print(self) -> ExitCode {
        let (message, status) = match self {
            Self::Settings(message) => (message, 2),
            Self::System(error) => (error.to_string(), 1),
            Self::Misuse(message) => (message.to_owned(), 1),
        };
        // Without standard error the status has to say it.
        drop(writeln!(io::stderr(), "graceful: {message}"));
        ExitCode::from(status)
    }
}

impl Launch {
    /// Signals are latched before anything else happens.
    fn prepare(
        settings: Settings,
        runtime: RuntimeSettings,
        has_reload: bool,
    ) -> Result<Self, Refusal> {
        if Handle::try_current().is_ok() {
            return Err(Refusal::Misuse(
                "`Builder::run` was called on a runtime; call it first thing in `fn main`",
            ));
        }
        if LIFE.set(()).is_err() {
            return Err(Refusal::Misuse(
                "`Builder::run` was called twice; a process has one life, because signals and the last exit are its own",
            ));
        }
        let roles = settings.signals.roles(has_reload).map_err(Refusal::Settings)?;
        let latch = PendingSupervisor::new(roles).map_err(Refusal::System)?;
        let settings =
            settings.with_environment().and_then(Settings::check).map_err(Refusal::Settings)?;
        let mode = if runtime.start_paused { ClockMode::Paused } else { ClockMode::Real };
        let program = Program::new(settings, mode);
        program.supervised_by(latch.inbox());
        let finalizers = Arc::<FinalizerRuntime>::default();
        if mode == ClockMode::Paused {
            let (arrivals, started) = latch.start(None);
            started.map_err(Refusal::System)?;
            let launch = Self::new(program, finalizers, runtime, ThreadStarter::default());
            let launch = launch.map_err(Refusal::System)?;
            launch.runtime.spawn(launch.drive(Some(arrivals)));
            return Ok(launch);
        }
        let starter = ThreadStarter::new(latch, &program, &finalizers);
        if !runtime.has_workers_of_its_own() {
            starter.start().map_err(|not| Refusal::System(not.error))?;
            return Self::new(program, finalizers, runtime, starter).map_err(Refusal::System);
        }
        let launch = Self::new(program, finalizers, runtime, starter).map_err(Refusal::System)?;
        // Beside `main`, which begins that much earlier. It is the first task there is, so nothing of the program's is before it.
        let starter = launch.starter.clone();
        let task = launch.runtime.spawn(async move {
            if let Err(NotStarted { program, finalizers, arrivals, error }) = starter.start() {
                start::drive_in_place(program, finalizers, arrivals, error).await;
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
        arrivals: Option<SignalReceiver>,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        event_loop::drive(Arc::clone(&self.program), Arc::clone(&self.finalizers), arrivals)
    }

    /// Lives the life. Returns what `main` panicked with, if it did.
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
        let life = main_thread::run_program(&self.program, &self.finalizers, plan, main, at);
        outside::drive(life, |inside| self.runtime.block_on(inside))
    }

    /// The runtime goes, then the last words are said.
    fn leave(self) -> u8 {
        let Self { program, finalizers, runtime, registration, starter, starting } = self;
        // A life that was shorter than it took a worker to begin: what is left of it must end in time as well.
        drop(starter.start());
        if let Some(task) = starting {
            task.abort();
        }
        let is_left_running = runtime_end::end(&program, &finalizers, runtime);
        let status = exit_report::run(&program, is_left_running);
        drop(registration);
        status.unwrap_or_else(|| {
            // A thread of ours says them because this one was late, and takes the exit itself when it has: returning would cut it.
            loop {
                thread::park();
            }
        })
    }
}
