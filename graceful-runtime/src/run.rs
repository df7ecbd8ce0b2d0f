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
    driver::{self, Mode},
    epilogue, leaving,
    life::{self, Payload, Plan},
    lock::Mutex,
    outcome::Outcome,
    outside,
    program::Program,
    registry::Registration,
    settings::Settings,
    shutdown::Shutdown,
    supervisor::{Arrivals, Latch},
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
    let stage = match Stage::set(settings, runtime, plan.reload.is_some()) {
        Ok(stage) => stage,
        Err(refusal) => return refusal.print(),
    };
    let panic = stage.live(plan, main, at);
    // It was reported; its drop is user code.
    mem::forget(panic);
    ExitCode::from(stage.leave())
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
    let stage = match Stage::for_a_test(settings) {
        Ok(stage) => stage,
        Err(refusal) => return refusal.print(),
    };
    let panic = stage.live(plan, main, at);
    let program = Arc::clone(&stage.program);
    let status = stage.leave();
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
struct Stage {
    program: Arc<Program>,
    runtime: Runtime,
    registration: Registration,
    watch: Watch,
    /// The task that starts it, if it is one.
    starting: Option<AbortHandle>,
}

/// The supervisor and the driver, to be started once, by whoever comes first.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Option<Unstarted>>>);

/// What they are started with.
type Unstarted = (Latch, Arc<Program>);

impl Watch {
    fn new(latch: Latch, program: Arc<Program>) -> Self {
        Self(Arc::new(Mutex::new(Some((latch, program)))))
    }

    /// # Errors
    ///
    /// The system has no thread or no descriptor left; the program comes back, to be driven otherwise or not at all.
    fn start(&self) -> Result<(), (Arc<Program>, Arrivals, io::Error)> {
        let Some((latch, program)) = self.0.lock().take() else { return Ok(()) };
        let (arrivals, started) = latch.start(Some(program.settings.until_last_exit()));
        if let Err(error) = started {
            return Err((program, arrivals, error));
        }
        driver::start(&program, arrivals).map_err(|(arrivals, error)| (program, arrivals, error))
    }
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

impl Stage {
    /// Signals are latched before anything else happens.
    fn set(
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
        let latch = Latch::new(roles).map_err(Refusal::System)?;
        let settings =
            settings.with_environment().and_then(Settings::check).map_err(Refusal::Settings)?;
        let mode = if runtime.start_paused { Mode::Paused } else { Mode::Real };
        let program = Program::new(settings, mode);
        program.supervised_by(latch.inbox());
        if mode == Mode::Paused {
            let (arrivals, started) = latch.start(None);
            started.map_err(Refusal::System)?;
            let stage = Self::new(program, runtime, Watch::default()).map_err(Refusal::System)?;
            stage.runtime.spawn(driver::drive(Arc::clone(&stage.program), Some(arrivals)));
            return Ok(stage);
        }
        let watch = Watch::new(latch, Arc::clone(&program));
        if !runtime.has_workers_of_its_own() {
            watch.start().map_err(|(.., error)| Refusal::System(error))?;
            return Self::new(program, runtime, watch).map_err(Refusal::System);
        }
        let stage = Self::new(program, runtime, watch).map_err(Refusal::System)?;
        // Beside `main`, which begins that much earlier. It is the first task there is, so nothing of the program's is before it.
        let watch = stage.watch.clone();
        let task = stage.runtime.spawn(async move {
            if let Err((program, arrivals, error)) = watch.start() {
                driver::make_do(program, arrivals, error).await;
            }
        });
        Ok(Self { starting: Some(task.abort_handle()), ..stage })
    }

    #[cfg(feature = "testing")]
    fn for_a_test(settings: Settings) -> Result<Self, Refusal> {
        settings.signals.roles(true).map_err(Refusal::Settings)?;
        let program = Program::new(settings.check().map_err(Refusal::Settings)?, Mode::Paused);
        let runtime = RuntimeSettings {
            flavor: Flavor::CurrentThread,
            start_paused: true,
            ..RuntimeSettings::default()
        };
        let stage = Self::new(program, runtime, Watch::default()).map_err(Refusal::System)?;
        stage.runtime.spawn(driver::drive(Arc::clone(&stage.program), None));
        Ok(stage)
    }

    fn new(program: Arc<Program>, runtime: RuntimeSettings, watch: Watch) -> io::Result<Self> {
        let runtime = runtime.build()?;
        let registration = Registration::new(runtime.handle(), &program);
        drop(program.runtime.set(runtime.handle().clone()));
        Ok(Self { program, runtime, registration, watch, starting: None })
    }

    /// Lives the life. Returns what `main` panicked with, if it did.
    fn live<S: 'static, M, O>(
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
        let life = life::live(&self.program, plan, main, at);
        outside::drive(life, |inside| self.runtime.block_on(inside))
    }

    /// The runtime goes, then the last words are said.
    fn leave(self) -> u8 {
        let Self { program, runtime, registration, watch, starting } = self;
        // A life that was shorter than it took a worker to begin: what is left of it must end in time as well.
        drop(watch.start());
        if let Some(task) = starting {
            task.abort();
        }
        let is_left_running = leaving::end(&program, runtime);
        let status = epilogue::run(&program, is_left_running);
        drop(registration);
        status.unwrap_or_else(|| {
            // A thread of ours says them because this one was late, and takes the exit itself when it has: returning would cut it.
            loop {
                thread::park();
            }
        })
    }
}
