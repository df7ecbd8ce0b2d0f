//! What a piece of work is called, and how it is ended.

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    report::{Kind, Straggler},
    shown,
    work::quietly,
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
pub(crate) struct Name(Arc<dyn fmt::Display + Send + Sync>);

impl Name {
    pub(crate) fn new(name: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self(Arc::new(name))
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
        let spell = |Name(name): &Name| quietly(|| shown::name(name).spell().ok()).flatten();
        self.name.as_ref().and_then(spell).unwrap_or_else(place)
    }

    pub(crate) fn straggler(&self, age: Duration) -> Straggler {
        let Self { kind, location, .. } = *self;
        Straggler { name: self.name(), kind, age, location }
    }
}

/// How a piece of work is ended from outside.
#[derive(Clone, Debug)]
pub(crate) enum Abort {
    /// A task of tokio.
    Task(AbortHandle),
    /// A future that the main thread polls.
    Local(CancellationToken),
    /// It cannot be: a thread, a future that something else polls.
    Impossible,
}

impl Abort {
    pub(crate) fn abort(self) {
        match self {
            Self::Task(handle) => handle.abort(),
            Self::Local(token) => token.cancel(),
            Self::Impossible => {}
        }
    }
}
