//! The handle.

use std::{io, panic::Location, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, ToSocketAddrs, UnixListener},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    handle::{
        finalizer::{Finalize, Finalizer},
        flight::Flights,
        guard::Guard,
        requested::{self, Requested},
        scope_ref::ScopeRef,
        shield::Shield,
        task::{self, Task},
    },
    model::{
        lifecycle::{Event, Phase},
        outcome::Outcome,
        report::{Cause, Kind, Report, Straggler},
        sanitize,
    },
    os::listen,
    program::{
        current,
        finalizer_queue::{self, Body},
        state::Program,
    },
    tracking::{
        label::{Abort, Label, Name},
        scope_id::ScopeId,
        tracked::{Job, Tracked, Weight},
    },
};

/// The program's shutdown: ask for it, hear of it, and say what it has to wait for.
///
/// Cheap to clone. The handle that `main` gets is the whole program's; [`scope`](Self::scope) gives one for a part of it.
/// A handle may be used and dropped on any thread, on any runtime or none, also when the program has ended.
///
/// ```
/// # #[cfg(feature = "testing")]
/// #[graceful::test]
/// async fn what_is_spawned_is_waited_for(shutdown: graceful::Shutdown) {
///     shutdown.spawn(async { /* a piece of work */ });
///     shutdown.request("enough");
///     assert!(shutdown.is_requested());
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown {
    pub(crate) target: ScopeRef,
}

/// Finding the handle, and the phases.
impl Shutdown {
    pub(crate) fn of(program: &Arc<Program>) -> Self {
        Self { target: ScopeRef::of(program) }
    }

    /// The handle of the program whose runtime this code runs on: in every task of the runtime, however it was spawned, in blocking
    /// closures, in [`spawn_thread`](Task::spawn_thread) and in finalizers. It is the program's own handle also in the work of a [`scope`](Self::scope), whose handle has
    /// to be handed in.
    ///
    /// There is none on a thread of [`std::thread`], nor on a runtime that other code has built, such as those of the workers of actix-web:
    /// pass the handle in.
    ///
    /// # Panics
    ///
    /// Where there is none.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        let Some(shutdown) = Self::try_current() else {
            panic!(
                "there is no `graceful` program here: annotate `main` with `#[graceful::main]` (or use `graceful::Builder`), \
                 and on a thread of your own pass the `Shutdown` handle in, or start it with `Shutdown::task(..).spawn_thread(..)`"
            );
        };
        shutdown
    }

    /// Like [`current`](Self::current), `None` where there is none.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        current::current().map(|program| Self::of(&program))
    }

    /// The phase that the program is in now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.target.program.phase()
    }

    /// The phase and its changes. A phase that lasts for an instant may be passed over.
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.target.program.phases()
    }

    /// Says that the program is ready, where it was built with [`Readiness::Manual`](crate::Readiness::Manual).
    pub fn ready(&self) {
        self.target.program.set_ready();
    }

    /// Whether the program is ready to be given work: it is running, and has said that it is ready if it has to.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.target.program.is_ready()
    }
}

/// Asking for the stop, and hearing of it.
impl Shutdown {
    /// Asks for the stop. It takes effect before this returns; a stop that is under way already is not changed.
    ///
    /// There is no lame duck: the program itself knows that it stops. On the handle of a scope, that part alone is stopped.
    pub fn request(&self, reason: impl Into<String>) {
        // User code, so not under the lock that the event takes.
        let reason = reason.into();
        let scope = self.target.scope.id();
        if scope == ScopeId::PROGRAM {
            self.target
                .program
                .on(Event::Request { lame_duck: false }, || Cause::Requested(reason));
        } else {
            self.target.program.tracker.request(scope);
        }
    }

    /// Ends the drain now: what is tracked is aborted and reported, shields excepted.
    ///
    /// Before the drain it first begins the drain and gives work 100 ms to end by itself; during `init` it waits for its end.
    ///
    /// On the handle of a scope, that part alone is stopped and what is left of it is aborted. What that aborts while the program runs on is listed in
    /// the report (the first thousand pieces of it) and does not change the exit status.
    pub fn force(&self, reason: impl Into<String>) {
        let reason = reason.into();
        let scope = self.target.scope.id();
        if scope == ScopeId::PROGRAM {
            self.target.program.on(Event::Force, || Cause::Requested(reason));
        } else {
            self.target.program.tracker.request(scope);
            self.target.program.tracker.force(self.target.scope);
        }
    }

    /// Whether the stop was requested and the lame duck is over: from [`Phase::Draining`] on.
    #[inline]
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.target.scope.is_requested()
    }

    /// Waits until [`is_requested`](Self::is_requested).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub fn requested(&self) -> Requested<'_> {
        Requested::new(&self.target)
    }

    /// Gives what `future` gives, or `None` once the stop is requested and `future` is not ready.
    ///
    /// `future` is polled first, so a value that is ready is never lost. Once requested, it is polled again after a turn of the
    /// I/O driver, so that an accept loop hands out every connection that the system had accepted before it ends:
    ///
    /// ```
    /// # async fn f(shutdown: graceful::Shutdown) -> std::io::Result<()> {
    /// let listener = shutdown.listen("echo", "127.0.0.1:0").await?;
    /// while let Some(accepted) = shutdown.until_requested(listener.accept()).await {
    ///     let (socket, _) = accepted?;
    ///     shutdown.spawn(async move { drop(socket) });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future` is.
    pub async fn until_requested<F: Future>(&self, future: F) -> Option<F::Output> {
        requested::until(&self.target, future).await
    }

    /// Why the program stops; `None` while nothing was requested.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.target.program.stop().map(|stop| stop.cause)
    }

    /// How much time is left until the drain is ended by force; `None` while nothing was requested.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.target
            .program
            .stop()
            .map(|stop| stop.budget.force.saturating_duration_since(Instant::now()))
    }

    /// A token that is cancelled when the stop is requested, for everything that takes one; on a scope's handle, when that scope is asked to stop.
    ///
    /// It is a child: cancelling it does nothing to the program. A token of a scope that is gone is cancelled when the part that the scope was in is asked to stop.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.target.program.tracker.token(self.target.scope).child_token()
    }
}

/// Saying what the drain waits for.
impl Shutdown {
    /// One piece of work in flight, until dropped, for work that belongs to running work: it is let in until finalization begins.
    ///
    /// After that the guard is inert, and a warning is logged.
    #[inline]
    #[track_caller]
    pub fn guard(&self) -> Guard {
        Guard::new(self.target.scope, Location::caller())
    }

    /// One piece of work in flight, until dropped, for work that comes from outside: `None` once the drain has begun.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn try_guard(&self) -> Option<Guard> {
        Guard::try_new(self.target.scope, Location::caller())
    }

    /// Spawns a task on the program's runtime, like `tokio::spawn`; the drain waits for it. Named after the call site.
    ///
    /// A force aborts it at its next `.await`. Once finalization has begun it is refused: the future is dropped
    /// unpolled, and the handle yields a cancelled `JoinError`.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        task::spawn(&self.target, label(Kind::Task, None), Weight::Ordinary, future, |_| None)
    }

    /// Runs a closure on the pool of blocking threads, like `tokio::task::spawn_blocking`; the drain waits for it.
    ///
    /// A force cannot end it once it runs: it is left behind and reported. Refused like [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        task::spawn_blocking(&self.target, label(Kind::Blocking, None), Weight::Ordinary, f, |_| {
            None
        })
    }

    /// Work with a name, whose error is reported, and which may be [essential](Task::essential).
    ///
    /// ```
    /// # fn f(shutdown: graceful::Shutdown) {
    /// shutdown.task("consumer").essential().spawn(async {
    ///     Err::<(), _>("the broker is gone") // the program stops, exit status 1
    /// });
    /// # }
    /// ```
    #[track_caller]
    pub fn task(&self, name: impl Into<String>) -> Task {
        let label = label(Kind::Task, Some(name.into()));
        Task { target: self.target.clone(), label, weight: Weight::Ordinary }
    }

    /// Counts a future that something else polls, from now until it has ended or is dropped.
    ///
    /// A force cannot end it: that is up to what polls it. Once finalization has begun it is not counted, and runs all the same.
    #[track_caller]
    pub fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let label = label(Kind::Future, None);
        let work = self.target.program.tracker.enter(self.target.scope, label).ok();
        if let Some(work) = &work {
            work.key().set_abort(Abort::Impossible);
        }
        let job = Job::new(work, Weight::Ordinary);
        Tracked::new(future, job, |_| None)
    }

    /// Where work begins that the program runs by its own means, named piece by piece: the requests of a server, say. `kind` is
    /// one word that stands before each name, as `http` does.
    ///
    /// This is what the crate's own servers stand on. For most work `spawn`, [`guard`](Self::guard) and [`track`](Self::track) are simpler.
    #[must_use]
    #[track_caller]
    pub fn flights(&self, kind: &'static str) -> Flights {
        Flights::new(self.target.clone(), kind, Location::caller())
    }

    /// Periodic work: runs `f` now and then every `period`, until the stop is requested. It stops between two runs; only a force cuts one.
    ///
    /// There is no last run at the stop: for a last flush, register a [`finalizer`](Self::finalizer). On a scope's handle it goes on
    /// until that scope is asked to stop.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # struct Spool;
    /// # impl Spool { async fn flush(&self) -> std::io::Result<()> { Ok(()) } }
    /// # fn f(shutdown: graceful::Shutdown, spool: Arc<Spool>) {
    /// shutdown.every(Duration::from_secs(5), move || {
    ///     let spool = Arc::clone(&spool);
    ///     async move { spool.flush().await }
    /// });
    /// # }
    /// ```
    ///
    /// A run that takes longer than `period` delays the next one. An error is logged and reported, and the next run follows; a
    /// panic ends it.
    ///
    /// # Panics
    ///
    /// The task panics if `period` is zero.
    #[track_caller]
    pub fn every<F, Fut>(&self, period: Duration, f: F) -> JoinHandle<()>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output: Outcome + Send> + Send + 'static,
    {
        let label = label(Kind::Task, None);
        let work = task::every(self.target.clone(), period, f, label.clone());
        task::spawn(&self.target, label, Weight::Ordinary, work, |()| None)
    }

    /// Runs `future` to its end, whatever comes: it is a task of its own that a force does not abort, also if the caller is
    /// dropped or aborted. Begins when it is first polled.
    ///
    /// A force does not abort a task that waits here either, before it has the value and has gone on to its next `.await`. It
    /// waits for shields up to half of the budget that is left. In a finalizer, which nothing interrupts, `future` runs in place.
    ///
    /// # Panics
    ///
    /// When awaited, if `future` panics.
    #[track_caller]
    pub fn shield<F>(&self, future: F) -> Shield<F>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Shield::new(self.target.clone(), label(Kind::Shield, None), future)
    }

    /// How many pieces of work are in flight, `main` itself not counted; on a scope's handle, in that part.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.target.program.tracker.in_flight(self.target.scope)
    }

    /// What is in flight in the whole program, `main` included, the oldest first.
    #[must_use]
    pub fn stragglers(&self) -> Vec<Straggler> {
        self.target.program.tracker.running(usize::MAX)
    }
}

/// ScopeTree with a drain of their own.
impl Shutdown {
    /// A new part of the program (of this part, on a scope's handle) with its own drain.
    ///
    /// It is asked to stop when the program is, or after the parts that [`after`](Self::after) names. On its handle `requested`,
    /// `token`, `try_guard`, `in_flight` and `drained` are its own; the phase and the finalizers are the program's.
    ///
    /// Each call makes a new part; names need not differ. A scope is gone, and its memory is used again, once its last handle is dropped and nothing is in
    /// flight in it. So one for each session or tenant is fine: it is made and dropped in less than a microsecond, and takes 2 KiB
    /// while it lives (on a machine with two cores; 256 bytes more for each further one).
    ///
    /// ```
    /// # fn f(shutdown: graceful::Shutdown) {
    /// let intake = shutdown.scope("intake");
    /// let workers = shutdown.scope("workers").after(&intake); // asked to stop once the intake has drained
    /// # }
    /// ```
    ///
    /// A session that is ended alone, while the program runs on:
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// #[graceful::test]
    /// async fn a_session_ends_alone(shutdown: graceful::Shutdown) {
    ///     let session = shutdown.scope("session");
    ///     let reader = session.clone();
    ///     session.spawn(async move { reader.requested().await });
    ///     session.request("logged out");
    ///     session.drained().await;
    ///     assert!(!shutdown.is_requested());
    /// }
    /// ```
    #[must_use]
    pub fn scope(&self, name: impl Into<String>) -> Self {
        Self { target: self.target.scope(name.into()) }
    }

    /// Lets this part be asked to stop only once `other` has drained. After the program's own handle: once `main` and what belongs to
    /// no scope have ended. An `other` that is [gone](Self::scope) is waited for no more.
    ///
    /// Call it before [`token`](Self::token): a token that was taken before is cancelled with the part that this one is in.
    ///
    /// # Panics
    ///
    /// If the order would be a circle, or `other` belongs to another program.
    #[must_use]
    pub fn after(self, other: &Self) -> Self {
        assert!(
            Arc::ptr_eq(&self.target.program, &other.target.program),
            "`after` takes a scope of the same program"
        );
        match self.target.program.tracker.order(self.target.scope, other.target.scope) {
            Ok(()) => self,
            Err((scope, other)) => {
                let (scope, other) = (sanitize::name(scope), sanitize::name(other));
                panic!(
                    "the scope `{scope}` cannot drain after `{other}`, which waits for it: the order is a circle"
                )
            }
        }
    }

    /// Waits until this part was asked to stop and nothing is in flight in it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn drained(&self) {
        let mut changes = self.target.program.tracker.changes(self.target.scope);
        while !self.target.program.tracker.is_drained(self.target.scope) {
            // The sender is in the registry, which this handle keeps alive.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Cleaning up.
impl Shutdown {
    /// Registers a cleanup step: an `async` closure, or a value whose type implements [`Finalize`].
    ///
    /// It runs exactly once, after the drain, in reverse order of registration, whatever else fails; signals do not interrupt
    /// it. Its time is an even share of what is left of the budget, unless it has a [timeout](Finalizer::timeout) of its own.
    /// Register it right after what it cleans up exists, in `init` too. Once all have run it is refused with a warning.
    ///
    /// ```
    /// # fn f(shutdown: graceful::Shutdown) {
    /// shutdown.finalizer("spool", async || std::fs::remove_dir_all("/tmp/spool"));
    /// # }
    /// ```
    #[allow(clippy::must_use_candidate, reason = "the handle need not be kept")]
    pub fn finalizer<H>(&self, name: impl Into<String>, hook: H) -> Finalizer
    where
        H: Finalize,
        H::Error: std::fmt::Debug,
    {
        let name = sanitize::name(name.into()).to_string();
        let body = Body::Shared(Box::new(move || {
            Box::pin(async move { finalizer_queue::with_text(hook.finalize().await) })
        }));
        let id = self.target.program.finalizers.push(name.clone(), body).unwrap_or_else(|| {
            tracing::warn!(target: "graceful", finalizer = %name, "refused: the finalizers have run");
            u64::MAX
        });
        Finalizer::new(&self.target.program.finalizers, id)
    }

    /// Registers what must flush last and does not need the program's runtime, such as the guard of a log: it runs after the runtime is gone,
    /// with the report, in reverse order of registration.
    ///
    /// If the main thread does not come back in time it runs on a thread of ours, with the runtime still there.
    ///
    /// | what | where to flush it |
    /// |---|---|
    /// | a log guard, such as `WorkerGuard` of `tracing-appender` | here: one that `main` holds is dropped when `main` ends, and the log then has neither the drain nor the report |
    /// | an exporter with a thread or a runtime of its own | here |
    /// | an exporter whose sockets live on the program's runtime, such as OTLP over gRPC | in the [`finalizer`](Self::finalizer) that is registered first, which runs last: here it sends nothing, and may say `Ok` all the same |
    ///
    /// ```
    /// # struct WorkerGuard;
    /// # #[derive(Clone)] struct Provider;
    /// # impl Provider { fn shutdown(&self) -> Result<(), String> { Ok(()) } }
    /// # fn f(shutdown: graceful::Shutdown, guard: WorkerGuard, provider: Provider) {
    /// shutdown.at_exit(move |_report| drop(guard));
    /// shutdown.finalizer("telemetry", async move || {
    ///     // It blocks until all is sent, which this thread may have to do.
    ///     tokio::task::spawn_blocking(move || provider.shutdown()).await.expect("no panic")
    /// });
    /// # }
    /// ```
    pub fn at_exit(&self, f: impl FnOnce(&Report) + Send + 'static) {
        if self.target.program.at_exit.push(Box::new(f)).is_err() {
            tracing::warn!(target: "graceful", "at_exit refused: the program has said its last words");
        }
    }
}

/// Listening.
impl Shutdown {
    /// Binds a TCP listener. Give its `accept` to [`until_requested`](Self::until_requested), so that what the system had accepted
    /// when the drain begins is handed out before the listener closes.
    ///
    /// # Errors
    ///
    /// What binding says, with the listener's name.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is bound then.
    pub async fn listen(
        &self,
        name: impl AsRef<str>,
        address: impl ToSocketAddrs,
    ) -> io::Result<TcpListener> {
        listen::tcp(name.as_ref(), address).await
    }

    /// Binds a Unix listener; a socket file on which nobody listens any more is replaced.
    ///
    /// The file is removed when the program leaves, after the finalizers and before [`at_exit`](Self::at_exit), if it still is the one that this
    /// call made: a file that somebody else has put in its place stays. Dropping the listener does not remove it. An `exit` signal, `KILL`, and
    /// [`std::process::exit`] leave it behind, for the next start to replace.
    ///
    /// # Errors
    ///
    /// What binding says, with the listener's name.
    ///
    /// # Panics
    ///
    /// Outside the runtime, like tokio's.
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

#[track_caller]
fn label(kind: Kind, name: Option<String>) -> Label {
    Label { kind, name: name.map(Name::new), location: Location::caller() }
}
