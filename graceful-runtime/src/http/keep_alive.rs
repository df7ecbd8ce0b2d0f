//! How long a connection is kept open: a pure state machine, without clock and I/O.
//!
//! ```text
//!              serving              retiring (lame duck)        closing (drain)
//!  HTTP/1.1    kept                 closed after its answer     busy: closed after its answer; idle: closed once the linger is over
//!  HTTP/2      kept                 retires once it has served  retires
//!  both        cut if a request's head does not arrive, if the peer takes nothing, or if no request arrives
//! ```
//!
//! HTTP/2 ends in steps (RFC 9113, section 6.8):
//!
//! 1. The connection *retires*: it sends a GOAWAY that names no last stream, and a PING. The peer's answer to the PING shows that the peer
//!    has seen the GOAWAY, so all streams that it had begun before are known by then. A second GOAWAY names the last of them, later streams are
//!    ignored, and the connection ends when all are answered.
//! 2. If the peer does not answer the PING within its patience, the connection is *concluded*: the transport answers the PING instead.
//! 3. Once everything is written the connection is *shut*: the peer has its patience once more to close its side.
//!
//! # Invariants
//!
//! 1. A connection with a request in flight is cut only because its peer takes nothing more of the answers that are ready for it. A
//!    connection that is shut has no request in flight.
//! 2. On HTTP/1.1 with nothing in flight, closing ends within the linger, counted from its start or from the last activity since then.
//! 3. HTTP/2 is not cut before it was concluded or shut: until then the peer may not know which streams are served. With nothing in
//!    flight it is cut one linger after it was concluded, or one patience after it was shut.
//! 4. HTTP/2 is concluded once its peer has had its patience, counted from the later of retiring and the start of closing, whatever is in
//!    flight and whatever arrives. It ends earlier only if it is cut.
//! 5. Once closing has begun, nothing that the peer sends extends its time, except a complete request.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::timestamp::Timestamp;

#[cfg(test)]
mod tests;

/// What a server expects of all its connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Serving,
    /// The program is a lame duck: answers announce that the connection closes.
    Retiring,
    /// The program drains: no connection is kept.
    Closing {
        since: Instant,
        /// How long a peer may take nothing of its answer, or leave a PING unanswered.
        patience: Duration,
    },
}

/// How long the phases of a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
    pub(super) linger: Duration,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct KeepAlive {
    stage: Stage,
    /// `None` before the first request or the preface of HTTP/2.
    is_http2: Option<bool>,
    in_flight: usize,
    accepted: Instant,
    has_served: bool,
    /// When the connection was accepted, or its last request ended.
    idle: Timestamp,
    /// When the first byte of an incomplete head arrived.
    head: Timestamp,
    /// Since when the system accepts no more bytes, because the peer takes none.
    blocked: Timestamp,
    /// HTTP/1.1 only: how many answers have ended, but may not be written yet. They are still in flight.
    unwritten: usize,
    /// How many answers have data that the peer is to take before the handler is asked for more.
    offered: usize,
    /// When the peer took some of that data, or new data was added.
    offered_at: Timestamp,
    /// How many tunnels were opened on an HTTP/2 connection.
    tunnels: usize,
    /// When everything was written to a peer of HTTP/2.
    shut: Timestamp,
    /// When the protocol was asked to end the connection.
    retired: Option<Instant>,
    /// When the transport began to answer the PING in the peer's place.
    concluded: Option<Instant>,
}

/// After this many tunnels an HTTP/2 connection gets no new requests. hyper does not report the end of a tunnel, so each counts as in flight
/// until the connection ends.
const TUNNELS: usize = 1000;

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Nothing until the next event.
    Wait,
    /// Ask the protocol to end the connection now.
    Retire,
    /// Ask the protocol to end the connection at this time, unless an event changes that.
    RetireAt(Instant),
    /// Answer the PING in the peer's place at this time, so that HTTP/2 names the last stream.
    ConcludeAt(Instant),
    /// Cut the connection at this time, unless an event changes that.
    CutAt(Instant, TimedOut),
}

/// Which time ran out when a connection is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TimedOut {
    /// The connection was idle, or has finished its graceful shutdown.
    Idle,
    /// The rest of a request's head did not arrive.
    Head,
    /// The peer took nothing of an answer.
    Stalled,
}

/// Events.
impl KeepAlive {
    pub(super) fn new(accepted: Instant, stage: Stage) -> Self {
        Self {
            stage,
            is_http2: None,
            in_flight: 0,
            accepted,
            has_served: false,
            idle: Timestamp::At(accepted),
            head: Timestamp::Unset,
            blocked: Timestamp::Unset,
            unwritten: 0,
            offered: 0,
            offered_at: Timestamp::Unset,
            tunnels: 0,
            shut: Timestamp::Unset,
            retired: None,
            concluded: None,
        }
    }

    /// A handshake waits for the peer.
    pub(super) fn handshake_pending(&mut self) {
        self.idle = Timestamp::Pending;
    }

    /// `Closing` is the last stage.
    pub(super) fn set_stage(&mut self, stage: Stage) {
        if !matches!(self.stage, Stage::Closing { .. }) {
            self.stage = stage;
        }
    }

    pub(super) fn bytes_received(&mut self) {
        if self.in_flight == 0 && !self.is_http2() {
            self.head.set_once();
        }
    }

    /// The system accepts no more bytes, or accepts some again.
    pub(super) fn set_blocked(&mut self, is_blocked: bool) {
        self.blocked = if is_blocked { Timestamp::Pending } else { Timestamp::Unset };
        self.offered_at = Timestamp::Pending;
    }

    /// The peer has sent the preface of HTTP/2.
    pub(super) fn preface_received(&mut self) {
        self.is_http2 = Some(true);
        self.head = Timestamp::Unset;
    }

    pub(super) fn request_began(&mut self, is_http2: bool) {
        self.is_http2 = Some(is_http2);
        self.head = Timestamp::Unset;
        self.in_flight += 1;
        self.has_served = true;
    }

    /// hyper has all of an HTTP/1.1 answer and is to write it. The request stays in flight until [`Self::end_written`].
    pub(super) fn answer_ended(&mut self, is_offered: bool) {
        self.unwritten += 1;
        self.offered -= usize::from(is_offered);
    }

    /// Ends the requests whose answers are over, if everything is written. Returns whether it did.
    pub(super) fn end_written(&mut self) -> bool {
        let is_written = self.unwritten > 0 && !self.blocked.is_set();
        if is_written {
            self.in_flight -= mem::take(&mut self.unwritten);
            self.idle = Timestamp::Pending;
        }
        is_written
    }

    pub(super) fn request_ended(&mut self) {
        self.in_flight -= 1;
        self.idle = Timestamp::Pending;
    }

    /// An answer that had nothing to take for the peer has data now.
    pub(super) fn data_offered(&mut self) {
        self.offered += 1;
        self.offered_at = Timestamp::Pending;
    }

    /// The peer has taken some of an answer's data.
    pub(super) fn data_taken(&mut self) {
        self.offered_at = Timestamp::Pending;
    }

    /// The peer has taken all data of an answer, or the data was dropped.
    pub(super) fn offer_ended(&mut self) {
        self.offered -= 1;
        self.offered_at = Timestamp::Pending;
    }

    /// A stream of HTTP/2 has become a tunnel.
    pub(super) fn tunnel_opened(&mut self) {
        self.tunnels += 1;
    }

    /// HTTP/2 has written everything and closes the stream.
    pub(super) fn shut(&mut self) {
        self.shut.set_once();
    }

    pub(super) fn retired(&mut self, now: Instant) {
        self.retired = Some(now);
    }

    pub(super) fn concluded(&mut self, now: Instant) {
        self.concluded = Some(now);
    }

    pub(super) fn is_concluded(&self) -> bool {
        self.concluded.is_some()
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2 == Some(true)
    }
}

/// The decision.
impl KeepAlive {
    /// What is to be done with the connection.
    pub(super) fn next(&mut self, limits: &Limits, now: impl FnOnce() -> Instant) -> Next {
        let Self { idle, head, blocked, offered_at, shut, .. } = self;
        Timestamp::resolve([idle, head, blocked, offered_at, shut], now);
        if let Some(shut) = self.shut.at() {
            return Next::CutAt(self.patience_from(shut, limits), TimedOut::Idle);
        }
        if self.is_to_retire() {
            return Next::Retire;
        }
        // Set while HTTP/2 waits for the answer to its PING.
        let retired = self.retired.filter(|_| self.is_http2() && self.concluded.is_none());
        let next = match self.stalled_since() {
            Some(since) => Next::CutAt(self.patience_from(since, limits), TimedOut::Stalled),
            None if self.in_flight > 0 || retired.is_some() => Next::Wait,
            None => self.next_idle(limits),
        };
        match (next, retired.map(|since| self.patience_from(since, limits))) {
            // Invariant 3: HTTP/2 is concluded instead of cut.
            (Next::CutAt(at, _), Some(end)) => Next::ConcludeAt(at.min(end)),
            // Invariant 4.
            (_, Some(end)) => Next::ConcludeAt(end),
            // Invariant 3: it retires first.
            (Next::CutAt(at, _), None) if self.is_http2() && self.retired.is_none() => {
                Next::RetireAt(at)
            }
            (next, None) => next,
        }
    }

    fn is_to_retire(&self) -> bool {
        let wants = match self.stage {
            Stage::Serving => self.tunnels >= TUNNELS,
            Stage::Retiring => self.is_http2() && self.has_served,
            Stage::Closing { .. } => self.in_flight > 0 || self.is_http2(),
        };
        wants && self.retired.is_none()
    }

    /// Since when every answer in flight waits for the peer.
    fn stalled_since(&self) -> Option<Instant> {
        let is_waiting = self.in_flight > 0 && self.offered == self.in_flight;
        self.blocked.at().or_else(|| self.offered_at.at().filter(|_| is_waiting))
    }

    /// When a peer that has been waited for since `since` has used up its patience.
    fn patience_from(&self, since: Instant, limits: &Limits) -> Instant {
        match self.stage {
            Stage::Closing { since: closing, patience } => since.max(closing) + patience,
            Stage::Serving | Stage::Retiring => since + limits.write,
        }
    }

    fn next_idle(&self, limits: &Limits) -> Next {
        let Self { accepted, idle, head, concluded, .. } = *self;
        let (idle, head) = (idle.at().unwrap_or(accepted), head.at());
        if let Some(concluded) = concluded {
            return Next::CutAt(idle.max(concluded) + limits.linger, TimedOut::Idle);
        }
        if let Stage::Closing { since, .. } = self.stage {
            // Invariant 5: a head that begins later than closing counts from the start of closing.
            let active = head.map_or(idle, |head| idle.max(head.min(since)));
            return self.end_at(active + limits.linger);
        }
        match (self.is_http2, head) {
            (None, _) => Next::CutAt(idle + limits.header, TimedOut::Head),
            (Some(false), Some(head)) => Next::CutAt(head + limits.header, TimedOut::Head),
            (Some(_), _) => self.end_at(idle + limits.idle),
        }
    }

    /// Ends an idle connection: by means of the protocol if those were not used yet.
    fn end_at(&self, at: Instant) -> Next {
        if self.retired.is_none() { Next::RetireAt(at) } else { Next::CutAt(at, TimedOut::Idle) }
    }
}
