//! Finalizers, as user code writes and registers them.

use std::{sync::Arc, time::Duration};

use crate::{model::outcome::Outcome, program::finalizer_queue::FinalizerQueue};

/// A cleanup step that runs after the drain. [`Shutdown::finalizer`](crate::Shutdown::finalizer) registers it.
///
/// Implemented by `async` closures that return `()` or `Result<(), E>`, and by types of your own:
///
/// ```
/// # #[cfg(feature = "testing")]
/// # graceful::Builder::new().test(async |shutdown| {
/// use graceful::Finalize;
///
/// struct Store;
///
/// impl Finalize for Store {
///     type Error = std::io::Error;
///
///     async fn finalize(self) -> Result<(), Self::Error> {
///         Ok(())
///     }
/// }
///
/// shutdown.finalizer("store", Store);
/// shutdown.finalizer("pid file", async || println!("removed"));
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a finalizer",
    note = "give an `async` closure without parameters that returns `()` or `Result<(), E>`, or a type that implements `Finalize`"
)]
pub trait Finalize: Send + 'static {
    /// The error of a step that fails.
    type Error;

    /// Runs the step. Signals do not interrupt it. It is dropped unfinished only if its time has passed.
    ///
    /// # Errors
    ///
    /// Returns the error of the step. It is printed, logged and reported, makes the exit status 1, and does not keep the other
    /// finalizers from running.
    fn finalize(self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

#[diagnostic::do_not_recommend]
impl<F, Fut, O> Finalize for F
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = O> + Send,
    O: Outcome,
{
    type Error = O::Error;

    async fn finalize(self) -> Result<(), O::Error> {
        self().await.into_result().map(|_| ())
    }
}

/// A handle to a registered finalizer, which can change or cancel it. Dropping the handle changes nothing.
///
/// ```
/// # fn f(shutdown: graceful::Shutdown) {
/// let remove = shutdown.finalizer("upload", async || std::fs::remove_file("/tmp/upload"));
/// // The upload is complete, so its file stays.
/// assert!(remove.cancel());
/// # }
/// ```
#[derive(Debug)]
pub struct Finalizer {
    queue: Arc<FinalizerQueue>,
    id: u64,
}

impl Finalizer {
    pub(crate) fn new(queue: &Arc<FinalizerQueue>, id: u64) -> Self {
        Self { queue: Arc::clone(queue), id }
    }

    /// Sets the finalizer's own timeout. Defaults to an even share of the budget that is left.
    ///
    /// The timeout is a maximum and starts when the finalizer does. The finalizer gets less if the budget has less left, because
    /// the finalizers after it keep at least half of their even share.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn f(shutdown: graceful::Shutdown) {
    /// shutdown
    ///     .finalizer("cache", async || std::fs::remove_dir_all("/tmp/cache"))
    ///     .timeout(Duration::from_millis(500));
    /// # }
    /// ```
    #[allow(clippy::must_use_candidate, reason = "the handle need not be kept")]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.queue.set_timeout(self.id, timeout);
        self
    }

    /// Cancels the finalizer, so that it does not run. Returns false if it had begun already.
    #[allow(clippy::must_use_candidate, reason = "often it does not matter")]
    pub fn cancel(self) -> bool {
        self.queue.cancel(self.id)
    }
}
