//! The attributes [`main`] and [`test`] of `graceful`. `graceful-runtime` exports both: depend on that crate and not on this one.
//!
//! The data flows one way: tokens → `Args`, with spans → one call of the builder.

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

/// Runs an `async fn main` as a program that shuts down gracefully.
///
/// The program catches its signals from the first statement on, runs `init` and `main`, and, once a stop is requested, the drain and the finalizers within
/// one time budget. It ends with an exit status.
///
/// # Arguments
///
/// All arguments are optional.
///
/// | argument | default | meaning |
/// |---|---|---|
/// | `timeout = "30s"` | `"30s"` | the whole budget, from the request to the exit |
/// | `finalize_timeout = "5s"` | the smaller of 5 s and a quarter of `timeout` | the end of the budget, reserved for shields and finalizers |
/// | `lame_duck = "5s"` | `"0s"` | how long to keep serving after readiness turns false; `finalize_timeout + lame_duck` must be less than `timeout` |
/// | `init_timeout = "60s"` | none | maximum time for `init`; if it runs longer it is dropped, and the exit status is 1 |
/// | `signals = [TERM, INT, HUP]` | `[TERM, INT]` | signals that request a stop; a second one forces |
/// | `signals(stop = […], force = […], exit = […], reload = […])` | | signals by role: request a stop; end the drain now; exit at once; run the `reload` hook |
/// | `signals = docker` | | the signals of a convention |
/// | `init = path` | none | creates the state: `async fn()` or `async fn(Shutdown)`, returns `S` or `Result<S, E>`; if neither `main` nor a hook takes the state, `()` or `Result<_, E>` |
/// | `finalize = path` | none | takes the state, after the drain: `async fn(S)`, or `async fn()` without `init`; returns `()` or `Result<(), E>` |
/// | `reload = path` | none | `async fn(&S)` or `async fn()`, runs on each `reload` signal, by default `HUP`; returns `()` or `Result<(), E>` |
/// | `restart_timeout = "30s"` | the same as `timeout` | maximum time until a new process is ready (no effect yet: restart signals are not available) |
/// | `restart = auto` | `auto` | how to hand over: `handoff` to a new process beside this one, `exec` in place, or `auto`: `exec` as PID 1, otherwise `handoff` (no effect yet) |
/// | `readiness = auto` | `auto` | ready when `init` is done or, with `manual`, when the program calls `Shutdown::ready` |
/// | `progress = true` | `true` | shows a status line on a terminal during the drain |
/// | `env = "MYAPP"`, `env = false` | `"GRACEFUL"` | the prefix of the environment variables that override the durations; `false`: no variables |
/// | `flavor = "multi_thread"` | `"multi_thread"` | the runtime, or `"current_thread"` |
/// | `worker_threads = 4` | the number of cores | the number of worker threads, for `"multi_thread"` |
/// | `max_blocking_threads = 512` | 512 | the maximum number of threads for `spawn_blocking` |
/// | `thread_name = "worker"` | tokio's | the name of the runtime's threads |
/// | `start_paused = true` | `false` | a paused clock, for `"current_thread"`; needs the feature `testing` |
/// | `builder = path` | none | `fn(&mut tokio::runtime::Builder)`, sets the other options of the runtime |
/// | `crate = path` | `::graceful` | the path of this crate, for crates that re-export it |
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
/// `main` returns `()`, `Result<(), E>` with `E: Debug`, or `std::process::ExitCode`. Its future need not be `Send`.
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

/// Runs an `async` test as a program, with `init`, the drain and the finalizers.
///
/// The test runs on the current thread with a paused clock, without real signals and without the environment. The attribute needs the feature `testing`.
///
/// # Arguments
///
/// The arguments are those of [`main`], except that `flavor = "multi_thread"` and `worker_threads` are errors. The function may have any name; its
/// parameters and return type are those of `main`. An exit status other than 0 fails the test. `#[should_panic]` and `#[ignore]` work as on other
/// tests.
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
