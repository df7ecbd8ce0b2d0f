//! The work that the drain waits for.

use std::{panic::Location, time::Duration};

use tokio::task::JoinHandle;

use crate::{
    handle::{
        flight::Flights, guard::Guard, shield::Shield, shutdown::Shutdown, spawn, task::Task,
    },
    model::{
        outcome::Outcome,
        report::{Kind, Straggler},
    },
    tracking::{
        label::{Abort, Label, Name},
        tracked::{Job, Tracked, Weight},
    },
};

/// Tracking the work that the drain waits for.
impl Shutdown {
    /// Counts a piece of work until the returned guard is dropped. For work that belongs to running work.
    ///
    /// A guard is granted until finalization begins. After that the guard [does not count](Guard::is_counted), and a warning is
    /// logged.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let guard = shutdown.guard();
    /// std::thread::spawn(move || {
    ///     // The drain waits until this thread drops the guard.
    ///     drop(guard);
    /// });
    /// # });
    /// ```
    #[inline]
    #[track_caller]
    pub fn guard(&self) -> Guard {
        Guard::new(self.target.scope, Location::caller())
    }

    /// Counts a piece of work until the returned guard is dropped, or returns `None` once the drain has begun. For work that comes
    /// from outside.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let answer = || match shutdown.try_guard() {
    ///     Some(_guard) => 200,
    ///     None => 503,
    /// };
    /// assert_eq!(answer(), 200);
    /// shutdown.request("the example is over");
    /// assert_eq!(answer(), 503);
    /// # });
    /// ```
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn try_guard(&self) -> Option<Guard> {
        Guard::try_new(self.target.scope, Location::caller())
    }

    /// Spawns a task on the program's runtime, like `tokio::spawn`. The drain waits for it.
    ///
    /// Logs and the report name the task after the caller's location; [`task`](Self::task) gives it a name. A force aborts it at
    /// its next `.await`.
    ///
    /// # Errors
    ///
    /// Once finalization has begun, the future is dropped unpolled, a warning is logged, and the handle yields a cancelled
    /// `JoinError`.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let task = shutdown.spawn(async { 6 * 7 });
    /// assert_eq!(task.await.expect("the task ended"), 42);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        spawn::spawn(&self.target, label(Kind::Task, None), Weight::Ordinary, future, |_| None)
    }

    /// Runs a closure on the pool of blocking threads, like `tokio::task::spawn_blocking`. The drain waits for it.
    ///
    /// A force cannot end a closure that runs: it is left behind and reported.
    ///
    /// # Errors
    ///
    /// Once finalization has begun, the closure is dropped, a warning is logged, and the handle yields a cancelled `JoinError`.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let sum = shutdown.spawn_blocking(|| (1..=100).sum::<u32>());
    /// assert_eq!(sum.await.expect("the closure ended"), 5050);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let label = label(Kind::Blocking, None);
        spawn::spawn_blocking(&self.target, label, Weight::Ordinary, f, |_| None)
    }

    /// Begins a task with a name. Its error is reported, and it may be [essential](Task::essential).
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

    /// Counts a future that other code polls, from this call until the future ends or is dropped.
    ///
    /// A force does not end it; only the code that polls it can. Once finalization has begun it is not counted, but runs all the
    /// same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops `future`, and the drain no longer waits for it.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let mut jobs = tokio::task::JoinSet::new();
    /// for job in 0..3 {
    ///     jobs.spawn(shutdown.track(async move { job * 2 }));
    /// }
    /// assert_eq!(shutdown.in_flight(), 3);
    /// # });
    /// ```
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

    /// Returns a source of [`Flight`](crate::Flight)s: work that the program runs by its own means and names piece by piece, such
    /// as the requests of a server.
    ///
    /// `kind` is one word that precedes each name, as `http` does. The servers of this crate are built on flights. For most work
    /// [`spawn`](Self::spawn), [`guard`](Self::guard) and [`track`](Self::track) are simpler.
    #[must_use]
    #[track_caller]
    pub fn flights(&self, kind: &'static str) -> Flights {
        Flights::new(self.target.clone(), kind, Location::caller())
    }

    /// Spawns periodic work: calls `f` now and then every `period`, until the stop is requested.
    ///
    /// It stops between two runs; only a force aborts a run. There is no last run at the stop: register a
    /// [`finalizer`](Self::finalizer) for a last flush. A scope's handle runs it until that scope is asked to stop.
    ///
    /// A run that takes longer than `period` delays the next one. If a run returns an error, the error is logged and reported, and
    /// the next run follows. If a run panics, it was the last one.
    ///
    /// # Panics
    ///
    /// The task panics if `period` is zero.
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
    #[track_caller]
    pub fn every<F, Fut>(&self, period: Duration, f: F) -> JoinHandle<()>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output: Outcome + Send> + Send + 'static,
    {
        let label = label(Kind::Task, None);
        let work = spawn::every(self.target.clone(), period, f, label.clone());
        spawn::spawn(&self.target, label, Weight::Ordinary, work, |()| None)
    }

    /// Runs `future` to its end as a task of its own: neither a force nor the end of the caller aborts it.
    ///
    /// The task starts when the returned [`Shield`] is first polled. A force also spares the task that awaits the shield, until it
    /// has received the output and reached its next `.await`. The stop waits for shields for at most half of the budget that is
    /// left at the force; after that they are aborted. In a finalizer, which nothing interrupts, `future` runs in place.
    ///
    /// # Panics
    ///
    /// Awaiting the shield panics if `future` panics.
    ///
    /// # Cancel safety
    ///
    /// If the shield is dropped after its first poll, the work goes on.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// # async fn charge() -> u32 { 1 }
    /// # async fn record(_charge: u32) {}
    /// shutdown
    ///     .shield(async {
    ///         let charge = charge().await;
    ///         record(charge).await; // never left out once the card is charged
    ///     })
    ///     .await;
    /// # });
    /// ```
    #[track_caller]
    pub fn shield<F>(&self, future: F) -> Shield<F>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Shield::new(self.target.clone(), label(Kind::Shield, None), future)
    }

    /// How many pieces of work are in flight, without `main`. A scope's handle counts the work of that scope.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.target.program.tracker.in_flight(self.target.scope)
    }

    /// The work that is in flight in the whole program, including `main`, the oldest first.
    #[must_use]
    pub fn stragglers(&self) -> Vec<Straggler> {
        self.target.program.tracker.running(usize::MAX)
    }
}

#[track_caller]
fn label(kind: Kind, name: Option<String>) -> Label {
    Label { kind, name: name.map(Name::new), location: Location::caller() }
}
