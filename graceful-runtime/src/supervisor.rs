//! The thread that owns signals and the last deadline, and that nothing can block.
//!
//! ```text
//!  signal handlers ─┐                       ┌─► driver: every arrival, in order
//!  program ─────────┴─► socket ─► supervisor┤
//!                                           └─► _exit: an exit signal, or the last deadline
//! ```
//!
//! Everything that reaches it is one record of fixed size on one socket, so that order is kept from the handler on, a handler does
//! nothing but write, and the thread needs neither a lock nor an allocation.
//!
//! # Invariants
//!
//! 1. The thread allocates nothing, takes no lock and writes nothing that can block.
//! 2. The deadline counts from the arrival of the first signal that asks for a stop, or from an earlier request; it never moves.

use std::{
    io::{self, ErrorKind, Read, Write},
    mem,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    signal::{Role, Signal},
    sys::{self, Arrival},
};

/// The way in, for handlers and for the program.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    socket: Arc<UnixStream>,
    /// A bit for each signal for which there was no room on the socket, as when a storm of another signal comes faster than
    /// the thread gets a processor. An atomic, because a handler can use nothing else.
    lost: Arc<AtomicU64>,
}

/// What the supervisor is told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Record {
    /// A signal came: number, sender or 0, time.
    Arrival(u8, u32, Duration),
    /// A stop was requested; leave at this time on the clock of [`sys::now`].
    LastExit(Duration),
    /// What to leave with, should the last exit be taken.
    Status(u8),
}

/// The handlers are in place; the thread is not running yet, and what comes meanwhile waits.
#[derive(Debug)]
pub(crate) struct Latch {
    inbox: Inbox,
    records: UnixStream,
    roles: Vec<(Signal, Role)>,
}

impl Latch {
    /// Puts the handlers in place, except for signals that the program was started with ignored.
    ///
    /// # Errors
    ///
    /// What the system says, with the signal that it says it of.
    pub(crate) fn new(roles: Vec<(Signal, Role)>) -> io::Result<Self> {
        let (records, socket) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let inbox = Inbox { socket: Arc::new(socket), lost: Arc::default() };
        let heard = roles.iter().map(|&(signal, _)| signal).filter(|&s| !sys::is_ignored(s));
        let heard: Vec<_> = heard.collect();
        let register = |&signal: &Signal| {
            let inbox = inbox.clone();
            sys::on_signal(signal, move |arrival| inbox.arrived(arrival)).map(drop).map_err(
                |error| io::Error::new(error.kind(), format!("cannot handle {signal}: {error}")),
            )
        };
        sys::held_back(&heard, || heard.iter().try_for_each(register))?;
        Ok(Self { inbox, records, roles })
    }

    pub(crate) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Starts the thread; `whole` is what is left from a signal's arrival to the last exit, `None` for a paused clock.
    /// Returns where the driver reads the arrivals.
    ///
    /// # Errors
    ///
    /// The system has no thread or socket left.
    pub(crate) fn start(self, whole: Option<Duration>) -> io::Result<Arrivals> {
        let Self { inbox, records, roles } = self;
        let (arrivals, relay) = UnixStream::pair()?;
        relay.set_nonblocking(true)?;
        arrivals.set_nonblocking(true)?;
        let known = roles.clone();
        let supervisor = Supervisor {
            inbox,
            records,
            relay,
            roles,
            whole,
            last_exit: None,
            status: 1,
            unsent: 0,
        };
        thread::Builder::new().name("graceful-supervisor".to_owned()).spawn(|| supervisor.run())?;
        Ok(Arrivals { socket: arrivals, roles: known })
    }
}

impl Inbox {
    /// Called inside a signal handler.
    fn arrived(&self, arrival: Arrival) {
        let number = arrival.signal.number().unsigned_abs() as u8;
        let record = Record::Arrival(number, arrival.sender.unwrap_or(0), arrival.at);
        let sent = || (&*self.socket).write(&record.to_bytes()).is_ok();
        if !sent() {
            let bit = 1 << (number % 64);
            // Release: pairs with the Acquire in `Supervisor::run`; the bit carries all there is to know.
            self.lost.fetch_or(bit, Ordering::Release);
            // Emptied meanwhile, the socket would wake nobody for the bit.
            if sent() {
                // Relaxed: nothing else is read or written by it; taken twice, it is the same wish.
                self.lost.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// Lets the last exit be taken at `at`, unless an earlier request has set one.
    pub(crate) fn last_exit(&self, at: Duration) {
        self.send(Record::LastExit(at));
    }

    /// Sets what the last exit leaves with.
    pub(crate) fn status(&self, status: u8) {
        self.send(Record::Status(status));
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
    inbox: Inbox,
    records: UnixStream,
    relay: UnixStream,
    roles: Vec<(Signal, Role)>,
    whole: Option<Duration>,
    last_exit: Option<Duration>,
    status: u8,
    /// A bit for each signal that the driver has still to be told of.
    unsent: u64,
}

impl Supervisor {
    fn run(mut self) {
        let mut buffer = [0; 64 * LENGTH];
        loop {
            let read = self.records.read(&mut buffer).unwrap_or(0);
            for bytes in buffer[..read].chunks_exact(LENGTH) {
                self.take(Record::from_bytes(bytes));
            }
            // Acquire: pairs with the Release in `Inbox::arrived`.
            let lost = self.inbox.lost.swap(0, Ordering::Acquire);
            for number in (1..64).filter(|number| lost & (1 << number) != 0) {
                self.take(Record::Arrival(number, 0, sys::now()));
            }
            self.relay_again();
            let now = sys::now();
            let left = self.last_exit.map(|at| at.saturating_sub(now));
            if left.is_some_and(|left| left.is_zero()) {
                sys::exit_now(self.status);
            }
            // The system's timer for this is coarse: it may be late by an eighth of its length. So half of it at a time.
            let wait = left
                .map(|left| left / 2)
                .into_iter()
                .chain((self.unsent > 0).then_some(SOON))
                .min();
            // Zero is refused as a time-out, and would mean none.
            drop(
                self.records.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1)))),
            );
        }
    }

    fn relay(&mut self, record: Record, number: u8) {
        if (&self.relay).write(&record.to_bytes()).is_err() {
            self.unsent |= 1 << (number % 64);
        }
    }

    /// Tries what there was no room for.
    fn relay_again(&mut self) {
        let unsent = mem::take(&mut self.unsent);
        for number in (1..64).filter(|number| unsent & (1 << number) != 0) {
            self.relay(Record::Arrival(number, 0, sys::now()), number);
        }
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Arrival(number, _, at) => {
                let role =
                    self.roles.iter().find(|(signal, _)| signal.number() == i32::from(number));
                match role.map(|&(_, role)| role) {
                    Some(Role::Exit) => sys::exit_now(128 + number),
                    Some(Role::Stop | Role::Force) => {
                        if let (None, Some(whole)) = (self.last_exit, self.whole) {
                            self.last_exit = Some(at + whole);
                            self.status = 128 + number;
                        }
                    }
                    Some(Role::Reload) | None => {}
                }
                self.relay(record, number);
            }
            Record::LastExit(at) => {
                self.last_exit = Some(self.last_exit.map_or(at, |earlier| earlier.min(at)))
            }
            Record::Status(status) => self.status = status,
        }
    }
}

/// Where the driver reads what arrived.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(crate) socket: UnixStream,
    pub(crate) roles: Vec<(Signal, Role)>,
}

impl Arrivals {
    /// What the driver has to know of the bytes that it read.
    pub(crate) fn decode(roles: &[(Signal, Role)], bytes: &[u8]) -> Option<(Arrival, Role)> {
        let Record::Arrival(number, sender, at) = Record::from_bytes(bytes) else { return None };
        let &(signal, role) =
            roles.iter().find(|(signal, _)| signal.number() == i32::from(number))?;
        Some((Arrival { signal, sender: (sender > 0).then_some(sender), at }, role))
    }
}

impl Record {
    fn to_bytes(self) -> [u8; LENGTH] {
        let (kind, small, wide, time) = match self {
            Self::Arrival(number, sender, at) => (0, number, sender, at),
            Self::LastExit(at) => (1, 0, 0, at),
            Self::Status(status) => (2, status, 0, Duration::ZERO),
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
            0 => Self::Arrival(bytes[1], number(4), time),
            1 => Self::LastExit(time),
            _ => Self::Status(bytes[1]),
        }
    }
}

/// How soon a driver that is behind is tried again.
const SOON: Duration = Duration::from_millis(10);

/// One record on the socket. A write of it is taken whole or not at all, so that a read is always a number of whole records.
pub(crate) const LENGTH: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let time = Duration::new(1 << 40, 999_999_999);
        for record in
            [Record::Arrival(31, u32::MAX, time), Record::LastExit(time), Record::Status(143)]
        {
            assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        }
    }

    /// G12: all that a handler does is to write, or to set a bit.
    #[test]
    fn a_signal_without_room_is_remembered() {
        let (records, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let inbox = Inbox { socket: Arc::new(socket), lost: Arc::default() };
        let hup = Arrival { signal: Signal::HUP, sender: None, at: Duration::ZERO };
        while inbox.lost.load(Ordering::Acquire) == 0 {
            inbox.arrived(hup);
        }
        inbox.arrived(Arrival { signal: Signal::TERM, ..hup });
        let expected = 1 << Signal::HUP.number() | 1 << Signal::TERM.number();
        assert_eq!(inbox.lost.load(Ordering::Acquire), expected);
        drop(records);
    }
}
