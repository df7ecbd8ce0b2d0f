//! The builder that the attribute expands to, and that can be written by hand.
//!
//! This file holds the user's functions and `run`; `settings` holds the setters.

use std::{fmt, marker::PhantomData, panic::Location, process::ExitCode};

use crate::{
    handle::shutdown::Shutdown,
    launch::{
        init::{Init, Kept, Local, Reload},
        plan::{Erased, ErasedReload, Finalize, Plan},
        run,
        runtime_settings::RuntimeSettings,
    },
    model::{outcome::Outcome, settings::Settings},
    program::finalizer_queue,
};

mod settings;

/// The stage of a [`Builder`] without an `init`.
#[derive(Default)]
pub struct Stateless {
    finalize: Option<Finalize<()>>,
    reload: Option<Box<dyn ErasedReload<()>>>,
}

/// The stage of a [`Builder`] whose `init` returns the state `S`.
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

/// Configures and runs a program. `#[graceful::main]` expands to a call of this builder.
///
/// Nothing happens before [`run`](Self::run).
///
/// # Exit status
///
/// The first row that matches decides:
///
/// | outcome | status |
/// |---|---|
/// | an `exit` signal arrived | 128 + its number |
/// | `init`, `main`, a finalizer, an essential task or the drop of the state panicked | 101 |
/// | `init`, `main`, a finalizer or an essential task returned an error, which is printed to standard error; or `init` ran longer than `init_timeout` | 1 |
/// | the drain was forced: tracked work was aborted or left behind, or a finalizer was left behind | 128 + the number of the first stop signal, such as 143 for `TERM`; 1 without a signal |
/// | `main` returned an [`ExitCode`] | that code |
/// | otherwise | 0 |
///
/// # Refusals
///
/// In these cases `run` prints the reason to standard error and returns without calling `init` or `main`:
///
/// | reason | status |
/// |---|---|
/// | `run` was called a second time in this process | 1 |
/// | `run` was called on a Tokio runtime | 1 |
/// | the system cannot install the signal handlers or start the runtime | 1 |
/// | a signal has two roles, or a reload signal has no `reload` | 2 |
/// | `finalize_timeout + lame_duck` is not less than `timeout`, or a duration is zero or longer than 365 days | 2 |
/// | an environment variable that overrides a duration cannot be read; the message names variable, value and what is accepted | 2 |
///
/// If the system has no thread left for the library itself, the program starts, is stopped at once, and exits with 1.
///
/// # Example
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
pub struct Builder<Stage = Stateless> {
    settings: Settings,
    runtime: RuntimeSettings,
    stage: Stage,
}

impl Builder {
    /// Creates a builder with the default settings: a `timeout` of 30 s, and `TERM` and `INT` as stop signals.
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: Settings::default(),
            runtime: RuntimeSettings::default(),
            stage: Stateless::default(),
        }
    }

    /// Sets the function that runs before `main` and returns the state: `async fn()` or `async fn(Shutdown)`, returning `S` or
    /// `Result<S, E>`.
    ///
    /// Signals do not interrupt it: a stop that is requested meanwhile begins when `init` ends, and `main` is then skipped. Only
    /// its [`init_timeout`](Self::init_timeout), or the deadline of a requested stop, drops it unfinished. If it fails, the
    /// finalizers that it registered run, and the program exits with 1.
    ///
    /// ```
    /// # use graceful::{Builder, Shutdown};
    /// # struct Pool;
    /// # impl Pool { async fn open() -> std::io::Result<Self> { Ok(Self) } }
    /// async fn init(shutdown: Shutdown) -> std::io::Result<Pool> {
    ///     let pool = Pool::open().await?;
    ///     shutdown.finalizer("pid file", async || std::fs::remove_file("/run/app.pid"));
    ///     Ok(pool)
    /// }
    /// // The type of the state is inferred from `main` or `finalize`, where one of them takes it.
    /// let builder = Builder::new().init::<Pool, _, _>(init);
    /// ```
    #[must_use]
    pub fn init<S: 'static, I: Init<S, Form> + 'static, Form>(self, init: I) -> Builder<With<S>> {
        let Self { settings, runtime, stage: _ } = self;
        let plan =
            Plan { init: Box::new(|shutdown| init.begin(shutdown)), reload: None, finalize: None };
        Builder { settings, runtime, stage: With(plan) }
    }

    /// Sets an [`init`](Self::init) whose state neither `main` nor `finalize` takes. It returns `()` or `Result<_, E>`; the
    /// returned value is dropped after the finalizers have run.
    #[must_use]
    pub fn init_unit<S, I, Form>(self, init: I) -> Builder<With<Kept<S>>>
    where
        S: 'static,
        I: Init<Kept<S>, Form> + 'static,
    {
        self.init(init)
    }

    /// Sets the finalizer that runs after all finalizers that `main` registered: `async fn()`, returning `()` or `Result<(), E>`.
    ///
    /// ```
    /// let builder = graceful::Builder::new().finalize(async || println!("goodbye"));
    /// ```
    #[must_use]
    pub fn finalize<O: Outcome>(mut self, finalize: impl AsyncFnOnce() -> O + 'static) -> Self {
        self.stage.finalize = Some(Box::new(|()| {
            Box::pin(
                async move { finalizer_queue::with_text(finalize().await.into_result().map(drop)) },
            )
        }));
        self
    }

    /// Sets the function that each reload signal runs: `async fn()`, returning `()` or `Result<(), E>`.
    ///
    /// One call runs at a time, and signals that arrive during it lead to one more call. An error or panic is logged and reported,
    /// and the program goes on. The signal is `HUP`, unless [`signals`](Self::signals) names others.
    ///
    /// ```
    /// let builder = graceful::Builder::new().reload(async || println!("reloading"));
    /// ```
    #[must_use]
    pub fn reload<R: Reload<(), Form> + 'static, Form: 'static>(mut self, reload: R) -> Self {
        self.stage.reload = Some(Box::new(Erased(reload, PhantomData)));
        self
    }

    /// Runs the program and returns the value that `fn main` has to return: see [exit status](Builder#exit-status) and
    /// [refusals](Builder#refusals).
    ///
    /// Call it first in `fn main`: signals are latched from this call on. A process can run one program. The process is gone
    /// before `timeout` has passed since the stop was requested, even if the code after this call takes longer.
    ///
    /// Events are logged through `tracing` from several threads, so only a global subscriber sees all of them.
    ///
    /// If `main` returns by itself, untracked closures on the runtime's blocking pool are waited for until a stop signal arrives.
    /// After a requested stop they are waited for at most 100 ms. Closures that are left running are logged, and do not change
    /// the exit status.
    ///
    /// ```
    /// use std::process::ExitCode;
    ///
    /// fn main() -> ExitCode {
    ///     graceful::Builder::new().run(async |shutdown| {
    ///         shutdown.spawn(async { /* the drain waits for this */ });
    ///         shutdown.request("nothing left to do");
    ///     })
    /// }
    /// ```
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

    /// Runs the program as a test: on the current thread and a paused clock, without real signals and without environment
    /// variables.
    ///
    /// Prints the report if the exit status is not 0.
    ///
    /// # Panics
    ///
    /// If `main` panics, with the same payload.
    ///
    /// ```
    /// # use std::process::ExitCode;
    /// let status = graceful::Builder::new().test(async |shutdown| {
    ///     shutdown.request("the test is over");
    /// });
    /// assert_eq!(status, ExitCode::SUCCESS);
    /// ```
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
    /// Sets the finalizer that takes the state: `async fn(S)`, returning `()` or `Result<(), E>`.
    ///
    /// It runs after the finalizers that `main` registered and before those that `init` registered, on the main thread, where
    /// blocking is allowed. It does not run if `init` failed.
    ///
    /// Without it, the state is dropped after the last finalizer, where blocking is allowed too. If that drop panics, the panic is
    /// reported and the exit status is 101.
    ///
    /// ```
    /// # struct Pool;
    /// # impl Pool { async fn close(self) -> std::io::Result<()> { Ok(()) } }
    /// let builder = graceful::Builder::new()
    ///     .init(async || Pool)
    ///     .finalize(async |pool: Pool| pool.close().await);
    /// ```
    #[must_use]
    pub fn finalize<O: Outcome>(mut self, finalize: impl AsyncFnOnce(S) -> O + 'static) -> Self {
        self.stage.0.finalize = Some(Box::new(|state| {
            Box::pin(async move {
                finalizer_queue::with_text(finalize(state).await.into_result().map(drop))
            })
        }));
        self
    }

    /// Sets the function that each reload signal runs: `async fn(&S)` or `async fn()`, returning `()` or `Result<(), E>`.
    ///
    /// One call runs at a time, and signals that arrive during it lead to one more call. An error or panic is logged and reported,
    /// and the program goes on. The signal is `HUP`, unless [`signals`](Self::signals) names others.
    ///
    /// ```
    /// # struct Config;
    /// # impl Config { async fn read_again(&self) -> std::io::Result<()> { Ok(()) } }
    /// async fn reload(config: &Config) -> std::io::Result<()> {
    ///     config.read_again().await
    /// }
    /// let builder = graceful::Builder::new().init(async || Config).reload(reload);
    /// ```
    #[must_use]
    pub fn reload<R: Reload<S, Form> + 'static, Form: 'static>(mut self, reload: R) -> Self {
        self.stage.0.reload = Some(Box::new(Erased(reload, PhantomData)));
        self
    }

    /// Runs the program and returns the value that `fn main` has to return: see [exit status](Builder#exit-status) and
    /// [refusals](Builder#refusals).
    ///
    /// Like [`run`](Builder::run) of a program without a state, with the state as the first argument of `main`.
    ///
    /// ```
    /// use std::process::ExitCode;
    ///
    /// fn main() -> ExitCode {
    ///     graceful::Builder::new()
    ///         .init(async || String::from("state"))
    ///         .run(async |state: &String, _shutdown| assert_eq!(state, "state"))
    /// }
    /// ```
    #[track_caller]
    pub fn run<O: Outcome>(self, main: impl AsyncFnOnce(&S, Shutdown) -> O) -> ExitCode {
        let Self { settings, runtime, stage: With(plan) } = self;
        run::run(settings, runtime, plan, main, Location::caller())
    }

    /// Runs the program as a test: on the current thread and a paused clock, without real signals and without environment
    /// variables.
    ///
    /// Prints the report if the exit status is not 0.
    ///
    /// # Panics
    ///
    /// If `main` panics, with the same payload.
    ///
    /// ```
    /// # use std::process::ExitCode;
    /// let status = graceful::Builder::new().init(async || 1).test(async |_: &i32, shutdown| {
    ///     shutdown.request("the test is over");
    /// });
    /// assert_eq!(status, ExitCode::SUCCESS);
    /// ```
    #[cfg(feature = "testing")]
    #[track_caller]
    pub fn test<O: Outcome>(self, main: impl AsyncFnOnce(&S, Shutdown) -> O) -> ExitCode {
        let Self { settings, runtime: _, stage: With(plan) } = self;
        run::test(settings, plan, main, Location::caller())
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
