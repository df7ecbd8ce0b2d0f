//! What the attribute expands to, and what can be written by hand.

use std::{fmt, marker::PhantomData, panic::Location, process::ExitCode, time::Duration};

use crate::{
    handle::shutdown::Shutdown,
    launch::{
        init::{Init, Kept, Local, Reload},
        plan::{Erased, ErasedReload, Finalize, Plan},
        run,
        runtime_settings::{Flavor, RuntimeSettings},
    },
    model::{
        outcome::Outcome,
        settings::{Readiness, Restart, Settings},
        signal::Signals,
    },
    program::finalizer_queue,
};

/// A program without an `init`.
#[derive(Default)]
pub struct Stateless {
    finalize: Option<Finalize<()>>,
    reload: Option<Box<dyn ErasedReload<()>>>,
}

/// A program whose `init` gives the state `S`.
pub struct With<S>(Plan<S>);

impl fmt::Debug for Stateless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stateless")
    }
}

impl<S> fmt::Debug for With<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("With")
    }
}

/// A program's life, from the first statement of `main` to the exit status: what `#[graceful::main]` expands to.
///
/// ```no_run
/// use std::{process::ExitCode, time::Duration};
///
/// use graceful::{Builder, Shutdown, Signal};
///
/// struct App;
///
/// async fn init(shutdown: Shutdown) -> std::io::Result<App> {
///     Ok(App)
/// }
///
/// async fn finalize(app: App) {}
///
/// fn main() -> ExitCode {
///     Builder::new()
///         .timeout(Duration::from_secs(30))
///         .signals([Signal::TERM, Signal::INT, Signal::HUP])
///         .init(init)
///         .finalize(finalize)
///         .run(async |app: &App, shutdown| shutdown.requested().await)
/// }
/// ```
///
/// Nothing happens before [`run`](Self::run); call it as the first thing in `main`, because signals are latched from there on.
pub struct Builder<Stage = Stateless> {
    settings: Settings,
    runtime: RuntimeSettings,
    stage: Stage,
}

impl Builder {
    /// The defaults: 30 s, `TERM` and `INT` stop.
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: Settings::default(),
            runtime: RuntimeSettings::default(),
            stage: Stateless::default(),
        }
    }

    /// What runs before `main`, shielded from signals, and gives the state: `async fn()` or `async fn(Shutdown)`, returning `S` or
    /// `Result<S, E>`.
    #[must_use]
    pub fn init<S: 'static, I: Init<S, Form> + 'static, Form>(self, init: I) -> Builder<With<S>> {
        let Self { settings, runtime, stage: _ } = self;
        let plan =
            Plan { init: Box::new(|shutdown| init.begin(shutdown)), reload: None, finalize: None };
        Builder { settings, runtime, stage: With(plan) }
    }

    /// Like [`init`](Self::init), where nothing takes the state: it returns `()` or `Result<_, E>`. What it gives is kept until
    /// the finalizers have run.
    #[must_use]
    pub fn init_unit<S, I, Form>(self, init: I) -> Builder<With<Kept<S>>>
    where
        S: 'static,
        I: Init<Kept<S>, Form> + 'static,
    {
        self.init(init)
    }

    /// What runs after what `main` registered: `async fn()`, returning `()` or `Result<(), E>`.
    #[must_use]
    pub fn finalize<O: Outcome>(mut self, finalize: impl AsyncFnOnce() -> O + 'static) -> Self {
        self.stage.finalize = Some(Box::new(|()| {
            Box::pin(
                async move { finalizer_queue::with_text(finalize().await.into_result().map(drop)) },
            )
        }));
        self
    }

    /// What runs for each reload signal: `async fn()`, returning `()` or `Result<(), E>`. One at a time, coalesced.
    #[must_use]
    pub fn reload<R: Reload<(), Form> + 'static, Form: 'static>(mut self, reload: R) -> Self {
        self.stage.reload = Some(Box::new(Erased(reload, PhantomData)));
        self
    }

    /// Lives the life of the program, and returns what `fn main` has to return.
    ///
    /// Events are logged through `tracing` from several threads, so a subscriber has to be the global one to see them.
    ///
    /// A process has one life: a second call, or one on a runtime, prints what is wrong and gives the exit status 1.
    ///
    /// Where `main` returned by itself, what nothing tracks on the runtime's blocking pool is waited for until a stop signal comes; where
    /// somebody asked for the stop, for 100 ms. What is left running then is logged and does not change the exit status.
    ///
    /// The process is gone before `timeout` has passed since the stop was requested, also if whatever follows this call takes longer.
    #[track_caller]
    pub fn run<O: Outcome>(self, main: impl AsyncFnOnce(Shutdown) -> O) -> ExitCode {
        let (settings, runtime, plan) = self.into_parts();
        run::run(
            settings,
            runtime,
            plan,
            async move |(): &(), shutdown| main(shutdown).await,
            Location::caller(),
        )
    }

    /// The same as a test: on a paused clock, with no real signals, and without the environment.
    ///
    /// # Panics
    ///
    /// If `main` does.
    #[cfg(feature = "testing")]
    #[track_caller]
    pub fn test<O: Outcome>(self, main: impl AsyncFnOnce(Shutdown) -> O) -> ExitCode {
        let (settings, _, plan) = self.into_parts();
        run::test(
            settings,
            plan,
            async move |(): &(), shutdown| main(shutdown).await,
            Location::caller(),
        )
    }

    fn into_parts(self) -> (Settings, RuntimeSettings, Plan<()>) {
        let Self { settings, runtime, stage: Stateless { finalize, reload } } = self;
        let init = Box::new(|_| -> Local<'static, _> { Box::pin(async { Ok(()) }) });
        (settings, runtime, Plan { init, reload, finalize })
    }
}

impl<S: 'static> Builder<With<S>> {
    /// What runs after what `main` registered and before what `init` registered, and takes the state: `async fn(S)`,
    /// returning `()` or `Result<(), E>`. It runs on the main thread, where blocking is allowed, and not if `init` failed.
    ///
    /// Without it the state is dropped after the last finalizer, where blocking is allowed too; a panic of that drop is in the report and
    /// makes the exit status 101.
    #[must_use]
    pub fn finalize<O: Outcome>(mut self, finalize: impl AsyncFnOnce(S) -> O + 'static) -> Self {
        self.stage.0.finalize = Some(Box::new(|state| {
            Box::pin(async move {
                finalizer_queue::with_text(finalize(state).await.into_result().map(drop))
            })
        }));
        self
    }

    /// What runs for each reload signal: `async fn(&S)` or `async fn()`, returning `()` or `Result<(), E>`. One at a time,
    /// coalesced; an error or panic is logged, and the program goes on as it was.
    #[must_use]
    pub fn reload<R: Reload<S, Form> + 'static, Form: 'static>(mut self, reload: R) -> Self {
        self.stage.0.reload = Some(Box::new(Erased(reload, PhantomData)));
        self
    }

    /// Lives the life of the program, and returns what `fn main` has to return.
    ///
    /// Events are logged through `tracing` from several threads, so a subscriber has to be the global one to see them.
    ///
    /// A process has one life: a second call, or one on a runtime, prints what is wrong and gives the exit status 1.
    ///
    /// Where `main` returned by itself, what nothing tracks on the runtime's blocking pool is waited for until a stop signal comes; where
    /// somebody asked for the stop, for 100 ms. What is left running then is logged and does not change the exit status.
    ///
    /// The process is gone before `timeout` has passed since the stop was requested, also if whatever follows this call takes longer.
    #[track_caller]
    pub fn run<O: Outcome>(self, main: impl AsyncFnOnce(&S, Shutdown) -> O) -> ExitCode {
        let Self { settings, runtime, stage: With(plan) } = self;
        run::run(settings, runtime, plan, main, Location::caller())
    }

    /// The same as a test: on a paused clock, with no real signals, and without the environment.
    ///
    /// # Panics
    ///
    /// If `main` does.
    #[cfg(feature = "testing")]
    #[track_caller]
    pub fn test<O: Outcome>(self, main: impl AsyncFnOnce(&S, Shutdown) -> O) -> ExitCode {
        let Self { settings, runtime: _, stage: With(plan) } = self;
        run::test(settings, plan, main, Location::caller())
    }
}

/// The settings; their defaults and meanings are those of the attribute's arguments.
impl<Stage> Builder<Stage> {
    /// The whole budget from request to exit; 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// The end of the budget, kept free for shields and finalizers; the smaller of 5 s and a quarter of `timeout`.
    ///
    /// The drain is ended by force at `timeout − finalize_timeout`; a little earlier where that would leave less than the 2 % that the
    /// last exit comes before the end.
    #[must_use]
    pub fn finalize_timeout(mut self, timeout: Duration) -> Self {
        self.settings.finalize_timeout = Some(timeout);
        self
    }

    /// How long to serve on while not ready; nothing.
    ///
    /// Waited out in full also when idle, so that a load balancer has seen it. Ends when `main` or an essential task does; skipped for
    /// `INT`, for requests from inside, and when the program was not ready.
    #[must_use]
    pub fn lame_duck(mut self, time: Duration) -> Self {
        self.settings.lame_duck = time;
        self
    }

    /// How long `init` may take before it is dropped, what it registered is finalized and the exit status is 1; any time.
    #[must_use]
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.settings.init_timeout = Some(timeout);
        self
    }

    /// How long a new process may take to be ready; as `timeout`. Takes effect with restart signals, which are not available yet.
    #[must_use]
    pub fn restart_timeout(mut self, timeout: Duration) -> Self {
        self.settings.restart_timeout = Some(timeout);
        self
    }

    /// How to hand over to a new process. Takes effect with restart signals, which are not available yet.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// The signals and what they ask for; an array is the short form for signals that request a stop.
    #[must_use]
    pub fn signals(mut self, signals: impl Into<Signals>) -> Self {
        self.settings.signals = signals.into();
        self
    }

    /// When the program counts as ready; when `init` is done.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.settings.readiness = readiness;
        self
    }

    /// Whether a terminal gets a status line during the drain; it does.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.settings.progress = progress;
        self
    }

    /// The prefix of the environment variables that override the times: `GRACEFUL` for `GRACEFUL_TIMEOUT` and so on.
    #[must_use]
    pub fn env(mut self, prefix: impl Into<String>) -> Self {
        self.settings.env = Some(prefix.into());
        self
    }

    /// No environment variable overrides anything.
    #[must_use]
    pub fn without_env(mut self) -> Self {
        self.settings.env = None;
        self
    }

    /// How the runtime schedules its tasks; on worker threads.
    #[must_use]
    pub fn flavor(mut self, flavor: Flavor) -> Self {
        self.runtime.flavor = flavor;
        self
    }

    /// The number of worker threads; as many as there are processors.
    #[must_use]
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.runtime.worker_threads = Some(threads);
        self
    }

    /// The most threads that the pool for blocking closures may have; tokio's default.
    #[must_use]
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.runtime.max_blocking_threads = Some(threads);
        self
    }

    /// The name of the runtime's threads; tokio's default.
    #[must_use]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.runtime.thread_name = Some(name.into());
        self
    }

    /// Starts with the clock paused; the deadlines follow it. Needs [`Flavor::CurrentThread`].
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn start_paused(mut self, paused: bool) -> Self {
        self.runtime.start_paused = paused;
        self
    }

    /// Sets whatever else tokio's builder has.
    #[must_use]
    pub fn runtime(mut self, adjust: fn(&mut tokio::runtime::Builder)) -> Self {
        self.runtime.adjust = Some(adjust);
        self
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl<Stage> fmt::Debug for Builder<Stage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, runtime, stage: _ } = self;
        f.debug_struct("Builder")
            .field("settings", settings)
            .field("runtime", runtime)
            .finish_non_exhaustive()
    }
}
