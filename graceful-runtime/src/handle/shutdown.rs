//! The handle of a program. Its methods are grouped: this file finds the program and requests the stop; `work` has what the
//! drain waits for, `scopes` the scopes, and `cleanup` finalizers, exit closures and listeners.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    handle::{
        requested::{self, Requested},
        scope_ref::ScopeRef,
    },
    model::{
        lifecycle::{Event, Phase},
        report::Cause,
    },
    program::{current, state::Program},
    tracking::scope_id::ScopeId,
};

mod cleanup;
mod scopes;
mod work;

/// A handle to the program's shutdown: requests the stop, observes it, and tracks the work that the drain waits for.
///
/// Cheap to clone. The handle that `main` gets belongs to the whole program; [`scope`](Self::scope) creates one for a scope.
/// A handle may be used and dropped on any thread, on any runtime or none, even after the program has ended.
///
/// A service that answers connections until it is asked to stop, and then finishes those that it has:
///
/// ```no_run
/// use std::io;
///
/// use graceful::Shutdown;
/// use tokio::{io::copy_bidirectional, net::TcpStream};
///
/// #[graceful::main(timeout = "30s")]
/// async fn main(shutdown: Shutdown) -> io::Result<()> {
///     let listener = shutdown.listen("proxy", "0.0.0.0:8080").await?;
///     while let Some(accepted) = shutdown.until_requested(listener.accept()).await {
///         let (mut client, _) = accepted?;
///         // The drain waits for this task.
///         shutdown.spawn(async move {
///             let mut server = TcpStream::connect("127.0.0.1:9090").await?;
///             copy_bidirectional(&mut client, &mut server).await
///         });
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown {
    pub(crate) target: ScopeRef,
}

/// Finding the handle, and the program's phases.
impl Shutdown {
    pub(crate) fn of(program: &Arc<Program>) -> Self {
        Self { target: ScopeRef::of(program) }
    }

    /// Returns the handle of the program that the calling code runs in.
    ///
    /// This works in every task of the program's runtime, however it was spawned, in blocking closures, on threads of
    /// [`spawn_thread`](crate::Task::spawn_thread), and in finalizers. It returns the handle of the whole program, even in work of a
    /// [`scope`](Self::scope): pass a scope's handle to the code that needs it.
    ///
    /// Threads of [`std::thread`] belong to no program, and neither do runtimes that other code builds, such as the workers of
    /// actix-web: pass the handle to them.
    ///
    /// # Panics
    ///
    /// If the calling code runs in no program.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |_| {
    /// async fn answer() {
    ///     // No handle was passed here.
    ///     let _guard = graceful::Shutdown::current().guard();
    /// }
    ///
    /// tokio::spawn(answer()).await.expect("no panic");
    /// # });
    /// ```
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

    /// Like [`current`](Self::current), but returns `None` if the calling code runs in no program.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        current::current().map(|program| Self::of(&program))
    }

    /// The phase that the program is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.target.program.phase()
    }

    /// Returns a receiver of the program's phases. It may skip a phase that lasts only for an instant.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// use graceful::Phase;
    ///
    /// # shutdown.request("the example is over");
    /// let mut phases = shutdown.phases();
    /// phases.wait_for(|&phase| phase >= Phase::LameDuck).await.expect("the handle keeps the sender");
    /// // Answer health checks with 503 from here on.
    /// # });
    /// ```
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.target.program.phases()
    }

    /// Declares the program ready. Needed only with [`Readiness::Manual`](crate::Readiness::Manual).
    pub fn ready(&self) {
        self.target.program.set_ready();
    }

    /// Whether the program is ready for work: it is in [`Phase::Running`], and with
    /// [`Readiness::Manual`](crate::Readiness::Manual) it was also declared [`ready`](Self::ready).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.target.program.is_ready()
    }
}

/// Requesting and observing the stop.
impl Shutdown {
    /// Requests the stop. It takes effect before this call returns. A stop that is under way is not changed.
    ///
    /// There is no lame duck, because the program itself knows that it stops. A scope's handle stops that scope alone.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// shutdown.request("the license has expired");
    /// assert!(shutdown.is_requested());
    /// assert!(shutdown.cause().is_some());
    /// # });
    /// ```
    pub fn request(&self, reason: impl Into<String>) {
        // The conversion is user code, so it must not run under the lock that the event takes.
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

    /// Ends the drain now: tracked work is aborted and reported, except for shields.
    ///
    /// Before the drain, this begins the drain first and gives work 100 ms to end by itself. During `init` it waits until `init`
    /// has ended.
    ///
    /// A scope's handle stops that scope alone and aborts the work that is left in it. Work that is aborted this way while the
    /// program runs is listed in the report (the first thousand pieces of it) and does not change the exit status.
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

    /// Whether the stop was requested and the lame duck is over. True from [`Phase::Draining`] on.
    #[inline]
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.target.scope.is_requested()
    }

    /// Waits until [`is_requested`](Self::is_requested) is true.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// # use std::{future::pending, time::Duration};
    /// # async fn next_job() { pending().await }
    /// # let other = shutdown.clone();
    /// # tokio::spawn(async move { other.request("the example is over") });
    /// loop {
    ///     tokio::select! {
    ///         () = shutdown.requested() => break,
    ///         job = next_job() => { /* do the job */ }
    ///     }
    /// }
    /// # });
    /// ```
    pub fn requested(&self) -> Requested<'_> {
        Requested::new(&self.target)
    }

    /// Returns the output of `future`, or `None` if the stop is requested and `future` is not ready.
    ///
    /// `future` is polled first, so a value that is ready is never lost. After the request it is polled once more after a turn of
    /// the I/O driver, so that an accept loop returns every connection that the system had accepted:
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

    /// Why the program stops, or `None` if no stop was requested.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.target.program.stop().map(|stop| stop.cause)
    }

    /// The time left until the drain is ended by force, or `None` if no stop was requested.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.target
            .program
            .stop()
            .map(|stop| stop.budget.force.saturating_duration_since(Instant::now()))
    }

    /// Returns a token that is cancelled when the stop is requested, for code that takes a [`CancellationToken`].
    ///
    /// A scope's token is cancelled when that scope is asked to stop. If the scope is gone by then, it is cancelled when its
    /// parent is. Each call returns a child token: cancelling it does not stop the program.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// # async fn consume(token: graceful::CancellationToken) { token.cancelled().await }
    /// shutdown.spawn(consume(shutdown.token()));
    /// # });
    /// ```
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.target.program.tracker.token(self.target.scope).child_token()
    }
}
