//! Ways to have tasks that one can tell to end, and wait for.

use std::{convert::Infallible, error::Error, future::pending, sync::Arc, time::Duration};

use async_shutdown::ShutdownManager;
use graceful::Shutdown;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::measured::{Crowd, here, measure};

pub(super) struct Ours(pub(super) Shutdown);

impl Crowd for Ours {
    fn one_more(&mut self) {
        let shutdown = self.0.clone();
        self.0.spawn(async move {
            here();
            shutdown.requested().await;
        });
    }

    fn tell(&mut self) {
        self.0.request("told");
    }

    async fn gone(&mut self) {
        self.0.drained().await;
    }
}

/// In a scope, because a force of the whole program ends `main` too.
pub(super) struct OursAborted(Shutdown);

impl OursAborted {
    #[expect(clippy::needless_pass_by_value, reason = "made like the others")]
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self(shutdown.scope("crowd"))
    }
}

impl Crowd for OursAborted {
    fn one_more(&mut self) {
        self.0.spawn(deaf());
    }

    fn tell(&mut self) {
        self.0.force("aborted");
    }

    async fn gone(&mut self) {
        self.0.drained().await;
    }
}

/// Eight of its bytes a task are the handle's.
#[derive(Default)]
pub(super) struct Aborted(Vec<AbortHandle>);

impl Crowd for Aborted {
    fn one_more(&mut self) {
        self.0.push(tokio::spawn(deaf()).abort_handle());
    }

    fn tell(&mut self) {
        self.0.drain(..).for_each(|task| task.abort());
    }

    async fn gone(&mut self) {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[derive(Default)]
pub(super) struct SetAborted(JoinSet<()>);

impl Crowd for SetAborted {
    fn one_more(&mut self) {
        self.0.spawn(deaf());
    }

    fn tell(&mut self) {
        self.0.abort_all();
    }

    async fn gone(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

async fn deaf() {
    here();
    pending::<()>().await;
}

#[derive(Default)]
pub(super) struct Children {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Crowd for Children {
    fn one_more(&mut self) {
        let token = self.token.child_token();
        self.tracker.spawn(async move {
            here();
            token.cancelled().await;
        });
    }

    fn tell(&mut self) {
        self.tracker.close();
        self.token.cancel();
    }

    async fn gone(&mut self) {
        self.tracker.wait().await;
    }
}

#[derive(Default)]
pub(super) struct Cloned {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Crowd for Cloned {
    fn one_more(&mut self) {
        let token = self.token.clone();
        self.tracker.spawn(async move {
            here();
            token.cancelled().await;
        });
    }

    fn tell(&mut self) {
        self.tracker.close();
        self.token.cancel();
    }

    async fn gone(&mut self) {
        self.tracker.wait().await;
    }
}

#[derive(Default)]
pub(super) struct Watching {
    tracker: TaskTracker,
    told: watch::Sender<()>,
}

impl Crowd for Watching {
    fn one_more(&mut self) {
        let mut told = self.told.subscribe();
        self.tracker.spawn(async move {
            here();
            told.changed().await.expect("the sender lives");
        });
    }

    fn tell(&mut self) {
        self.tracker.close();
        self.told.send_replace(());
    }

    async fn gone(&mut self) {
        self.tracker.wait().await;
    }
}

#[derive(Default)]
pub(super) struct Notified {
    tracker: TaskTracker,
    told: Arc<Notify>,
}

impl Crowd for Notified {
    fn one_more(&mut self) {
        let told = Arc::clone(&self.told);
        self.tracker.spawn(async move {
            here();
            told.notified().await;
        });
    }

    fn tell(&mut self) {
        self.tracker.close();
        self.told.notify_waiters();
    }

    async fn gone(&mut self) {
        self.tracker.wait().await;
    }
}

/// tokio-graceful. `None` once it has happened.
pub(super) struct Guarded {
    shutdown: Option<tokio_graceful::Shutdown>,
    tell: Option<oneshot::Sender<()>>,
}

impl Guarded {
    pub(super) fn new() -> Self {
        let (tell, told) = oneshot::channel::<()>();
        Self { shutdown: Some(tokio_graceful::Shutdown::new(told)), tell: Some(tell) }
    }
}

impl Crowd for Guarded {
    fn one_more(&mut self) {
        self.shutdown.as_ref().expect("not waited for yet").spawn_task_fn(async |guard| {
            here();
            guard.cancelled().await;
        });
    }

    fn tell(&mut self) {
        drop(self.tell.take());
    }

    async fn gone(&mut self) {
        self.shutdown.take().expect("waited for once").shutdown().await;
    }
}

/// async-shutdown.
pub(super) struct Delayed(ShutdownManager<()>);

impl Delayed {
    pub(super) fn new() -> Self {
        Self(ShutdownManager::new())
    }
}

impl Crowd for Delayed {
    fn one_more(&mut self) {
        let delay = self.0.delay_shutdown_token().expect("not told yet");
        let told = self.0.wait_shutdown_triggered();
        tokio::spawn(async move {
            let _delay = delay;
            here();
            told.await;
        });
    }

    fn tell(&mut self) {
        self.0.trigger_shutdown(()).expect("told once");
    }

    async fn gone(&mut self) {
        self.0.wait_shutdown_complete().await;
    }
}

/// tokio-graceful-shutdown.
pub(super) struct Subsystems<'a>(&'a mut SubsystemHandle);

impl Subsystems<'_> {
    /// Only a subsystem can start others.
    pub(super) async fn measure(tasks: usize) {
        Toplevel::<Box<dyn Error + Send + Sync>>::new(async move |root: &mut SubsystemHandle| {
            measure(&mut Subsystems(root), tasks).await;
        })
        .handle_shutdown_requests(Duration::from_secs(60))
        .await
        .expect("none fails");
    }
}

impl Crowd for Subsystems<'_> {
    fn one_more(&mut self) {
        let one = async |handle: &mut SubsystemHandle| {
            here();
            handle.on_shutdown_requested().await;
            Ok::<_, Infallible>(())
        };
        self.0.start(SubsystemBuilder::new("one", one));
    }

    fn tell(&mut self) {
        self.0.request_shutdown();
    }

    async fn gone(&mut self) {
        self.0.wait_for_children().await;
    }
}
