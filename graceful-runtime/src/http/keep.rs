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
//! 1. A connection with a request in flight is cut for one reason alone: that its peer takes nothing more of the answers that are ready for it.
//! 2. Where nothing is in flight, closing ends within the linger, counted from its begin, or from the last thing the connection did since then.
//! 3. Nothing that the peer sends without completing a request makes its time longer, once closing has begun; on HTTP/2, where the
//!    end of an answer may be on its way, not beyond the patience.

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
    /// `None` before the first request, or what HTTP/2 begins with.
    is_http2: Option<bool>,
    in_flight: usize,
    accepted: Instant,
    has_served: bool,
    /// Since it was accepted, or its last request ended.
    idle_since: Instant,
    /// An answer of HTTP/1.1 is over and may not be written.
    is_held: bool,
    /// Since the first byte of a head that is not complete.
    head_since: Option<Instant>,
    /// When a peer of HTTP/2 was last heard of, in closing.
    heard: Option<Instant>,
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
            accepted: now,
            has_served: false,
            idle_since: now,
            is_held: false,
            head_since: None,
            heard: None,
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
        if self.is_http2() && matches!(self.stage, Stage::Closing { .. }) {
            self.heard = Some(now());
        } else if self.in_flight == 0 && self.head_since.is_none() {
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

    /// The peer speaks HTTP/2.
    pub(super) fn greeted(&mut self) {
        self.is_http2 = Some(true);
        self.head_since = None;
    }

    /// Whether the first bytes of the connection are yet to come.
    pub(super) fn is_new(&self) -> bool {
        self.is_http2.is_none() && self.head_since.is_none()
    }

    /// A request begins, unless the time for that is over: a peer of HTTP/2 may not answer that it has heard so.
    pub(super) fn begin(
        &mut self,
        is_http2: bool,
        limits: &Limits,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        self.is_http2 = Some(is_http2);
        self.head_since = None;
        if let (true, Stage::Closing { since, .. }) = (is_http2, self.stage) {
            if now() > since.max(self.accepted) + limits.linger {
                return false;
            }
        }
        self.in_flight += 1;
        self.has_served = true;
        true
    }

    /// An answer is with the connection, to be written.
    pub(super) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether what is held was written.
    pub(super) fn has_written(&self) -> bool {
        self.is_held && self.blocked_since.is_none()
    }

    /// A request has ended.
    pub(super) fn end(&mut self, now: Instant) {
        self.in_flight -= 1;
        self.is_held = false;
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
            Stage::Retiring => self.is_http2() && self.has_served,
            Stage::Closing { .. } => self.in_flight > 0 || self.is_http2(),
        };
        wants && self.retired.is_none()
    }

    fn stalled_since(&self) -> Option<Instant> {
        // What was handed over stays with the server until all of it is written.
        let waits = self.in_flight > 0 && self.handed == self.in_flight;
        self.blocked_since.or_else(|| waits.then_some(self.handed_since))
    }

    fn next_idle(&self, limits: &Limits) -> Next {
        let Self { idle_since, head_since, .. } = *self;
        if let Stage::Closing { since, patience } = self.stage {
            let active = head_since.map_or(idle_since, |head| idle_since.max(head.min(since)));
            let end = self.end_at(active + limits.linger, limits);
            let Next::CutAt(at, why) = end else { return end };
            // What was handed over may still be on its way to a peer that makes room for it bit by bit.
            let heard = self.heard.map_or(at, |heard| at.max(heard + limits.linger));
            return Next::CutAt(heard.min(at.max(idle_since.max(since) + patience)), why);
        }
        match (self.is_http2, head_since) {
            (None, _) => Next::CutAt(idle_since + limits.header, Why::Head),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { header: secs(30), idle: secs(75), write: secs(60), linger: secs(2) };
    const PATIENCE: Duration = secs(5);

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A connection that is driven as the real one is, second by second.
    #[derive(Debug)]
    struct Driven {
        keep: Keep,
        now: Instant,
        /// Since when closing has nothing to wait for: its begin, or the end of the last request.
        free_since: Option<Instant>,
        cut: Option<Why>,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Happens {
        Second,
        Read,
        Begin,
        End,
        Handed,
        Taken,
        Blocked,
        Written,
        LameDuck,
        Drain,
    }

    use Happens::*;

    const ALL: [Happens; 10] =
        [Second, Read, Begin, End, Handed, Taken, Blocked, Written, LameDuck, Drain];

    impl Driven {
        fn new() -> Self {
            let now = Instant::now();
            Self { keep: Keep::accepted(now, Stage::Serving), now, free_since: None, cut: None }
        }

        /// Whether it can happen now, and if so, what comes of it.
        fn after(&mut self, event: Happens, is_http2: bool) -> bool {
            let Self { keep, now, .. } = self;
            let is_closing = matches!(keep.stage, Stage::Closing { .. });
            let can = match event {
                // HTTP/1.1 takes one request at a time, and none after the answer that was its last.
                Begin => {
                    keep.in_flight < if is_http2 { 2 } else { 1 }
                        && (is_http2 || keep.retired.is_none())
                }
                End => keep.in_flight > keep.handed,
                Handed => keep.in_flight > keep.handed,
                Taken => keep.handed > 0,
                Written => keep.blocked_since.is_some(),
                Drain => !is_closing,
                LameDuck => matches!(keep.stage, Stage::Serving),
                Second | Read | Blocked => true,
            };
            if !can {
                return false;
            }
            match event {
                Second => *now += secs(1),
                Read => keep.read(|| *now),
                Begin if !keep.begin(is_http2, &LIMITS, || *now) => return false,
                Begin => {}
                End => keep.end(*now),
                Handed => keep.handed(*now),
                Taken => keep.taken(),
                Blocked => keep.written(true, || *now),
                Written => keep.written(false, || *now),
                LameDuck => keep.enter(Stage::Retiring),
                Drain => keep.enter(Stage::Closing { since: *now, patience: PATIENCE }),
            }
            let is_free = keep.in_flight == 0 && keep.blocked_since.is_none();
            if !is_free || event == End || event == Drain || event == Written {
                self.free_since = None;
            }
            if is_free && matches!(self.keep.stage, Stage::Closing { .. }) {
                self.free_since.get_or_insert(self.now);
            }
            self.drive();
            true
        }

        fn drive(&mut self) {
            let Self { keep, now, cut, .. } = self;
            loop {
                match keep.next(&LIMITS) {
                    Next::Retire => keep.retired(*now),
                    Next::RetireAt(at) if at <= *now => keep.retired(*now),
                    Next::CutAt(at, why) if at <= *now => {
                        *cut = Some(why);
                        return;
                    }
                    Next::Wait | Next::RetireAt(_) | Next::CutAt(..) => return,
                }
            }
        }

        fn check(&self) {
            let Self { keep, now, free_since, cut } = self;
            let waits = keep.blocked_since.is_some() || keep.handed == keep.in_flight;
            if keep.in_flight > 0 {
                assert!(cut.is_none_or(|why| why == Why::Stalled && waits), "invariant 1");
            }
            if let (Some(since), None) = (free_since, cut) {
                let longest = if keep.is_http2() { PATIENCE } else { LIMITS.linger };
                assert!(*now < *since + longest, "invariants 2 and 3");
            }
        }
    }

    /// Each history of six events, driven on through six more seconds.
    #[test]
    fn the_invariants_hold_in_every_history() {
        for is_http2 in [false, true] {
            let mut cuts = 0;
            walk(&mut Vec::new(), is_http2, &mut cuts);
            assert!(cuts > 1000, "few histories end by themselves: {cuts}");
        }
    }

    fn walk(history: &mut Vec<Happens>, is_http2: bool, cuts: &mut usize) {
        let mut driven = Driven::new();
        for &event in &*history {
            if driven.cut.is_some() || !driven.after(event, is_http2) {
                return;
            }
            driven.check_in(history);
        }
        if history.len() == 6 {
            for _ in 0..6 {
                if driven.cut.is_none() {
                    driven.after(Second, is_http2);
                    driven.check_in(history);
                }
            }
            *cuts += usize::from(driven.cut.is_some());
            return;
        }
        for event in ALL {
            history.push(event);
            walk(history, is_http2, cuts);
            history.pop();
        }
    }

    impl Driven {
        fn check_in(&self, history: &[Happens]) {
            let check = std::panic::AssertUnwindSafe(|| self.check());
            assert!(std::panic::catch_unwind(check).is_ok(), "{history:?}: {self:?}");
        }
    }

    #[test]
    fn a_connection_that_was_just_active_is_asked_once_more() {
        let mut driven = Driven::new();
        for event in [Begin, End, Second, Second] {
            driven.after(event, false);
        }
        driven.after(Read, false);
        driven.after(Drain, false);
        assert_eq!(driven.keep.retired, None, "half a head has come this second");
        driven.after(Begin, false);
        assert!(driven.keep.says_close() && driven.keep.retired.is_some());
    }

    #[test]
    fn half_a_head_is_cut_also_while_serving() {
        let mut driven = Driven::new();
        driven.after(Read, false);
        for _ in 0..30 {
            assert_eq!(driven.cut, None);
            driven.after(Read, false);
            driven.after(Second, false);
        }
        assert_eq!(driven.cut, Some(Why::Head));
    }
}
