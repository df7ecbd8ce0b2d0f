//! What a piece of work is called, and how it is ended.

use std::{panic::Location, time::Duration};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::report::{Kind, Straggler};

/// Where tracked work is, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// What the user calls it; otherwise it is named after the place.
    pub(crate) name: Option<Box<str>>,
    pub(crate) location: &'static Location<'static>,
}

impl Label {
    pub(crate) fn name(&self) -> String {
        let at = self.location;
        let place = || format!("{}:{}", at.file(), at.line());
        self.name.as_deref().map_or_else(place, str::to_owned)
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
