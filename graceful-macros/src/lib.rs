//! The attributes [`main`] and [`test`] of `graceful`. This crate is a part of `graceful-runtime`, which exports both: depend
//! on that one alone.
//!
//! One arrow: tokens → `Args`, with spans → one call of the builder.

use proc_macro::TokenStream;

mod args;
mod budget;
mod builder;
mod check;
mod duration;
mod entry;
mod errors;
mod expand;
mod list;
mod params;
mod signal;
mod signals;
mod suggest;
mod value;

/// Starts a program that stops well: latches its signals, runs `init`, `main`, the drain and the finalizers, and ends with
/// an exit status, all within one time budget.
///
/// # Arguments
///
/// All are optional.
///
/// | argument | default | meaning |
/// |---|---|---|
/// | `timeout = "30s"` | `"30s"` | the whole budget, from the request to stop to the exit |
/// | `finalize_timeout = "5s"` | the smaller of 5 s and a quarter of `timeout` | the end of the budget, kept free for shields and finalizers |
/// | `lame_duck = "5s"` | `"0s"` | how long to serve on while not ready; `finalize_timeout + lame_duck` must be less than `timeout` |
/// | `init_timeout = "60s"` | none | `init` is dropped then, and the exit status is 1 |
/// | `signals = [TERM, INT, HUP]` | `[TERM, INT]` | signals that request a stop; a second one forces |
/// | `signals(stop = […], force = […], exit = […], reload = […])` | | signals by role: request a stop; end the drain now; leave at once; run the `reload` hook |
/// | `signals = docker` | | the signals of a convention |
/// | `init = path` | none | makes the state: `async fn()` or `async fn(Shutdown)`, returns `S` or `Result<S, E>`; where nothing takes the state, `()` or `Result<_, E>` |
/// | `finalize = path` | none | takes the state, after the drain: `async fn(S)`, or `async fn()` where there is no `init`; returns `()` or `Result<(), E>` |
/// | `reload = path` | none | `async fn(&S)` or `async fn()`, for the `reload` signals, which are `HUP` unless named; returns `()` or `Result<(), E>` |
/// | `restart_timeout = "30s"` | as `timeout` | how long a new process may take to be ready (without effect yet: restart signals are not available) |
/// | `restart = auto` | `auto` | how to hand over: `handoff` to a new process beside this one, `exec` in place, or `auto`: `exec` as PID 1, else `handoff` (without effect yet) |
/// | `readiness = auto` | `auto` | ready when `init` is done, or, with `manual`, when the program says so |
/// | `progress = true` | `true` | the status line on a terminal |
/// | `env = "MYAPP"`, `env = false` | `"GRACEFUL"` | the prefix of the variables that override the durations, or none |
/// | `flavor = "multi_thread"` | `"multi_thread"` | the runtime, or `"current_thread"` |
/// | `worker_threads = 4` | the number of cores | for `"multi_thread"` |
/// | `max_blocking_threads = 512` | 512 | for `spawn_blocking` |
/// | `thread_name = "worker"` | tokio's | the name of the runtime's threads |
/// | `start_paused = true` | `false` | a paused clock, for `"current_thread"`; needs the feature `testing` |
/// | `builder = path` | none | `fn(&mut tokio::runtime::Builder)`, for everything else |
/// | `crate = path` | `::graceful` | where this crate is, for one that exports it again |
///
/// A duration is written in quotes, as a sum of numbers with units: `"500ms"`, `"1.5s"`, `"1m 30s"`. The usual units are `ms`, `s`, `m`
/// (or `min`), `h` and `d`; the environment variables that override the durations accept the same text. A duration is more than
/// zero, except for `lame_duck`, and at most 365 days.
///
/// A signal is written without `SIG`. Each has one role.
///
/// # Accepted forms of `main`
///
/// ```ignore
/// async fn main() {}
/// async fn main(shutdown: Shutdown) {}
/// async fn main(app: &App, shutdown: Shutdown) {}   // with `init`, which returns an `App`
/// async fn main(app: App, shutdown: Shutdown) {}    // the same with `App: Clone`
/// ```
///
/// It returns `()`, `Result<(), E>` where `E: Debug`, or `std::process::ExitCode`, and need not be `Send`.
///
/// # Equivalent code not using the attribute
///
/// ```ignore
/// #[graceful::main(timeout = "30s", signals = [TERM, INT, HUP], init = init, finalize = finalize)]
/// async fn main(app: &App, shutdown: Shutdown) -> anyhow::Result<()> {
///     serve(app, shutdown).await
/// }
/// ```
///
/// is
///
/// ```ignore
/// fn main() -> std::process::ExitCode {
///     async fn main(app: &App, shutdown: Shutdown) -> anyhow::Result<()> {
///         serve(app, shutdown).await
///     }
///     graceful::Builder::new()
///         .timeout(Duration::from_secs(30))
///         .signals([Signal::TERM, Signal::INT, Signal::HUP])
///         .init::<App, _, _>(init)
///         .finalize(finalize)
///         .run(async |app: &App, shutdown: Shutdown| main(app, shutdown).await)
/// }
/// ```
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(entry::Kind::Main, args.into(), item.into()).into()
}

/// Runs an `async` test as a program: with `init`, the drain and the finalizers, on the current thread and a paused clock,
/// without real signals and without the environment. It needs the feature `testing`.
///
/// # Arguments
///
/// Those of [`main`], except that `flavor = "multi_thread"` and `worker_threads` are errors. The function may have any name. It
/// takes and returns what `main` does, and an exit status other than 0 fails the test. `#[should_panic]` and `#[ignore]` mean what
/// they mean on other tests.
///
/// # Example
///
/// ```ignore
/// #[graceful::test(timeout = "10s")]
/// async fn work_that_runs_is_waited_for(shutdown: Shutdown) {
///     shutdown.spawn(tokio::time::sleep(Duration::from_secs(3)));
/// }
/// ```
///
/// # Equivalent code not using the attribute
///
/// ```ignore
/// #[test]
/// fn work_that_runs_is_waited_for() -> std::process::ExitCode {
///     async fn work_that_runs_is_waited_for(shutdown: Shutdown) {
///         shutdown.spawn(tokio::time::sleep(Duration::from_secs(3)));
///     }
///     graceful::Builder::new()
///         .timeout(Duration::from_secs(10))
///         .test(async |shutdown: Shutdown| work_that_runs_is_waited_for(shutdown).await)
/// }
/// ```
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(entry::Kind::Test, args.into(), item.into()).into()
}
