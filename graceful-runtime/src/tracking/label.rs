//! What a piece of work is called, and how it is ended.

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::model::{
    panics::quietly,
    report::{Kind, Straggler},
    sanitize,
};

/// Where tracked work is, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// What the user calls it; otherwise it is named after the place.
    pub(crate) name: Option<Name>,
    pub(crate) location: &'static Location<'static>,
}

/// A name, spelled out when it is asked for. That may be the user's code: not under a lock.
#[derive(Clone)]
pub(crate) enum Name {
    Text(Arc<dyn fmt::Display + Send + Sync>),
    /// Of what carries the work, which also ends it.
    Carrier(Arc<dyn Carrier>),
}

/// What carries out work by its own means, and can name it and end it: see [`Flights::begin_on`](crate::Flights::begin_on).
pub trait Carrier: fmt::Display + Send + Sync + 'static {
    /// A force asks for the end of the work. It may be called from any thread, and more than once; it must not block.
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
    /// The name as it is shown, escaped and cut.
    pub(crate) fn name(&self) -> String {
        let at = self.location;
        let place = || format!("{}:{}", at.file(), at.line());
        let spell = |name: &Name| quietly(|| sanitize::name(name).spell().ok()).flatten();
        self.name.as_ref().and_then(spell).unwrap_or_else(place)
    }

    pub(crate) fn straggler(&self, age: Duration) -> Straggler {
        let Self { kind, location, .. } = *self;
        Straggler { name: self.name(), kind, age, location }
    }
}

/// How a piece of work is ended from outside.
#[derive(Clone)]
pub(crate) enum Abort {
    /// A task of tokio.
    Task(AbortHandle),
    /// A future that the main thread polls.
    Local(CancellationToken),
    /// What carries the work ends it.
    Carrier(Arc<dyn Carrier>),
    /// It cannot be: a thread, a future that something else polls.
    Impossible,
}

impl Abort {
    pub(crate) fn abort(self) {
        match self {
            Self::Task(handle) => handle.abort(),
            Self::Local(token) => token.cancel(),
            // User code, whose panic must not end the force.
            Self::Carrier(carrier) => drop(quietly(|| carrier.cut())),
            Self::Impossible => {}
        }
    }
}
