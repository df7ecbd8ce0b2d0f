//! The side of the supervisor that signal handlers and the program use.

use std::{
    io::{ErrorKind, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    model::signal::Role,
    os::{supervisor::record::Record, sys::SignalRecord},
};

/// Sends signals and deadlines to the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorHandle {
    /// To the supervisor.
    pub(super) socket: Arc<UnixStream>,
    /// To the driver, for signals.
    pub(super) relay: Arc<UnixStream>,
    /// A bit for each signal that the supervisor must still pass to the driver, because the driver's socket was full.
    pub(super) unsent: Arc<AtomicU64>,
    /// A bit for each signal that found the supervisor's own socket full, as in a storm of another signal while the thread gets no processor. A signal
    /// handler can use an atomic, but neither a lock nor an allocation.
    pub(super) lost: Arc<AtomicU64>,
    /// A signal that requests a stop has arrived. Set before everything else, so that `main` is not started after it.
    asked: Arc<AtomicBool>,
    /// The exit status of the last exit. The program updates it in time, so that no thread has to wake up for it then.
    status: Arc<AtomicI32>,
}

impl SupervisorHandle {
    pub(super) fn new(socket: UnixStream, relay: UnixStream) -> Self {
        Self {
            socket: Arc::new(socket),
            relay: Arc::new(relay),
            unsent: Arc::default(),
            lost: Arc::default(),
            asked: Arc::default(),
            status: Arc::new(AtomicI32::new(UNSET)),
        }
    }

    /// Passes a signal on. Called inside a signal handler.
    pub(super) fn arrived(&self, arrival: SignalRecord, role: Role) {
        if matches!(role, Role::Stop | Role::Force) {
            // Release: pairs with the Acquire in `is_asked`.
            self.asked.store(true, Ordering::Release);
        }
        let number = arrival.signal.number().unsigned_abs() as u8;
        let sender = arrival.sender.unwrap_or(0);
        let record = Record::Signal { number, sender, at: arrival.at }.to_bytes();
        let bit = 1 << (number % 64);
        // The driver first, because the program waits for it.
        if (&*self.relay).write(&record).is_err() {
            // Release: pairs with the Acquire in `Supervisor::relay_again`.
            self.unsent.fetch_or(bit, Ordering::Release);
        }
        let sent = || (&*self.socket).write(&record).is_ok();
        if !sent() {
            // Release: pairs with the Acquire in `Supervisor::run`.
            self.lost.fetch_or(bit, Ordering::Release);
            // If the supervisor has emptied its socket meanwhile, the bit alone would not wake it.
            if sent() {
                // Relaxed: the bit guards no other memory. If the supervisor has taken it, too, the signal is handled twice, which changes nothing.
                self.lost.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// Whether a signal that requests a stop has arrived. The driver may not have seen it yet, but will.
    pub(crate) fn is_asked(&self) -> bool {
        // Acquire: pairs with the Release in `arrived`.
        self.asked.load(Ordering::Acquire)
    }

    /// Sets the time of the last exit, unless an earlier request has set an earlier one.
    pub(crate) fn last_exit(&self, at: Duration) {
        self.send(Record::LastExit(at));
    }

    /// Sets the exit status of the last exit.
    pub(crate) fn status(&self, status: u8) {
        // Relaxed: the value guards no other memory.
        self.status.store(i32::from(status), Ordering::Relaxed);
    }

    /// Sets the exit status for a signal that requests a stop, unless the program has set one.
    pub(super) fn set_default_status(&self, status: u8) {
        // Relaxed: as in `status`. If the exchange fails, the program was faster, and its status stays.
        let (status, relaxed) = (i32::from(status), Ordering::Relaxed);
        let _ = self.status.compare_exchange(UNSET, status, relaxed, relaxed);
    }

    /// The exit status of the last exit; 1 if none was set.
    pub(super) fn exit_status(&self) -> u8 {
        // Relaxed: as in `status`.
        u8::try_from(self.status.load(Ordering::Relaxed)).unwrap_or(1)
    }

    fn send(&self, record: Record) {
        // The supervisor empties a full socket as soon as it gets a processor. If the socket is closed, the supervisor has ended, and the record is moot.
        while (&*self.socket)
            .write(&record.to_bytes())
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        {
            thread::yield_now();
        }
    }
}

/// No exit status was set yet.
const UNSET: i32 = -1;
