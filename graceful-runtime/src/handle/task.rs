//! Tasks with a name.

use tokio::task::JoinHandle;

use crate::{
    handle::{scope_ref::ScopeRef, spawn},
    model::{
        outcome::{Outcome, error_of},
        report::Kind,
    },
    tracking::{label::Label, tracked::Weight},
};

/// A task with a name that has not started. [`Shutdown::task`](crate::Shutdown::task) creates it.
///
/// The drain waits for the task. Its error or panic is logged and reported under its name, and changes the exit status only if the
/// task is [essential](Self::essential).
///
/// ```
/// # #[cfg(feature = "testing")]
/// # graceful::Builder::new().test(async |shutdown| {
/// let task = shutdown.task("import").spawn(async { Ok::<_, std::io::Error>(()) });
/// task.await.expect("no panic").expect("the import worked");
/// # });
/// ```
#[derive(Debug)]
#[must_use = "nothing runs until one of the `spawn` methods is called"]
pub struct Task {
    pub(crate) target: ScopeRef,
    pub(crate) label: Label,
    pub(crate) weight: Weight,
}

impl Task {
    /// Makes the task essential: its end stops the program, with the task as the cause.
    ///
    /// The exit status is 0 if the task ended with `()` or `Ok`, 1 after an error, and 101 after a panic. The end of an essential
    /// task also ends a lame duck.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// # async fn consume() {}
    /// shutdown.task("consumer").essential().spawn(consume());
    /// shutdown.requested().await; // the program does not run on without its consumer
    /// # });
    /// ```
    pub fn essential(mut self) -> Self {
        self.weight = Weight::Essential;
        self
    }

    /// Runs a future as a task of the program's runtime.
    ///
    /// A force aborts it at its next `.await`.
    ///
    /// # Errors
    ///
    /// Once finalization has begun, the future is dropped unpolled, a warning is logged, and the handle yields a cancelled
    /// `JoinError`.
    #[allow(clippy::must_use_candidate, reason = "the task runs without its handle")]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Outcome + Send> + Send + 'static,
    {
        let Self { target, label, weight } = self;
        spawn::spawn(&target, label, weight, future, error_of)
    }

    /// Runs a closure on the runtime's pool of blocking threads.
    ///
    /// A force cannot end a closure that runs: it is left behind and reported.
    ///
    /// # Errors
    ///
    /// Once finalization has begun, the closure is dropped, a warning is logged, and the handle yields a cancelled `JoinError`.
    ///
    /// ```
    /// # fn f(shutdown: graceful::Shutdown) {
    /// shutdown.task("thumbnails").spawn_blocking(|| std::fs::write("/tmp/thumbnail", []));
    /// # }
    /// ```
    #[allow(clippy::must_use_candidate, reason = "the closure runs without its handle")]
    pub fn spawn_blocking<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Outcome + Send + 'static,
    {
        let Self { target, mut label, weight } = self;
        label.kind = Kind::Blocking;
        spawn::spawn_blocking(&target, label, weight, f, error_of)
    }

    /// Runs a closure on a thread of its own, which has the task's name (as reports show it) and belongs to the program's runtime:
    /// [`Shutdown::current`](crate::Shutdown::current) and `tokio::spawn` work on it.
    ///
    /// A force cannot end the thread: it is left behind and reported.
    ///
    /// # Errors
    ///
    /// Once finalization has begun, the closure is dropped, a warning is logged, and the handle yields a cancelled `JoinError`.
    ///
    /// # Panics
    ///
    /// If the system has no thread left, like `std::thread::spawn`.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let watcher = shutdown.clone();
    /// shutdown.task("watcher").spawn_thread(move || {
    ///     while !watcher.is_requested() {
    ///         std::thread::yield_now(); // look for changed files
    ///     }
    /// });
    /// # });
    /// ```
    #[allow(clippy::must_use_candidate, reason = "the thread runs without its handle")]
    pub fn spawn_thread<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Outcome + Send + 'static,
    {
        let Self { target, mut label, weight } = self;
        label.kind = Kind::Thread;
        spawn::spawn_thread(&target, label, weight, f, error_of)
    }
}
