//! How long a connection is kept: pure, without clock and I/O.
//!
//! ```text
//!              serving              retiring (lame duck)        closing (drain)
//!  HTTP/1.1    kept                 closed after its answer     busy: closed after its answer; idle: closed once the linger is over
//!  HTTP/2      kept                 retires once it has served  retires
//!  in all      cut where a head does not come, a peer takes nothing, or nobody asks for anything
//! ```
//!
//! HTTP/2 ends in steps (RFC 9113, section 6.8). It *retires*: it says GOAWAY without naming a last stream, and sends a PING. The peer's answer says that it has
//! heard of that, so all streams that it has begun before are known: the second GOAWAY names the last of them, later ones are ignored, and the
//! connection ends when all are answered. Where no answer comes within the peer's patience it is *concluded*: the transport gives the answer.
//! Once all is written it is *shut*: the peer has as long again to close its end.
//!
//! # Invariants
//!
//! 1. A connection with a request in flight is cut for one reason alone: that its peer takes nothing more of the answers that are ready for it. One that is shut has none.
//! 2. On HTTP/1.1, where nothing is in flight, closing ends within the linger, counted from its begin, or from the last thing the connection did since then.
//! 3. HTTP/2 is not cut before it was concluded or shut: until then the peer may not have heard which streams were taken. With nothing in flight it is cut a linger after the one, or a patience after the other.
//! 4. HTTP/2 is concluded once its peer has had the patience since it was retired, or since closing began, whatever is in flight and whatever comes; earlier only where it is cut.
//! 5. Nothing that the peer sends without completing a request makes its time longer, once closing has begun.

use std::{mem, time::Duration};

use tokio::time::Instant;

/// What is expected of all connections of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Serving,
    /// The program is a lame duck: answers say that the connection closes.
    Retiring,
    /// The drain: nothing is kept.
    Closing {
        since: Instant,
        /// How long a peer may take nothing of its answer, or owe one.
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

/// Since when something is so. It is dated by the next look at the connection, so that all that happens in between costs one look at the clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Since {
    Never,
    /// The last look.
    Now,
    At(Instant),
}

impl Since {
    fn begin(&mut self) {
        if *self == Self::Never {
            *self = Self::Now;
        }
    }

    fn at(self) -> Option<Instant> {
        if let Self::At(at) = self { Some(at) } else { None }
    }
}

/// What a connection is in the middle of.
#[derive(Debug)]
pub(super) struct KeepAlive {
    stage: Stage,
    /// `None` before the first request, or what HTTP/2 begins with.
    is_http2: Option<bool>,
    in_flight: usize,
    accepted: Instant,
    has_served: bool,
    /// It was accepted, or its last request has ended.
    idle: Since,
    /// How many answers of HTTP/1.1 are over and may not be written.
    held: usize,
    /// The first byte of a head came that is not complete.
    head: Since,
    /// The peer takes nothing of what is written.
    blocked: Since,
    /// How many answers wait for the peer to take what was handed over of them, and since when the last of them does.
    handed: usize,
    handing: Since,
    /// How many tunnels were opened inside of it.
    tunnels: usize,
    /// All is written to a peer of HTTP/2.
    shut: Since,
    /// When the protocol was asked to end it.
    retired: Option<Instant>,
    /// When it was told not to wait any longer for the peer of HTTP/2 to hear of that.
    concluded: Option<Instant>,
}

/// After so many tunnels a connection of HTTP/2 is not used for new requests: it has each in flight, as their ends are not seen.
const TUNNELS: usize = 1000;

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Nothing, until something happens.
    Wait,
    /// Ask the protocol to end it, now.
    Retire,
    /// If nothing happens until then, ask the protocol to end it.
    RetireAt(Instant),
    /// At that time, have the protocol name the last stream that it takes.
    ConcludeAt(Instant),
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

impl KeepAlive {
    pub(super) fn accepted(now: Instant, stage: Stage) -> Self {
        Self {
            stage,
            is_http2: None,
            in_flight: 0,
            accepted: now,
            has_served: false,
            idle: Since::At(now),
            held: 0,
            head: Since::Never,
            blocked: Since::Never,
            handed: 0,
            handing: Since::Never,
            tunnels: 0,
            shut: Since::Never,
            retired: None,
            concluded: None,
        }
    }

    /// Something is expected of the peer before it can ask for anything.
    pub(super) fn shakes(&mut self) {
        self.idle = Since::Now;
    }

    /// There is nothing after closing.
    pub(super) fn enter(&mut self, stage: Stage) {
        if !matches!(self.stage, Stage::Closing { .. }) {
            self.stage = stage;
        }
    }

    /// Bytes came.
    pub(super) fn read(&mut self) {
        if self.in_flight == 0 && !self.is_http2() {
            self.head.begin();
        }
    }

    /// The system takes nothing more of what is written, or does again.
    pub(super) fn blocked(&mut self, is_blocked: bool) {
        self.blocked = if is_blocked { Since::Now } else { Since::Never };
        self.handing = Since::Now;
    }

    /// The peer speaks HTTP/2.
    pub(super) fn greeted(&mut self) {
        self.is_http2 = Some(true);
        self.head = Since::Never;
    }

    /// A request begins.
    pub(super) fn begin(&mut self, is_http2: bool) {
        self.is_http2 = Some(is_http2);
        self.head = Since::Never;
        self.in_flight += 1;
        self.has_served = true;
    }

    /// An answer of HTTP/1.1 is with the connection, to be written.
    pub(super) fn hold(&mut self, is_handed: bool) {
        self.held += 1;
        self.handed -= usize::from(is_handed);
    }

    /// Ends what is held if it was written.
    pub(super) fn release(&mut self) -> bool {
        let is_written = self.held > 0 && self.blocked == Since::Never;
        if is_written {
            self.in_flight -= mem::take(&mut self.held);
            self.idle = Since::Now;
        }
        is_written
    }

    /// A request has ended.
    pub(super) fn end(&mut self) {
        self.in_flight -= 1;
        self.idle = Since::Now;
    }

    /// Something of an answer is to be taken by the peer.
    pub(super) fn handed(&mut self) {
        self.handed += 1;
        self.handing = Since::Now;
    }

    /// Some of it was taken.
    pub(super) fn progress(&mut self) {
        self.handing = Since::Now;
    }

    /// All of it was taken, or is not to be taken any more.
    pub(super) fn taken(&mut self) {
        self.handed -= 1;
        self.handing = Since::Now;
    }

    /// A stream has become a tunnel.
    pub(super) fn opened_tunnel(&mut self) {
        self.tunnels += 1;
    }

    /// HTTP/2 has come to its end.
    pub(super) fn shuts(&mut self) {
        self.shut.begin();
    }

    pub(super) fn retired(&mut self, now: Instant) {
        self.retired = Some(now);
    }

    pub(super) fn concluded(&mut self, now: Instant) {
        self.concluded = Some(now);
    }

    /// Whether what the peer of HTTP/2 owes is not waited for.
    pub(super) fn is_concluded(&self) -> bool {
        self.concluded.is_some()
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2 == Some(true)
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, limits: &Limits, now: impl FnOnce() -> Instant) -> Next {
        self.date(now);
        if let Some(shut) = self.shut.at() {
            return Next::CutAt(self.patience_from(shut, limits), Why::Idle);
        }
        if self.is_to_retire() {
            return Next::Retire;
        }
        let retired = self.retired.filter(|_| self.is_http2() && self.concluded.is_none());
        let next = match self.stalled_since() {
            Some(since) => Next::CutAt(self.patience_from(since, limits), Why::Stalled),
            None if self.in_flight > 0 || retired.is_some() => Next::Wait,
            None => self.next_idle(limits),
        };
        match (next, retired.map(|since| self.patience_from(since, limits))) {
            (Next::CutAt(at, _), Some(end)) => Next::ConcludeAt(at.min(end)),
            (_, Some(end)) => Next::ConcludeAt(end),
            (Next::CutAt(at, _), None) if self.is_http2() && self.retired.is_none() => {
                Next::RetireAt(at)
            }
            (next, None) => next,
        }
    }

    fn date(&mut self, now: impl FnOnce() -> Instant) {
        let Self { idle, head, blocked, handing, shut, .. } = self;
        let all = [idle, head, blocked, handing, shut];
        if all.iter().any(|since| **since == Since::Now) {
            let at = Since::At(now());
            all.into_iter().filter(|since| **since == Since::Now).for_each(|since| *since = at);
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

    fn stalled_since(&self) -> Option<Instant> {
        // What was handed over stays with the server until all of it is written.
        let waits = self.in_flight > 0 && self.handed == self.in_flight;
        self.blocked.at().or_else(|| self.handing.at().filter(|_| waits))
    }

    /// When a peer that is waited for since then has had the time that it gets.
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
            return Next::CutAt(idle.max(concluded) + limits.linger, Why::Idle);
        }
        if let Stage::Closing { since, .. } = self.stage {
            let active = head.map_or(idle, |head| idle.max(head.min(since)));
            return self.end_at(active + limits.linger);
        }
        match (self.is_http2, head) {
            (None, _) => Next::CutAt(idle + limits.header, Why::Head),
            (Some(false), Some(head)) => Next::CutAt(head + limits.header, Why::Head),
            (Some(_), _) => self.end_at(idle + limits.idle),
        }
    }

    /// Ends an idle connection: first by the means of the protocol.
    fn end_at(&self, at: Instant) -> Next {
        if self.retired.is_none() { Next::RetireAt(at) } else { Next::CutAt(at, Why::Idle) }
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
        keep: KeepAlive,
        now: Instant,
        /// Since when closing has nothing to wait for: its begin, or the end of the last request.
        free_since: Option<Instant>,
        cut: Option<Why>,
        /// When the peer took something last.
        taken: Instant,
        shut: Option<Instant>,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Happens {
        Second,
        Read,
        Begin,
        End,
        Held,
        Handed,
        Taken,
        Blocked,
        Written,
        Shut,
        LameDuck,
        Drain,
    }

    use Happens::*;

    const ALL: [Happens; 12] =
        [Second, Read, Begin, End, Held, Handed, Taken, Blocked, Written, Shut, LameDuck, Drain];

    impl Driven {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                keep: KeepAlive::accepted(now, Stage::Serving),
                now,
                free_since: None,
                cut: None,
                taken: now,
                shut: None,
            }
        }

        /// Whether it can happen now, and if so, what comes of it.
        fn after(&mut self, event: Happens, is_http2: bool) -> bool {
            let Self { keep, now, .. } = self;
            if matches!(event, Taken | Written) {
                self.taken = *now;
            }
            let is_closing = matches!(keep.stage, Stage::Closing { .. });
            // Nothing comes nor goes after that.
            let is_over = self.shut.is_some() && !matches!(event, Second | LameDuck | Drain);
            let can = match event {
                // Some may be in flight as far as anybody knows: tunnels.
                Shut => keep.is_http2() && keep.blocked == Since::Never && !keep.is_concluded(),
                // HTTP/1.1 takes one request at a time, and none after the answer that was its last.
                Begin => {
                    keep.in_flight < if is_http2 { 2 } else { 1 }
                        && (is_http2 || keep.retired.is_none())
                }
                End | Handed => keep.in_flight > keep.handed + keep.held,
                Held => !is_http2 && keep.in_flight > keep.handed + keep.held,
                Taken => keep.handed > 0,
                Written => keep.blocked != Since::Never,
                Drain => !is_closing,
                LameDuck => matches!(keep.stage, Stage::Serving),
                Blocked => keep.blocked == Since::Never,
                Second | Read => true,
            };
            if !can || is_over {
                return false;
            }
            match event {
                Second => *now += secs(1),
                Read => keep.read(),
                Begin => keep.begin(is_http2),
                End => keep.end(),
                Held => keep.hold(false),
                Handed => keep.handed(),
                Taken => keep.taken(),
                Blocked => keep.blocked(true),
                Written => keep.blocked(false),
                Shut => {
                    keep.shuts();
                    self.shut = Some(*now);
                }
                LameDuck => keep.enter(Stage::Retiring),
                Drain => keep.enter(Stage::Closing { since: *now, patience: PATIENCE }),
            }
            keep.release();
            let is_idle = keep.in_flight == 0 || self.shut.is_some();
            let is_free = is_idle && keep.blocked == Since::Never;
            if !is_free || matches!(event, End | Held | Drain | Written | Shut) {
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
                match keep.next(&LIMITS, || *now) {
                    Next::Retire => keep.retired(*now),
                    Next::RetireAt(at) if at <= *now => keep.retired(*now),
                    Next::CutAt(at, why) if at <= *now => {
                        *cut = Some(why);
                        return;
                    }
                    Next::ConcludeAt(at) if at <= *now => keep.concluded(*now),
                    Next::Wait | Next::RetireAt(_) | Next::ConcludeAt(_) | Next::CutAt(..) => {
                        return;
                    }
                }
            }
        }

        fn check(&self) {
            let Self { keep, now, free_since, cut, taken, shut } = self;
            let waits = keep.blocked != Since::Never || keep.handed == keep.in_flight;
            if keep.in_flight > 0 && shut.is_none() {
                assert!(cut.is_none_or(|why| why == Why::Stalled && waits), "invariant 1");
            }
            if let (Some(Why::Stalled), Since::Never) = (cut, keep.blocked) {
                assert!(*now >= *taken + PATIENCE, "invariant 1");
            }
            if let (Some(since), None) = (free_since, cut) {
                let longest = if keep.is_http2() { PATIENCE } else { Duration::ZERO };
                assert!(*now < *since + longest + LIMITS.linger, "invariants 2, 3 and 5");
            }
            if !keep.is_http2() {
                return;
            }
            let after = |since: Instant| match keep.stage {
                Stage::Closing { since: closing, patience } => since.max(closing) + patience,
                _ => since + LIMITS.write,
            };
            assert!(cut.is_none() || shut.is_some() || keep.is_concluded(), "invariant 3");
            if let Some(Why::Idle) = cut {
                let concluded = keep.concluded.map(|concluded| concluded + LIMITS.linger);
                assert!(shut.map(after).or(concluded).is_some_and(|at| *now >= at), "invariant 3");
            }
            if let (Some(retired), None, None) = (keep.retired, shut, cut) {
                assert_eq!(keep.is_concluded(), *now >= after(retired), "invariant 4");
            }
        }
    }

    /// Each history of six events, driven on through eight more seconds: a patience, a linger and one more.
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
            for _ in 0..8 {
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
        assert!(driven.keep.retired.is_some());
    }

    #[test]
    fn a_connection_with_many_tunnels_retires() {
        let mut driven = Driven::new();
        for _ in 0..TUNNELS {
            assert_eq!(driven.keep.retired, None);
            driven.after(Begin, true);
            driven.keep.opened_tunnel();
            // None of them is over, as far as anybody knows.
            driven.keep.in_flight = 1;
        }
        driven.drive();
        assert!(driven.keep.retired.is_some());
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
