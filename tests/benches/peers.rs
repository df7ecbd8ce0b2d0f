//! What is compared: the same step with the means of each library.

use std::sync::Arc;

use async_shutdown::{DelayShutdownToken, ShutdownManager};
use graceful::{Guard, Shutdown};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::sync::mpsc;
use tokio_graceful::ShutdownGuard;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// A way to be in flight, or to ask whether the stop was requested.
pub(crate) trait Peer: Send + Sync + 'static {
    const NAME: &'static str;

    /// What one is in flight with; leaving is dropping it.
    type Inside: Send;

    fn new(shutdown: &Shutdown) -> Self;

    fn enter(&self) -> Self::Inside;
}

macro_rules! peer {
    ($peer:ident($of:ty) $name:literal, $new:expr, $enter:expr => $inside:ty) => {
        pub(crate) struct $peer($of);

        impl Peer for $peer {
            const NAME: &'static str = $name;

            type Inside = $inside;

            fn new(shutdown: &Shutdown) -> Self {
                let new: fn(&Shutdown) -> $of = $new;
                Self(new(shutdown))
            }

            #[inline]
            fn enter(&self) -> $inside {
                let enter: fn(&$of) -> $inside = $enter;
                enter(&self.0)
            }
        }
    };
}

peer!(Nothing(()) "empty loop", |_| (), |()| () => ());
peer!(TryGuard(Shutdown) "try_guard", Clone::clone, try_guard => Guard);
peer!(AnyGuard(Shutdown) "guard", Clone::clone, Shutdown::guard => Guard);
peer!(TrackerToken(TaskTracker) "TaskTracker::token", |_| TaskTracker::new(), TaskTracker::token => TaskTrackerToken);
peer!(HyperUtil(GracefulShutdown) "hyper-util watcher", |_| GracefulShutdown::new(), GracefulShutdown::watcher => Watcher);
peer!(ArcClone(Arc<()>) "Arc clone", |_| Arc::new(()), Arc::clone => Arc<()>);
peer!(SenderClone(mpsc::Sender<()>) "mpsc::Sender clone", |_| mpsc::channel(1).0, Clone::clone => mpsc::Sender<()>);
peer!(TokioGraceful(tokio_graceful::Shutdown) "tokio-graceful guard", |_| tokio_graceful::Shutdown::no_signal(), tokio_graceful::Shutdown::guard => ShutdownGuard);
peer!(AsyncShutdown(ShutdownManager<()>) "async-shutdown delay token", |_| ShutdownManager::new(), delay => DelayShutdownToken<()>);
peer!(TokenClone(CancellationToken) "CancellationToken clone", |_| CancellationToken::new(), Clone::clone => CancellationToken);
peer!(ChildToken(CancellationToken) "child_token", |_| CancellationToken::new(), CancellationToken::child_token => CancellationToken);

peer!(IsRequested(Shutdown) "is_requested", Clone::clone, Shutdown::is_requested => bool);
peer!(IsCancelled(CancellationToken) "is_cancelled", |_| CancellationToken::new(), CancellationToken::is_cancelled => bool);

#[inline]
fn try_guard(shutdown: &Shutdown) -> Guard {
    shutdown.try_guard().expect("nothing was requested")
}

#[inline]
fn delay(manager: &ShutdownManager<()>) -> DelayShutdownToken<()> {
    manager.delay_shutdown_token().expect("nothing was requested")
}
