//! Finalizers, exit closures and listeners.

use std::{fmt, io, path::Path};

use tokio::net::{TcpListener, ToSocketAddrs, UnixListener};

use crate::{
    handle::{
        finalizer::{Finalize, Finalizer},
        shutdown::Shutdown,
    },
    model::{report::Report, sanitize},
    os::listen,
    program::finalizer_queue::{self, Body},
};

/// Cleaning up.
impl Shutdown {
    /// Registers a finalizer: an `async` closure, or a value whose type implements [`Finalize`].
    ///
    /// It runs exactly once, after the drain, in reverse order of registration, whatever else fails. Signals do not interrupt it.
    /// Its time is an even share of the budget that is left, unless it has a [timeout](Finalizer::timeout) of its own. Register it
    /// right after the value that it cleans up is created, even in `init`. Once all finalizers have run, a new one is refused with
    /// a warning.
    ///
    /// ```
    /// # fn f(shutdown: graceful::Shutdown) {
    /// shutdown.finalizer("spool", async || std::fs::remove_dir_all("/tmp/spool"));
    /// # }
    /// ```
    #[allow(clippy::must_use_candidate, reason = "the handle need not be kept")]
    pub fn finalizer<H>(&self, name: impl Into<String>, finalizer: H) -> Finalizer
    where
        H: Finalize,
        H::Error: fmt::Debug,
    {
        let name = sanitize::name(name.into()).to_string();
        let body = Body::Shared(Box::new(move || {
            Box::pin(async move { finalizer_queue::with_text(finalizer.finalize().await) })
        }));
        let id = self.target.program.finalizers.push(name.clone(), body).unwrap_or_else(|| {
            tracing::warn!(target: "graceful", finalizer = %name, "refused: the finalizers have run");
            u64::MAX
        });
        Finalizer::new(&self.target.program.finalizers, id)
    }

    /// Registers a closure that runs last, with the report, for values that must flush last and do not need the program's runtime,
    /// such as the guard of a log.
    ///
    /// The closures run after the runtime is gone, in reverse order of registration. If the main thread is blocked, they run in
    /// time on a thread of the library, while the runtime still exists. A closure that is registered after the exit report has
    /// begun is refused with a warning.
    ///
    /// | value | where to flush it |
    /// |---|---|
    /// | a log guard, such as `WorkerGuard` of `tracing-appender` | here. If `main` holds it, it is dropped when `main` ends, and the log then lacks the drain and the report |
    /// | an exporter with a thread or a runtime of its own | here |
    /// | an exporter whose sockets live on the program's runtime, such as OTLP over gRPC | in the [`finalizer`](Self::finalizer) that is registered first, which runs last. Here it sends nothing, and may return `Ok` all the same |
    ///
    /// ```
    /// # struct WorkerGuard;
    /// # #[derive(Clone)] struct Provider;
    /// # impl Provider { fn shutdown(&self) -> Result<(), String> { Ok(()) } }
    /// # fn f(shutdown: graceful::Shutdown, guard: WorkerGuard, provider: Provider) {
    /// shutdown.at_exit(move |report| {
    ///     for straggler in &report.stragglers {
    ///         eprintln!("did not finish: {straggler}");
    ///     }
    ///     drop(guard);
    /// });
    /// shutdown.finalizer("telemetry", async move || {
    ///     // It blocks until everything is sent, and sending may need this thread.
    ///     tokio::task::spawn_blocking(move || provider.shutdown()).await.expect("no panic")
    /// });
    /// # }
    /// ```
    pub fn at_exit(&self, f: impl FnOnce(&Report) + Send + 'static) {
        if self.target.program.at_exit.push(Box::new(f)).is_err() {
            tracing::warn!(target: "graceful", "at_exit refused: the exit report has begun");
        }
    }
}

/// Listening.
impl Shutdown {
    /// Binds a TCP listener.
    ///
    /// Pass its `accept` to [`until_requested`](Self::until_requested): the loop then accepts every connection that the system had
    /// accepted when the drain began, before the listener closes.
    ///
    /// # Errors
    ///
    /// The error of binding, with the listener's name.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this is dropped, no address is bound.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| -> std::io::Result<()> {
    /// let listener = shutdown.listen("http", "127.0.0.1:0").await?;
    /// println!("listening on {}", listener.local_addr()?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn listen(
        &self,
        name: impl AsRef<str>,
        address: impl ToSocketAddrs,
    ) -> io::Result<TcpListener> {
        listen::tcp(name.as_ref(), address).await
    }

    /// Binds a Unix listener. It replaces a socket file on which no process listens any more.
    ///
    /// The file is removed at the end of the program, after the finalizers and before [`at_exit`](Self::at_exit), unless another
    /// file has taken its place. Dropping the listener does not remove it. An `exit` signal, `KILL` and [`std::process::exit`] leave
    /// the file behind; the next start replaces it.
    ///
    /// # Errors
    ///
    /// The error of binding, with the listener's name.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, like [`UnixListener::bind`].
    pub fn listen_unix(
        &self,
        name: impl AsRef<str>,
        path: impl AsRef<Path>,
    ) -> io::Result<UnixListener> {
        let listener = listen::unix(name.as_ref(), path.as_ref())?;
        self.target.program.socket_files.bound(path.as_ref());
        Ok(listener)
    }
}
