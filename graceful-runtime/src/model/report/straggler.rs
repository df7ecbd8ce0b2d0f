//! Tracked work, as it is listed.

use std::{fmt, panic::Location, time::Duration};

use crate::model::report::seconds::Seconds;

/// The kind of tracked work.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Kind {
    /// A closure on the runtime's pool of blocking threads.
    Blocking,
    /// A [`Flight`](crate::Flight), with the kind that its [`Flights`](crate::Flights) were given, such as `http`.
    Flight(&'static str),
    /// A future that something else polls: see [`Shutdown::track`](crate::Shutdown::track).
    Future,
    /// A [`Guard`](crate::Guard).
    Guard,
    /// `init`.
    Init,
    /// `main`.
    Main,
    /// The reload hook.
    Reload,
    /// A future in a [shield](crate::Shutdown::shield).
    Shield,
    /// A task of the runtime.
    Task,
    /// A thread of its own: see [`Task::spawn_thread`](crate::Task::spawn_thread).
    Thread,
}

impl Kind {
    /// Whether this is `init` or `main`, which are not counted among the work in flight.
    pub(crate) fn is_main(self) -> bool {
        matches!(self, Self::Init | Self::Main)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking => "blocking",
            Self::Flight(kind) => kind,
            Self::Future => "future",
            Self::Guard => "guard",
            Self::Init => "init",
            Self::Main => "main",
            Self::Reload => "reload",
            Self::Shield => "shield",
            Self::Task => "task",
            Self::Thread => "thread",
        })
    }
}

/// Tracked work that is in flight, or that a force had to abort or leave behind.
///
/// [`Shutdown::stragglers`](crate::Shutdown::stragglers) lists the work that is in flight now, and [`Report::stragglers`](crate::Report::stragglers) the
/// work that did not end by itself. The `Display` form is one line with all fields.
///
/// # Example
///
/// ```
/// use graceful::{Kind, Shutdown};
///
/// #[graceful::main]
/// async fn main(shutdown: Shutdown) {
///     let guard = shutdown.guard();
///     let in_flight = shutdown.stragglers();
///     for work in &in_flight {
///         println!("{} {} for {:?}, from {}", work.kind, work.name, work.age, work.location);
///     }
///     assert!(in_flight.iter().any(|work| work.kind == Kind::Guard));
///     drop(guard);
/// }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Straggler {
    /// The name that the program gave the work, otherwise the file and line of its call site. Escaped and truncated as described at
    /// [`Report`](crate::Report).
    pub name: String,
    /// The kind of the work.
    pub kind: Kind,
    /// How long the work has been in flight, or had been when it became a straggler.
    pub age: Duration,
    /// The call site that began the work.
    #[cfg_attr(feature = "serde", serde(serialize_with = "location"))]
    pub location: &'static Location<'static>,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, age, location } = self;
        match kind.to_string() {
            kind if kind == *name => write!(f, "{name} {} ({location})", Seconds(*age)),
            kind => write!(f, "{kind} {name} {} ({location})", Seconds(*age)),
        }
    }
}

#[cfg(feature = "serde")]
fn location<S: serde::Serializer>(
    location: &Location<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(location)
}
