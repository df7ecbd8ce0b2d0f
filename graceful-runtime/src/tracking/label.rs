//! The name of a piece of work, and the way to abort it.

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::model::{
    panics::quietly,
    report::{Kind, Straggler},
    sanitize,
};

/// The kind, name and call site of a piece of work.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// The name that the user gave. Without one, the call site is the name.
    pub(crate) name: Option<Name>,
    pub(crate) location: &'static Location<'static>,
}

/// A name, formatted when it is needed. Formatting may be user code, so it must not happen under a lock.
#[derive(Clone)]
pub(crate) enum Name {
    Text(Arc<dyn fmt::Display + Send + Sync>),
    /// The carrier of the work names it and aborts it.
    Carrier(Arc<dyn Carrier>),
}

/// Names and aborts work that the program carries out by its own means: see [`Flights::begin_on`](crate::Flights::begin_on).
///
/// The `Display` implementation is the name of the work in logs and in the [`Report`](crate::Report).
pub trait Carrier: fmt::Display + Send + Sync + 'static {
    /// Aborts the work: a force calls this. It may be called from any thread, and more than once, and must not block.
    fn cut(&self);
}

impl Name {
    pub(crate) fn new(name: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self::Text(Arc::new(name))
    }

    pub(crate) fn carrier(&self) -> Option<&Arc<dyn Carrier>> {
        match self {
            Self::Text(_) => None,
            Self::Carrier(carrier) => Some(carrier),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(name) => name.fmt(f),
            Self::Carrier(carrier) => carrier.fmt(f),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(..)")
    }
}

impl Label {
    /// The name as it is shown: escaped and truncated. This may run user code.
    pub(crate) fn name(&self) -> String {
        let at = self.location;
        let place = || format!("{}:{}", at.file(), at.line());
        let spell = |name: &Name| quietly(|| sanitize::name(name).spell().ok()).flatten();
        self.name.as_ref().and_then(spell).unwrap_or_else(place)
    }

    /// The public form of the label. This may run user code.
    pub(crate) fn straggler(&self, age: Duration) -> Straggler {
        let Self { kind, location, .. } = *self;
        Straggler { name: self.name(), kind, age, location }
    }
}

/// The way to abort a piece of work.
#[derive(Clone)]
pub(crate) enum Abort {
    /// A task of tokio.
    Task(AbortHandle),
    /// A future that the main thread polls.
    Local(CancellationToken),
    /// The carrier aborts the work.
    Carrier(Arc<dyn Carrier>),
    /// There is none: a thread, or a future that something else polls.
    Impossible,
}

impl Abort {
    pub(crate) fn abort(self) {
        match self {
            Self::Task(handle) => handle.abort(),
            Self::Local(token) => token.cancel(),
            // This is user code, and its panic must not end the force.
            Self::Carrier(carrier) => drop(quietly(|| carrier.cut())),
            Self::Impossible => {}
        }
    }
}
