//! Cleanup steps, as user code writes and registers them.

use std::{sync::Arc, time::Duration};

use crate::{model::outcome::Outcome, program::finalizer_queue::FinalizerQueue};

/// A cleanup step, run after the drain.
///
/// Implemented by `async` closures that return `()` or `Result<(), E>`, and by types of your own:
///
/// ```
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
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a finalizer",
    note = "give an `async` closure without parameters that returns `()` or `Result<(), E>`, or a type that implements `Finalize`"
)]
pub trait Finalize: Send + 'static {
    /// What tells that the step went wrong.
    type Error;

    /// Takes the step. It is not interrupted by signals; it is dropped unfinished only when its time has passed.
    ///
    /// # Errors
    ///
    /// Whatever went wrong: it is printed, logged and reported, makes the exit status 1, and does not stop the other finalizers.
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

/// A registered finalizer, to be changed or taken back. Dropping it changes nothing.
#[derive(Debug)]
pub struct Finalizer {
    queue: Arc<FinalizerQueue>,
    id: u64,
}

impl Finalizer {
    pub(crate) fn new(queue: &Arc<FinalizerQueue>, id: u64) -> Self {
        Self { queue: Arc::clone(queue), id }
    }

    /// Gives the step a time of its own, instead of an even share of what is left.
    ///
    /// It is a maximum: where the budget has less left, the step gets less, and the steps still to run keep half of their
    /// even share. The time starts when the step does.
    #[allow(clippy::must_use_candidate, reason = "the handle need not be kept")]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.queue.set_timeout(self.id, timeout);
        self
    }

    /// Takes the step back: it will not run. Returns whether that was in time.
    #[allow(clippy::must_use_candidate, reason = "often it does not matter")]
    pub fn cancel(self) -> bool {
        self.queue.cancel(self.id)
    }
}
