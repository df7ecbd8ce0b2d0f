//! Reading the signals that the supervisor relays to the driver.

use std::{
    future::{pending, poll_fn},
    task::Poll,
};

use tokio::{net::UnixStream, time::Instant};

use crate::{
    model::signal::{Role, Signal},
    os::{
        supervisor::{LENGTH, SignalReceiver},
        sys,
    },
};

/// The driver's end of the supervisor's socket.
pub(super) struct Signals {
    /// `None` in a test, which has no real signals, and if the runtime could not register the socket.
    socket: Option<UnixStream>,
    roles: Vec<(Signal, Role)>,
}

/// A signal that arrived.
pub(super) struct Arrived {
    pub(super) signal: Signal,
    pub(super) sender: Option<u32>,
    pub(super) role: Role,
    pub(super) at: Instant,
}

impl Signals {
    pub(super) fn new(receiver: Option<SignalReceiver>) -> Self {
        let (socket, roles) = match receiver {
            Some(SignalReceiver { socket, roles }) => (UnixStream::from_std(socket).ok(), roles),
            None => (None, Vec::new()),
        };
        Self { socket, roles }
    }

    /// Reads the records of signals that have arrived. Waits forever if there is no socket.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the read and the return are one step.
    pub(super) async fn read(&self) -> Vec<u8> {
        let Some(socket) = &self.socket else { return pending().await };
        poll_fn(|cx| {
            let mut bytes = vec![0; 64 * LENGTH];
            while socket.poll_read_ready(cx).is_ready() {
                if let Ok(read) = socket.try_read(&mut bytes) {
                    bytes.truncate(read);
                    return Poll::Ready(bytes);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Decodes records, with the arrival of each signal on the driver's clock.
    pub(super) fn decode(&self, bytes: &[u8]) -> impl Iterator<Item = Arrived> {
        bytes.chunks_exact(LENGTH).filter_map(|record| {
            let (record, role) = SignalReceiver::decode(&self.roles, record)?;
            let (now, age) = (Instant::now(), sys::now().saturating_sub(record.at));
            let at = now.checked_sub(age).unwrap_or(now);
            Some(Arrived { signal: record.signal, sender: record.sender, role, at })
        })
    }
}
