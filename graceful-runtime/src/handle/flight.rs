//! Flights: pieces of work that the program runs by its own means and that may move, for example from a future into a stream.

use std::{any::Any, fmt, panic::Location, sync::Arc, task::Poll};

use tokio_util::sync::CancellationToken;

use crate::{
    handle::scope_ref::ScopeRef,
    model::report::Kind,
    tracking::{
        label::{Abort, Carrier, Label, Name},
        tracked::{Job, Weight},
        work::Work,
    },
};

/// A source of flights of one kind. [`Shutdown::flights`](crate::Shutdown::flights) creates it.
#[derive(Clone, Debug)]
pub struct Flights {
    target: ScopeRef,
    kind: Kind,
    location: &'static Location<'static>,
}

impl Flights {
    pub(crate) fn new(
        target: ScopeRef,
        kind: &'static str,
        location: &'static Location<'static>,
    ) -> Self {
        Self { target, kind: Kind::Flight(kind), location }
    }

    /// Begins a piece of work.
    ///
    /// `name` is formatted only when a log line or a report needs it, so it should describe the work as it was at its start. A force
    /// cancels `cut`; the holder of the flight must then drop it.
    ///
    /// Like a [`Guard`](crate::Guard), a flight is work that belongs to running work: it counts if it begins before finalization.
    /// After that it [does not count](Flight::is_counted), and a warning is logged.
    ///
    /// ```
    /// # use graceful::{CancellationToken, Shutdown};
    /// # async fn f(shutdown: Shutdown, answer: impl Future<Output = ()>) {
    /// let flights = shutdown.flights("query");
    /// let cut = CancellationToken::new();
    /// let flight = flights.begin("SELECT 1", cut.clone());
    /// if cut.run_until_cancelled(answer).await.is_some() {
    ///     flight.complete();
    /// } // otherwise the flight is dropped and reported as a straggler
    /// # }
    /// ```
    pub fn begin(
        &self,
        name: impl fmt::Display + Send + Sync + 'static,
        cut: CancellationToken,
    ) -> Flight {
        let work = self.enter(Name::new(name));
        if let Some(work) = &work {
            work.key().set_abort(Abort::Local(cut));
        }
        Flight { job: Job::new(work, Weight::Ordinary) }
    }

    /// Begins a piece of work of a carrier that already exists, such as a connection that answers one request at a time. This
    /// allocates nothing for the flight.
    ///
    /// The carrier names the work with its `Display`, for as long as the work is in flight or may be reported, and ends it at a force.
    pub fn begin_on(&self, carrier: Arc<dyn Carrier>) -> Flight {
        let work = self.enter(Name::Carrier(carrier));
        if let Some(work) = &work {
            work.key().abort_is_set();
        }
        Flight { job: Job::new(work, Weight::Ordinary) }
    }

    fn enter(&self, name: Name) -> Option<Work> {
        let Self { target: ScopeRef { program, scope, .. }, kind, location } = self;
        let label = Label { kind: *kind, name: Some(name), location };
        let entered = program.tracker.enter(scope, label);
        entered.map_err(|label| {
            let name = label.name();
            tracing::warn!(target: "graceful", %kind, name, %location, "refused: finalization has begun");
        }).ok()
    }
}

/// A piece of work in flight that the program runs by its own means, such as a request that a server polls inside its connection.
///
/// Unlike a [`Guard`](crate::Guard) it has a name, and a force can end it. Unlike a task it is not tied to one future: it moves with
/// the value that holds it, for example from a future into the body that the future returned. [`Flights::begin`] begins one.
///
/// The drain waits until the flight is [complete](Self::complete) or dropped, on any thread, on any runtime or none. A flight that
/// is dropped before it is complete was interrupted: after a force it is reported as a straggler.
///
/// Not `Clone`: it ends once.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # graceful::Builder::new().test(async |shutdown| {
/// use graceful::CancellationToken;
///
/// let flight = shutdown.flights("query").begin("SELECT 1", CancellationToken::new());
/// assert_eq!(shutdown.in_flight(), 1);
/// flight.complete();
/// assert_eq!(shutdown.in_flight(), 0);
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as the flight is dropped"]
pub struct Flight {
    job: Job,
}

impl Flight {
    /// Whether the drain waits for the work. False if it began after finalization had begun.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.job.is_counted()
    }

    /// Runs one poll as this work, so that a force spares the work while the poll waits in a [shield](crate::Shutdown::shield).
    ///
    /// # Cancel safety
    ///
    /// Dropping the polled future does not end the flight; drop the flight too.
    pub fn poll<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        self.job.poll(poll)
    }

    /// Ends the work as completed.
    pub fn complete(mut self) {
        self.job.ended(None);
    }

    /// Ends the work with a panic, which is logged and reported. It does not change the exit status.
    pub fn panicked(mut self, payload: &(dyn Any + Send)) {
        self.job.panicked(payload);
    }
}
