//! How long a connection is kept: pure, without clock and I/O.
//!
//! ```text
//!              serving              retiring (lame duck)        closing (drain)
//!  HTTP/1.1    kept                 closed after its answer     busy: closed after its answer; idle: closed once the linger is over
//!  HTTP/2      kept                 GOAWAY once it has served   GOAWAY; cut once idle, and the linger is over
//!  in all      cut where a head does not come, a peer takes nothing, or nobody asks for anything
//! ```
//!
//! # Invariants
//!
//! 1. A connection with a request in flight is cut for one reason alone: that its peer takes nothing of the answer.
//! 2. Where nothing is in flight, closing ends within the linger, counted from its begin, or from the last thing the connection did since then.
//! 3. Nothing that the peer sends without completing a request makes its time longer, once closing has begun.

use std::time::Duration;

use tokio::time::Instant;

/// What is expected of all connections of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Serving,
    /// The program is a lame duck: answers say that the connection closes.
    Retiring,
    /// The drain: nothing new after the linger.
    Closing {
        since: Instant,
        /// How long a peer may take nothing of its answer.
        patience: Duration,
    },
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
    pub(super) linger: Duration,
}

/// What a connection is in the middle of.
#[derive(Debug)]
pub(super) struct Keep {
    stage: Stage,
    /// `None` before the first request.
    is_http2: Option<bool>,
    in_flight: usize,
    /// Since it was accepted, or its last request ended.
    idle_since: Instant,
    /// Since the first byte of a head that is not complete.
    head_since: Option<Instant>,
    /// Since the peer takes nothing of what is written.
    blocked_since: Option<Instant>,
    /// How many answers wait for the peer to take what was handed over of them, and since when the last of them does.
    handed: usize,
    handed_since: Instant,
    /// When the protocol was asked to end it.
    retired: Option<Instant>,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Nothing, until something happens.
    Wait,
    /// Ask the protocol to end it, now.
    Retire,
    /// If nothing happens until then, ask the protocol to end it.
    RetireAt(Instant),
    /// If nothing happens until then, cut it.
    CutAt(Instant, Why),
}

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// It has done nothing, or what it was asked to do.
    Idle,
    /// It owes the rest of a request's head.
    Head,
    /// Its peer takes nothing of an answer.
    Stalled,
}

impl Keep {
    pub(super) fn accepted(now: Instant, stage: Stage) -> Self {
        Self {
            stage,
            is_http2: None,
            in_flight: 0,
            idle_since: now,
            head_since: None,
            blocked_since: None,
            handed: 0,
            handed_since: now,
            retired: None,
        }
    }

    /// There is nothing after closing.
    pub(super) fn enter(&mut self, stage: Stage) {
        if !matches!(self.stage, Stage::Closing { .. }) {
            self.stage = stage;
        }
    }

    /// Bytes came.
    pub(super) fn read(&mut self, now: impl FnOnce() -> Instant) {
        if self.in_flight == 0 && self.head_since.is_none() {
            self.head_since = Some(now());
        }
    }

    /// Bytes were taken by the system, or were not.
    pub(super) fn written(&mut self, is_blocked: bool, now: impl FnOnce() -> Instant) {
        if !is_blocked {
            self.blocked_since = None;
        } else if self.blocked_since.is_none() {
            self.blocked_since = Some(now());
        }
    }

    /// A request begins.
    pub(super) fn begin(&mut self, is_http2: bool) {
        self.is_http2 = Some(is_http2);
        self.in_flight += 1;
        self.head_since = None;
    }

    /// A request has ended.
    pub(super) fn end(&mut self, now: Instant) {
        self.in_flight -= 1;
        self.idle_since = now;
    }

    /// A piece of an answer is to be taken by the peer.
    pub(super) fn handed(&mut self, now: Instant) {
        self.handed += 1;
        self.handed_since = now;
    }

    /// It was taken, or is not to be taken any more.
    pub(super) fn taken(&mut self) {
        self.handed -= 1;
    }

    pub(super) fn retired(&mut self, now: Instant) {
        self.retired = Some(now);
    }

    /// Whether an answer says that the connection closes.
    pub(super) fn says_close(&self) -> bool {
        !matches!(self.stage, Stage::Serving)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2 == Some(true)
    }

    pub(super) fn next(&self, limits: &Limits) -> Next {
        if self.is_to_retire() {
            return Next::Retire;
        }
        if let Some(since) = self.stalled_since() {
            let (since, patience) = match self.stage {
                Stage::Closing { since: closing, patience } => (since.max(closing), patience),
                _ => (since, limits.write),
            };
            return Next::CutAt(since + patience, Why::Stalled);
        }
        if self.in_flight > 0 { Next::Wait } else { self.next_idle(limits) }
    }

    fn is_to_retire(&self) -> bool {
        let wants = match self.stage {
            Stage::Serving => false,
            Stage::Retiring => self.is_http2(),
            Stage::Closing { .. } => self.in_flight > 0 || self.is_http2(),
        };
        wants && self.retired.is_none()
    }

    fn stalled_since(&self) -> Option<Instant> {
        // What was handed over stays with the server until all of it is written.
        let waits = self.in_flight > 0 && self.handed == self.in_flight;
        self.blocked_since.or(waits.then_some(self.handed_since))
    }

    fn next_idle(&self, limits: &Limits) -> Next {
        let Self { idle_since, head_since, .. } = *self;
        if let Stage::Closing { since, .. } = self.stage {
            let active = head_since.map_or(idle_since, |head| idle_since.max(head.min(since)));
            return self.end_at(active + limits.linger, limits);
        }
        match (self.is_http2, head_since) {
            (None, _) => Next::CutAt(head_since.unwrap_or(idle_since) + limits.header, Why::Head),
            (Some(false), Some(head)) => Next::CutAt(head + limits.header, Why::Head),
            (Some(_), _) => self.end_at(idle_since + limits.idle, limits),
        }
    }

    /// Ends an idle connection: first by the means of the protocol, which on HTTP/2 takes an answer of the peer.
    fn end_at(&self, at: Instant, limits: &Limits) -> Next {
        match self.retired {
            None => Next::RetireAt(at),
            Some(retired) if self.is_http2() => {
                Next::CutAt(at.max(retired + limits.linger), Why::Idle)
            }
            Some(_) => Next::CutAt(at, Why::Idle),
        }
    }
}
