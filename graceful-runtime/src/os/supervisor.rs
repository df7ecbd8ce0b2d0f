//! The thread that owns signals and the last deadline, and that nothing can block.
//!
//! ```text
//!  signal handlers ─┬─► socket ─► driver: every arrival
//!                   └─► socket ─┐   ▲ what there was no room for
//!  program ─────────────────────┴─► supervisor ─► _exit: an exit signal, or the last deadline
//! ```
//!
//! Everything that reaches it is one record of fixed size on one socket, so that a handler does nothing but write, and the thread
//! needs neither a lock nor an allocation.
//!
//! # Invariants
//!
//! 1. The thread allocates nothing, takes no lock and writes nothing that can block.
//! 2. The deadline counts from the arrival of the first signal that asks for a stop, or from an earlier request; it never moves.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    model::signal::{Role, Signal},
    os::sys::{self, SignalRecord},
};

/// The way in, for handlers and for the program.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorHandle {
    socket: Arc<UnixStream>,
    /// To the driver, for arrivals.
    relay: Arc<UnixStream>,
    /// A bit for each signal that the driver has still to be told of, because there was no room on its socket.
    unsent: Arc<AtomicU64>,
    /// A bit for each signal for which there was no room on the socket, as when a storm of another signal comes faster than
    /// the thread gets a processor. An atomic, because a handler can use nothing else.
    lost: Arc<AtomicU64>,
    /// A signal that asks for a stop has arrived; set first of all, so that nobody goes on as if it had not.
    asked: Arc<AtomicBool>,
    /// What to leave with, should the last exit be taken: the last word of the program, for which nobody has to wake up.
    status: Arc<AtomicI32>,
}

/// What the supervisor is told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Record {
    /// A signal came: number, sender or 0, time.
    SignalRecord(u8, u32, Duration),
    /// A stop was requested; leave at this time on the clock of [`sys::now`].
    LastExit(Duration),
}

/// The handlers are in place; the thread is not running yet, and what comes meanwhile waits.
#[derive(Debug)]
pub(crate) struct PendingSupervisor {
    inbox: SupervisorHandle,
    records: UnixStream,
    arrivals: UnixStream,
    roles: Vec<(Signal, Role)>,
}

impl PendingSupervisor {
    /// Puts the handlers in place, except for signals that the program was started with ignored. The others are not blocked from then on.
    ///
    /// # Errors
    ///
    /// What the system says, with the signal that it says it of.
    pub(crate) fn new(roles: Vec<(Signal, Role)>) -> io::Result<Self> {
        let (records, socket) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let (arrivals, relay) = UnixStream::pair()?;
        relay.set_nonblocking(true)?;
        arrivals.set_nonblocking(true)?;
        let inbox = SupervisorHandle {
            socket: Arc::new(socket),
            relay: Arc::new(relay),
            unsent: Arc::default(),
            lost: Arc::default(),
            asked: Arc::default(),
            status: Arc::new(AtomicI32::new(UNSAID)),
        };
        let heard = roles.iter().copied().filter(|&(signal, _)| !sys::is_ignored(signal));
        let heard: Vec<_> = heard.collect();
        let register = |&(signal, role): &(Signal, Role)| {
            let inbox = inbox.clone();
            sys::on_signal(signal, move |arrival| inbox.arrived(arrival, role)).map(drop).map_err(
                |error| io::Error::new(error.kind(), format!("cannot handle {signal}: {error}")),
            )
        };
        let signals: Vec<_> = heard.iter().map(|&(signal, _)| signal).collect();
        sys::held_back(&signals, || heard.iter().try_for_each(register))?;
        Ok(Self { inbox, records, arrivals, roles })
    }

    pub(crate) fn inbox(&self) -> SupervisorHandle {
        self.inbox.clone()
    }

    /// Starts the thread; `whole` is what is left from a signal's arrival to the last exit, `None` for a paused clock.
    /// Returns where the driver reads the arrivals, and whether the system had a thread.
    pub(crate) fn start(self, whole: Option<Duration>) -> (SignalReceiver, io::Result<()>) {
        let Self { inbox, records, arrivals, roles } = self;
        let known = roles.clone();
        let supervisor = Supervisor { inbox, records, roles, whole, last_exit: None };
        let thread = thread::Builder::new().name("graceful-supervisor".to_owned());
        let started = thread.spawn(|| supervisor.run()).map(drop);
        (SignalReceiver { socket: arrivals, roles: known }, started)
    }
}

impl SupervisorHandle {
    /// Called inside a signal handler.
    fn arrived(&self, arrival: SignalRecord, role: Role) {
        if matches!(role, Role::Stop | Role::Force) {
            // Release: pairs with the Acquire in `is_asked`.
            self.asked.store(true, Ordering::Release);
        }
        let number = arrival.signal.number().unsigned_abs() as u8;
        let record = Record::SignalRecord(number, arrival.sender.unwrap_or(0), arrival.at);
        let bit = 1 << (number % 64);
        // The driver first: it is the one that is waited for.
        if (&*self.relay).write(&record.to_bytes()).is_err() {
            // Release: pairs with the Acquire in `Supervisor::relay_again`.
            self.unsent.fetch_or(bit, Ordering::Release);
        }
        let sent = || (&*self.socket).write(&record.to_bytes()).is_ok();
        if !sent() {
            // Release: pairs with the Acquire in `Supervisor::run`; the bit carries all there is to know.
            self.lost.fetch_or(bit, Ordering::Release);
            // Emptied meanwhile, the socket would wake nobody for the bit.
            if sent() {
                // Relaxed: nothing else is read or written by it; taken twice, it is the same wish.
                self.lost.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// Whether a signal that asks for a stop has arrived; the driver may not have seen it yet, but will.
    pub(crate) fn is_asked(&self) -> bool {
        // Acquire: pairs with the Release in `arrived`.
        self.asked.load(Ordering::Acquire)
    }

    /// Lets the last exit be taken at `at`, unless an earlier request has set one.
    pub(crate) fn last_exit(&self, at: Duration) {
        self.send(Record::LastExit(at));
    }

    /// Sets what the last exit leaves with.
    pub(crate) fn status(&self, status: u8) {
        // Relaxed: nothing else is read by it.
        self.status.store(i32::from(status), Ordering::Relaxed);
    }

    fn send(&self, record: Record) {
        // A full socket is emptied by the supervisor as fast as it gets a processor; a closed one by nobody.
        while (&*self.socket)
            .write(&record.to_bytes())
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        {
            thread::yield_now();
        }
    }
}

#[derive(Debug)]
struct Supervisor {
    inbox: SupervisorHandle,
    records: UnixStream,
    roles: Vec<(Signal, Role)>,
    whole: Option<Duration>,
    last_exit: Option<Duration>,
}

impl Supervisor {
    fn run(mut self) {
        let mut buffer = [0; 64 * LENGTH];
        loop {
            let read = self.records.read(&mut buffer).unwrap_or(0);
            for bytes in buffer[..read].chunks_exact(LENGTH) {
                self.take(Record::from_bytes(bytes));
            }
            // Acquire: pairs with the Release in `SupervisorHandle::arrived`.
            let lost = self.inbox.lost.swap(0, Ordering::Acquire);
            for number in (1..64).filter(|number| lost & (1 << number) != 0) {
                self.take(Record::SignalRecord(number, 0, sys::now()));
            }
            let is_behind = self.relay_again();
            let now = sys::now();
            let left = self.last_exit.map(|at| at.saturating_sub(now));
            if left.is_some_and(|left| left.is_zero()) {
                sys::exit_now(self.status());
            }
            // The system's timer for this is coarse: it may be late by an eighth of its length. So half of it at a time.
            let wait = left.map(|left| left / 2).into_iter().chain(is_behind.then_some(SOON)).min();
            // Zero is refused as a time-out, and would mean none.
            drop(
                self.records.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1)))),
            );
        }
    }

    /// Tells the driver what a handler found no room for. Returns whether there is none still.
    fn relay_again(&self) -> bool {
        // Acquire: pairs with the Release in `SupervisorHandle::arrived`.
        let unsent = self.inbox.unsent.swap(0, Ordering::Acquire);
        let is_full = |number: &u8| {
            let record = Record::SignalRecord(*number, 0, sys::now());
            (&*self.inbox.relay).write(&record.to_bytes()).is_err()
        };
        let still = (1..64).filter(|number| unsent & (1 << number) != 0).filter(is_full);
        let still = still.fold(0, |bits, number| bits | 1 << number);
        // Relaxed: it is this thread that reads it.
        self.inbox.unsent.fetch_or(still, Ordering::Relaxed);
        still > 0
    }

    /// What a signal that begins a stop comes to, unless the program has said more already.
    fn say_for_the_program(&self, status: u8) {
        // Relaxed: as in `SupervisorHandle::status`; where the program was faster, its word stays.
        let (said, relaxed) = (i32::from(status), Ordering::Relaxed);
        let _ = self.inbox.status.compare_exchange(UNSAID, said, relaxed, relaxed);
    }

    fn status(&self) -> u8 {
        // Relaxed: as in `SupervisorHandle::status`.
        u8::try_from(self.inbox.status.load(Ordering::Relaxed)).unwrap_or(1)
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::SignalRecord(number, _, at) => {
                let role =
                    self.roles.iter().find(|(signal, _)| signal.number() == i32::from(number));
                match role.map(|&(_, role)| role) {
                    Some(Role::Exit) => sys::exit_now(128 + number),
                    Some(Role::Stop | Role::Force) => {
                        if let (None, Some(whole)) = (self.last_exit, self.whole) {
                            self.last_exit = Some(at + whole);
                            self.say_for_the_program(128 + number);
                        }
                    }
                    Some(Role::Reload) | None => {}
                }
            }
            Record::LastExit(at) => {
                self.last_exit = Some(self.last_exit.map_or(at, |earlier| earlier.min(at)))
            }
        }
    }
}

/// Where the driver reads what arrived.
#[derive(Debug)]
pub(crate) struct SignalReceiver {
    pub(crate) socket: UnixStream,
    pub(crate) roles: Vec<(Signal, Role)>,
}

impl SignalReceiver {
    /// What the driver has to know of the bytes that it read.
    pub(crate) fn decode(roles: &[(Signal, Role)], bytes: &[u8]) -> Option<(SignalRecord, Role)> {
        let Record::SignalRecord(number, sender, at) = Record::from_bytes(bytes) else {
            return None;
        };
        let &(signal, role) =
            roles.iter().find(|(signal, _)| signal.number() == i32::from(number))?;
        Some((SignalRecord { signal, sender: (sender > 0).then_some(sender), at }, role))
    }
}

impl Record {
    fn to_bytes(self) -> [u8; LENGTH] {
        let (kind, small, wide, time) = match self {
            Self::SignalRecord(number, sender, at) => (0, number, sender, at),
            Self::LastExit(at) => (1, 0, 0, at),
        };
        let mut bytes = [0; LENGTH];
        bytes[0] = kind;
        bytes[1] = small;
        bytes[4..8].copy_from_slice(&wide.to_ne_bytes());
        bytes[8..16].copy_from_slice(&time.as_secs().to_ne_bytes());
        bytes[16..20].copy_from_slice(&time.subsec_nanos().to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |from| bytes[from..].first_chunk().map_or(0, |&b| u32::from_ne_bytes(b));
        let seconds = bytes[8..].first_chunk().map_or(0, |&b| u64::from_ne_bytes(b));
        let time = Duration::new(seconds, number(16));
        match bytes[0] {
            0 => Self::SignalRecord(bytes[1], number(4), time),
            _ => Self::LastExit(time),
        }
    }
}

/// There is no word on the status yet.
const UNSAID: i32 = -1;

/// How soon a driver that is behind is tried again.
const SOON: Duration = Duration::from_millis(10);

/// One record on the socket. A write of it is taken whole or not at all, so that a read is always a number of whole records: Linux takes
/// each write so, other systems as much as there is room for, and that is a multiple of this power of two.
pub(crate) const LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let time = Duration::new(1 << 40, 999_999_999);
        for record in [Record::SignalRecord(31, u32::MAX, time), Record::LastExit(time)] {
            assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        }
    }

    fn hup() -> SignalRecord {
        SignalRecord { signal: Signal::HUP, sender: None, at: Duration::ZERO }
    }

    /// G12: all that a handler does is to write, or to set a bit.
    #[test]
    fn a_signal_without_room_is_remembered() {
        let latch = PendingSupervisor::new(Vec::new()).unwrap();
        while latch.inbox.lost.load(Ordering::Acquire) == 0 {
            latch.inbox.arrived(hup(), Role::Reload);
        }
        latch.inbox.arrived(SignalRecord { signal: Signal::TERM, ..hup() }, Role::Stop);
        let expected = 1 << Signal::HUP.number() | 1 << Signal::TERM.number();
        assert_eq!(latch.inbox.lost.load(Ordering::Acquire), expected);
    }

    /// G12: a driver that is behind is told as soon as it has room.
    #[test]
    fn a_signal_without_room_at_the_driver_is_told_later() {
        let PendingSupervisor { inbox, records, mut arrivals, roles } =
            PendingSupervisor::new(Vec::new()).unwrap();
        while inbox.unsent.load(Ordering::Acquire) == 0 {
            inbox.arrived(hup(), Role::Reload);
        }
        let supervisor = Supervisor { inbox, records, roles, whole: None, last_exit: None };
        assert!(supervisor.relay_again(), "there is no room still");
        let mut bytes = [0; LENGTH];
        while arrivals.read(&mut bytes).is_ok() {}
        assert!(!supervisor.relay_again());
        arrivals.read_exact(&mut bytes).unwrap();
        let Record::SignalRecord(number, ..) = Record::from_bytes(&bytes) else { panic!() };
        assert_eq!(i32::from(number), Signal::HUP.number());
    }
}
