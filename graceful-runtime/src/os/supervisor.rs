//! The supervisor: a thread that owns the signals and the last deadline, and that user code cannot block.
//!
//! ```text
//!  signal handlers ─┬─► socket ─► driver: every signal
//!                   └─► socket ─┐   ▲ signals for which the driver's socket was full
//!  program ─────────────────────┴─► supervisor ─► _exit: an exit signal, or the last deadline
//! ```
//!
//! Each message is one [record](record) of fixed size on one socket. So a signal handler only writes to sockets and sets bits, and the thread needs neither
//! a lock nor an allocation.
//!
//! # Invariants
//!
//! 1. The thread allocates nothing, takes no lock and performs no blocking write.
//! 2. The deadline counts from the arrival of the first signal that requests a stop, or from an earlier request. It may move to an earlier time, never to a later one.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use crate::{
    model::signal::{Role, Signal},
    os::{
        supervisor::record::Record,
        sys::{self, SignalRecord},
    },
};

mod handle;
mod record;

pub(crate) use handle::SupervisorHandle;
pub(crate) use record::LENGTH;

/// A supervisor whose signal handlers are installed and whose thread is not running yet. Signals that arrive meanwhile wait in its sockets.
#[derive(Debug)]
pub(crate) struct PendingSupervisor {
    handle: SupervisorHandle,
    records: UnixStream,
    signals: UnixStream,
    roles: Vec<(Signal, Role)>,
}

impl PendingSupervisor {
    /// Installs the signal handlers, except for signals that were ignored when the program was started. Signals with a role are unblocked from then on.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, which names the signal if a handler cannot be installed.
    pub(crate) fn new(roles: Vec<(Signal, Role)>) -> io::Result<Self> {
        let (records, socket) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let (signals, relay) = UnixStream::pair()?;
        relay.set_nonblocking(true)?;
        signals.set_nonblocking(true)?;
        let handle = SupervisorHandle::new(socket, relay);
        let handled = roles.iter().copied().filter(|&(signal, _)| !sys::is_ignored(signal));
        let handled: Vec<_> = handled.collect();
        let install = |&(signal, role): &(Signal, Role)| {
            let handle = handle.clone();
            sys::on_signal(signal, move |arrival| handle.arrived(arrival, role)).map(drop).map_err(
                |error| io::Error::new(error.kind(), format!("cannot handle {signal}: {error}")),
            )
        };
        let blocked: Vec<_> = handled.iter().map(|&(signal, _)| signal).collect();
        sys::with_blocked(&blocked, || handled.iter().try_for_each(install))?;
        Ok(Self { handle, records, signals, roles })
    }

    pub(crate) fn inbox(&self) -> SupervisorHandle {
        self.handle.clone()
    }

    /// Starts the thread. `until_last_exit` is the time from the arrival of a signal to the last exit; `None` for a paused clock.
    ///
    /// Returns the receiver for the driver, and the error if the system has no thread left.
    pub(crate) fn start(
        self,
        until_last_exit: Option<Duration>,
    ) -> (SignalReceiver, io::Result<()>) {
        let Self { handle, records, signals, roles } = self;
        let receiver = SignalReceiver { socket: signals, roles: roles.clone() };
        let supervisor = Supervisor { handle, records, roles, until_last_exit, last_exit: None };
        let thread = thread::Builder::new().name("graceful-supervisor".to_owned());
        (receiver, thread.spawn(|| supervisor.run()).map(drop))
    }
}

#[derive(Debug)]
struct Supervisor {
    handle: SupervisorHandle,
    records: UnixStream,
    roles: Vec<(Signal, Role)>,
    until_last_exit: Option<Duration>,
    /// Invariant 2.
    last_exit: Option<Duration>,
}

impl Supervisor {
    fn run(mut self) {
        let mut buffer = [0; 64 * LENGTH];
        loop {
            let read = self.records.read(&mut buffer).unwrap_or(0);
            for bytes in buffer[..read].chunks_exact(LENGTH) {
                self.handle(Record::from_bytes(bytes));
            }
            // Acquire: pairs with the Release in `SupervisorHandle::arrived`.
            let lost = self.handle.lost.swap(0, Ordering::Acquire);
            for number in (1..64).filter(|number| lost & (1 << number) != 0) {
                self.handle(Record::Signal { number, sender: 0, at: sys::now() });
            }
            let is_driver_behind = self.relay_again();
            let now = sys::now();
            let left = self.last_exit.map(|at| at.saturating_sub(now));
            if left.is_some_and(|left| left.is_zero()) {
                sys::exit_now(self.handle.exit_status());
            }
            // The timer of a read is coarse: it may be late by an eighth of its length. So this waits for half of the time, again and again.
            let half = left.map(|left| left / 2);
            let wait = half.into_iter().chain(is_driver_behind.then_some(SOON)).min();
            // The system refuses a time-out of zero.
            drop(
                self.records.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1)))),
            );
        }
    }

    /// Passes to the driver the signals for which its socket was full. Returns whether it is still full.
    fn relay_again(&self) -> bool {
        // Acquire: pairs with the Release in `SupervisorHandle::arrived`.
        let unsent = self.handle.unsent.swap(0, Ordering::Acquire);
        let is_refused = |&number: &u8| {
            let record = Record::Signal { number, sender: 0, at: sys::now() };
            (&*self.handle.relay).write(&record.to_bytes()).is_err()
        };
        let still = (1..64).filter(|number| unsent & (1 << number) != 0).filter(is_refused);
        let still = still.fold(0, |bits, number| bits | 1 << number);
        // Relaxed: only this thread reads the bits.
        self.handle.unsent.fetch_or(still, Ordering::Relaxed);
        still > 0
    }

    fn handle(&mut self, record: Record) {
        match record {
            Record::Signal { number, at, .. } => match self.role(number) {
                Some(Role::Exit) => sys::exit_now(128 + number),
                Some(Role::Stop | Role::Force) => self.stop_requested(number, at),
                Some(Role::Reload) | None => {}
            },
            Record::LastExit(at) => {
                self.last_exit = Some(self.last_exit.map_or(at, |earlier| earlier.min(at)));
            }
        }
    }

    fn role(&self, number: u8) -> Option<Role> {
        let found = self.roles.iter().find(|(signal, _)| signal.number() == i32::from(number));
        found.map(|&(_, role)| role)
    }

    fn stop_requested(&mut self, number: u8, at: Duration) {
        if let (None, Some(until_last_exit)) = (self.last_exit, self.until_last_exit) {
            self.last_exit = Some(at + until_last_exit);
            self.handle.set_default_status(128 + number);
        }
    }
}

/// The end of the socket from which the driver reads the signals.
#[derive(Debug)]
pub(crate) struct SignalReceiver {
    pub(crate) socket: UnixStream,
    pub(crate) roles: Vec<(Signal, Role)>,
}

impl SignalReceiver {
    /// Decodes one record that the driver has read; `None` if it is no signal with a role.
    pub(crate) fn decode(roles: &[(Signal, Role)], bytes: &[u8]) -> Option<(SignalRecord, Role)> {
        let Record::Signal { number, sender, at } = Record::from_bytes(bytes) else {
            return None;
        };
        let &(signal, role) =
            roles.iter().find(|(signal, _)| signal.number() == i32::from(number))?;
        Some((SignalRecord { signal, sender: (sender > 0).then_some(sender), at }, role))
    }
}

/// How soon the supervisor tries again to pass signals to a driver whose socket is full.
const SOON: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn hup() -> SignalRecord {
        SignalRecord { signal: Signal::HUP, sender: None, at: Duration::ZERO }
    }

    /// G12: a handler only writes to sockets and sets bits.
    #[test]
    fn a_signal_that_finds_the_socket_full_is_remembered() {
        let pending = PendingSupervisor::new(Vec::new()).unwrap();
        while pending.handle.lost.load(Ordering::Acquire) == 0 {
            pending.handle.arrived(hup(), Role::Reload);
        }
        pending.handle.arrived(SignalRecord { signal: Signal::TERM, ..hup() }, Role::Stop);
        let expected = 1 << Signal::HUP.number() | 1 << Signal::TERM.number();
        assert_eq!(pending.handle.lost.load(Ordering::Acquire), expected);
    }

    /// G12: a driver whose socket was full gets the signal as soon as the socket has room.
    #[test]
    fn a_signal_that_finds_the_driver_full_is_sent_later() {
        let PendingSupervisor { handle, records, mut signals, roles } =
            PendingSupervisor::new(Vec::new()).unwrap();
        while handle.unsent.load(Ordering::Acquire) == 0 {
            handle.arrived(hup(), Role::Reload);
        }
        let supervisor =
            Supervisor { handle, records, roles, until_last_exit: None, last_exit: None };
        assert!(supervisor.relay_again(), "the socket is still full");
        let mut bytes = [0; LENGTH];
        while signals.read(&mut bytes).is_ok() {}
        assert!(!supervisor.relay_again());
        signals.read_exact(&mut bytes).unwrap();
        let Record::Signal { number, .. } = Record::from_bytes(&bytes) else { panic!() };
        assert_eq!(i32::from(number), Signal::HUP.number());
    }
}
