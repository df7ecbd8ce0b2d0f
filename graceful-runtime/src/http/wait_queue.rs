//! Connections that were accepted at the start of the drain and wait for a place.

use std::sync::Arc;

use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::Instant,
};

use super::{connection_task::Accepted, listener::Listener};

/// A connection that was accepted and has no place yet.
pub(super) struct Waiting<L: Listener> {
    pub(super) handshake: L::Handshake,
    pub(super) peer: L::Address,
    /// When it was accepted.
    pub(super) since: Instant,
}

/// The waiting connections, in the order in which they were accepted. Dropping the queue logs how many did not get a place.
pub(super) struct WaitQueue<L: Listener> {
    next: Option<Waiting<L>>,
    later: UnboundedReceiver<Waiting<L>>,
}

impl<L: Listener> WaitQueue<L> {
    pub(super) fn new() -> (UnboundedSender<Waiting<L>>, Self) {
        let (sender, later) = unbounded_channel();
        (sender, Self { next: None, later })
    }

    /// Gives each connection a place, until the queue is empty and its sender is dropped.
    pub(super) async fn serve(
        mut self,
        places: &Arc<Semaphore>,
        start: &mut impl FnMut(Accepted<L>),
    ) {
        while let Some(waiting) = self.later.recv().await {
            // In `self`, so that it is counted if this future is dropped while it waits.
            self.next = Some(waiting);
            let permit = Arc::clone(places).acquire_owned().await;
            if let (Ok(permit), Some(waiting)) = (permit, self.next.take()) {
                let Waiting { handshake, peer, since } = waiting;
                start(Accepted { handshake, peer, permit, since });
            }
        }
    }
}

impl<L: Listener> Drop for WaitQueue<L> {
    fn drop(&mut self) {
        let count = self.later.len() + usize::from(self.next.is_some());
        if count > 0 {
            tracing::warn!(target: "graceful", count, "connections are closed without being served: they waited for a place until the drain ended");
        }
    }
}
