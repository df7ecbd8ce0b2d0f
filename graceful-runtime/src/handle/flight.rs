//! One piece of work in flight that something else runs, and that moves: from a future into a stream, say.

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

/// Where flights of one kind begin. [`Shutdown::flights`] makes it.
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

    /// Begins a piece of work. `name` is spelled out when somebody asks for it, so it should not say more than what the work was at its
    /// begin; a force cancels `cut`, upon which whoever holds the flight has to drop it.
    ///
    /// The work belongs to running work, as that of a [`Guard`](crate::Guard) does: it is let in until finalization begins. After that
    /// the flight does not [count](Flight::is_counted), and a warning is logged.
    ///
    /// ```
    /// # use graceful::{CancellationToken, Shutdown};
    /// # async fn f(shutdown: Shutdown, answer: impl Future<Output = ()>) {
    /// let flights = shutdown.flights("query");
    /// let cut = CancellationToken::new();
    /// let flight = flights.begin("SELECT 1", cut.clone());
    /// if cut.run_until_cancelled(answer).await.is_some() {
    ///     flight.complete();
    /// } // otherwise it is dropped, and a straggler
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

    /// The same for work that something carries out which is there anyway, names it and can end it, such as a connection that answers one request at
    /// a time: nothing is allocated for the flight. The carrier's `Display` is the name, for as long as the work is in flight or may be reported.
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

/// One piece of work in flight that a program runs by its own means, such as a request that a server polls inside of its connection.
///
/// Unlike a [`Guard`](crate::Guard) it has a name, and a force can end it. Unlike a task it is nobody's future: it goes along with the
/// value that holds it, from a future into the body that the future gave. [`Flights::begin`] begins one.
///
/// The drain waits until it is [complete](Self::complete). Dropped before, it was cut short: after a force that makes it a straggler.
/// Either may happen on any thread, on any runtime or none.
///
/// Not `Clone`: it ends once.
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as the flight is dropped"]
pub struct Flight {
    job: Job,
}

impl Flight {
    /// Whether the work counts: it does not if it began after finalization had.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.job.is_counted()
    }

    /// Runs one poll as this work: a force does not cut it while it waits in a [shield](Shutdown::shield).
    pub fn poll<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        self.job.poll(poll)
    }

    /// The work has come to its end.
    pub fn complete(mut self) {
        self.job.ended(None);
    }

    /// The work has ended with a panic, which is logged and reported. It does not change the exit status.
    pub fn panicked(mut self, payload: &(dyn Any + Send)) {
        self.job.panicked(payload);
    }
}
