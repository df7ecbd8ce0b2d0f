//! The setters of the builder.

use std::time::Duration;

use crate::{
    launch::{builder::Builder, runtime_settings::Flavor},
    model::{
        settings::{Readiness, Restart},
        signal::Signals,
    },
};

/// Settings. Their names, meanings and defaults are those of the attribute's arguments.
impl<Stage> Builder<Stage> {
    /// The whole budget, from the request to the exit of the process. Defaults to 30 s.
    ///
    /// It is a maximum: a program that has nothing to drain exits at once.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// The end of the budget that is kept free for shields and finalizers. Defaults to a quarter of `timeout`, at most 5 s.
    ///
    /// The drain is ended by force at `timeout − finalize_timeout`. It ends a little earlier if that would leave less time than
    /// the last exit needs, which happens 2 % of `timeout` before its end.
    #[must_use]
    pub fn finalize_timeout(mut self, timeout: Duration) -> Self {
        self.settings.finalize_timeout = Some(timeout);
        self
    }

    /// How long to keep serving after readiness turns false. Defaults to zero.
    ///
    /// An idle program waits for all of it too, so that a load balancer has time to notice. The lame duck ends early when `main`
    /// or an essential task ends. It is skipped for `INT`, for a request from inside, and if the program was not ready.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = graceful::Builder::new()
    ///     .timeout(Duration::from_secs(30))
    ///     .lame_duck(Duration::from_secs(5)); // Kubernetes takes a moment to stop sending requests
    /// ```
    #[must_use]
    pub fn lame_duck(mut self, time: Duration) -> Self {
        self.settings.lame_duck = time;
        self
    }

    /// Maximum time for `init`. Unlimited by default.
    ///
    /// If `init` runs longer it is dropped, the finalizers that it registered run, and the program exits with 1.
    #[must_use]
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.settings.init_timeout = Some(timeout);
        self
    }

    /// How long a new process may take to be ready. Defaults to `timeout`. It has no effect yet, because restart signals are not
    /// available.
    #[must_use]
    pub fn restart_timeout(mut self, timeout: Duration) -> Self {
        self.settings.restart_timeout = Some(timeout);
        self
    }

    /// How to hand over to a new process. Defaults to [`Restart::Auto`]. It has no effect yet, because restart signals are not
    /// available.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// The signals and their roles. Defaults to [`Signals::new`]: `TERM` and `INT` stop the program.
    ///
    /// An array is the short form for signals that request a stop.
    ///
    /// ```
    /// use graceful::{Builder, Signal, Signals};
    ///
    /// let short = Builder::new().signals([Signal::TERM, Signal::INT, Signal::HUP]);
    /// let by_role = Builder::new().signals(Signals::new().stop([Signal::TERM]).force([Signal::QUIT]));
    /// ```
    #[must_use]
    pub fn signals(mut self, signals: impl Into<Signals>) -> Self {
        self.settings.signals = signals.into();
        self
    }

    /// When the program counts as ready. Defaults to the end of `init`.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.settings.readiness = readiness;
        self
    }

    /// Whether to show a status line on the terminal while draining. Defaults to true.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.settings.progress = progress;
        self
    }

    /// The prefix of the environment variables that override the durations. Defaults to `GRACEFUL`, as in `GRACEFUL_TIMEOUT`.
    #[must_use]
    pub fn env(mut self, prefix: impl Into<String>) -> Self {
        self.settings.env = Some(prefix.into());
        self
    }

    /// Makes the program ignore the environment variables that override durations.
    #[must_use]
    pub fn without_env(mut self) -> Self {
        self.settings.env = None;
        self
    }

    /// How the runtime schedules its tasks. Defaults to worker threads.
    #[must_use]
    pub fn flavor(mut self, flavor: Flavor) -> Self {
        self.runtime.flavor = flavor;
        self
    }

    /// The number of worker threads. Defaults to the number of processors.
    #[must_use]
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.runtime.worker_threads = Some(threads);
        self
    }

    /// The maximum number of threads of the blocking pool. Defaults to Tokio's 512.
    #[must_use]
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.runtime.max_blocking_threads = Some(threads);
        self
    }

    /// The name of the runtime's threads. Defaults to Tokio's name.
    #[must_use]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.runtime.thread_name = Some(name.into());
        self
    }

    /// Whether the program starts with a paused clock, which the deadlines follow. Defaults to false. It needs
    /// [`Flavor::CurrentThread`].
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn start_paused(mut self, paused: bool) -> Self {
        self.runtime.start_paused = paused;
        self
    }

    /// Adjusts Tokio's builder, for settings that have no method here.
    ///
    /// `adjust` runs after all other settings were applied, and before `init`. If it panics, [`run`](Builder::run) panics.
    ///
    /// ```
    /// let builder = graceful::Builder::new().runtime(|runtime| {
    ///     runtime.thread_stack_size(4 * 1024 * 1024);
    /// });
    /// ```
    #[must_use]
    pub fn runtime(mut self, adjust: fn(&mut tokio::runtime::Builder)) -> Self {
        self.runtime.adjust = Some(adjust);
        self
    }
}
