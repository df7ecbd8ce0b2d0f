use super::*;

const LIMITS: Limits =
    Limits { header: secs(30), idle: secs(75), write: secs(60), linger: secs(2) };
const PATIENCE: Duration = secs(5);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A connection, driven second by second as `Drive` drives a real one.
#[derive(Debug)]
struct Driven {
    keep: KeepAlive,
    now: Instant,
    /// Since when closing has nothing to wait for: its start, or the end of the last request.
    free_since: Option<Instant>,
    cut: Option<TimedOut>,
    /// When the peer last took something.
    taken: Instant,
    shut: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Second,
    Received,
    Begin,
    End,
    AnswerEnded,
    Offered,
    Taken,
    Blocked,
    Written,
    Shut,
    LameDuck,
    Drain,
}

use Event::*;

const ALL: [Event; 12] = [
    Second,
    Received,
    Begin,
    End,
    AnswerEnded,
    Offered,
    Taken,
    Blocked,
    Written,
    Shut,
    LameDuck,
    Drain,
];

impl Driven {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            keep: KeepAlive::new(now, Stage::Serving),
            now,
            free_since: None,
            cut: None,
            taken: now,
            shut: None,
        }
    }

    /// Applies `event` and everything that follows from it. Returns `false` if the event cannot happen now.
    fn after(&mut self, event: Event, is_http2: bool) -> bool {
        if !self.is_possible(event, is_http2) {
            return false;
        }
        if matches!(event, Taken | Written) {
            self.taken = self.now;
        }
        self.apply(event, is_http2);
        self.keep.end_written();
        let is_idle = self.keep.in_flight == 0 || self.shut.is_some();
        let is_free = is_idle && !self.keep.blocked.is_set();
        if !is_free || matches!(event, End | AnswerEnded | Drain | Written | Shut) {
            self.free_since = None;
        }
        if is_free && matches!(self.keep.stage, Stage::Closing { .. }) {
            self.free_since.get_or_insert(self.now);
        }
        self.drive();
        true
    }

    fn is_possible(&self, event: Event, is_http2: bool) -> bool {
        let Self { keep, shut, .. } = self;
        // After the shutdown of the stream nothing is read, written or answered.
        if shut.is_some() && !matches!(event, Second | LameDuck | Drain) {
            return false;
        }
        match event {
            // Requests may be in flight: the ends of tunnels are not seen.
            Shut => keep.is_http2() && !keep.blocked.is_set() && !keep.is_concluded(),
            // HTTP/1.1 has one request at a time, and none after its last answer.
            Begin => {
                keep.in_flight < if is_http2 { 2 } else { 1 }
                    && (is_http2 || keep.retired.is_none())
            }
            End | Offered => keep.in_flight > keep.offered + keep.unwritten,
            AnswerEnded => !is_http2 && keep.in_flight > keep.offered + keep.unwritten,
            Taken => keep.offered > 0,
            Written => keep.blocked.is_set(),
            Drain => !matches!(keep.stage, Stage::Closing { .. }),
            LameDuck => matches!(keep.stage, Stage::Serving),
            Blocked => !keep.blocked.is_set(),
            Second | Received => true,
        }
    }

    fn apply(&mut self, event: Event, is_http2: bool) {
        let Self { keep, now, shut, .. } = self;
        match event {
            Second => *now += secs(1),
            Received => keep.bytes_received(),
            Begin => keep.request_began(is_http2),
            End => keep.request_ended(),
            AnswerEnded => keep.answer_ended(false),
            Offered => keep.data_offered(),
            Taken => keep.offer_ended(),
            Blocked => keep.set_blocked(true),
            Written => keep.set_blocked(false),
            Shut => {
                keep.shut();
                *shut = Some(*now);
            }
            LameDuck => keep.set_stage(Stage::Retiring),
            Drain => keep.set_stage(Stage::Closing { since: *now, patience: PATIENCE }),
        }
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
        let waits = keep.blocked.is_set() || keep.offered == keep.in_flight;
        if keep.in_flight > 0 && shut.is_none() {
            assert!(cut.is_none_or(|why| why == TimedOut::Stalled && waits), "invariant 1");
        }
        if let (Some(TimedOut::Stalled), Timestamp::Unset) = (cut, keep.blocked) {
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
        if let Some(TimedOut::Idle) = cut {
            let concluded = keep.concluded.map(|concluded| concluded + LIMITS.linger);
            assert!(shut.map(after).or(concluded).is_some_and(|at| *now >= at), "invariant 3");
        }
        if let (Some(retired), None, None) = (keep.retired, shut, cut) {
            assert_eq!(keep.is_concluded(), *now >= after(retired), "invariant 4");
        }
    }
}

/// Every history of six events, followed by eight seconds: one patience (5 s), one linger (2 s) and one more.
#[test]
fn the_invariants_hold_in_every_history() {
    for is_http2 in [false, true] {
        let mut cuts = 0;
        walk(&mut Vec::new(), is_http2, &mut cuts);
        assert!(cuts > 1000, "only {cuts} histories end with a cut");
    }
}

fn walk(history: &mut Vec<Event>, is_http2: bool, cuts: &mut usize) {
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
    fn check_in(&self, history: &[Event]) {
        let check = std::panic::AssertUnwindSafe(|| self.check());
        assert!(std::panic::catch_unwind(check).is_ok(), "{history:?}: {self:?}");
    }
}

#[test]
fn a_connection_that_was_just_active_may_ask_once_more() {
    let mut driven = Driven::new();
    for event in [Begin, End, Second, Second] {
        driven.after(event, false);
    }
    driven.after(Received, false);
    driven.after(Drain, false);
    assert_eq!(driven.keep.retired, None, "half a head arrived within the linger");
    driven.after(Begin, false);
    assert!(driven.keep.retired.is_some());
}

#[test]
fn a_connection_with_many_tunnels_retires() {
    let mut driven = Driven::new();
    for _ in 0..TUNNELS {
        assert_eq!(driven.keep.retired, None);
        driven.after(Begin, true);
        driven.keep.tunnel_opened();
        // As if the earlier tunnels were gone, so that `Begin` stays possible.
        driven.keep.in_flight = 1;
    }
    driven.drive();
    assert!(driven.keep.retired.is_some());
}

#[test]
fn half_a_head_is_cut_even_while_serving() {
    let mut driven = Driven::new();
    driven.after(Received, false);
    for _ in 0..30 {
        assert_eq!(driven.cut, None);
        driven.after(Received, false);
        driven.after(Second, false);
    }
    assert_eq!(driven.cut, Some(TimedOut::Head));
}
