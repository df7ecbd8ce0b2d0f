//! The goals, and whether they are met.

use crate::results::{Measured, Results, three_digits};

/// What is to be reached.
struct Goal {
    section: &'static str,
    what: &'static str,
    ours: &'static str,
    /// Whom we are compared with; of a [`Limit::Share`], in the same thing.
    peer: &'static str,
    limit: Limit,
}

enum Limit {
    /// At most this much of the peer's.
    Share(f64),
    /// At most this much of our own in something else, which is named.
    OfOurs(&'static str, f64),
    /// At most this many more than the peer's.
    Added(f64),
    /// At most this much, whatever the peer's is.
    Most(f64, &'static str),
}

use Limit::{Added, Most, OfOurs, Share};

const fn goal(
    section: &'static str,
    what: &'static str,
    ours: &'static str,
    peer: &'static str,
    limit: Limit,
) -> Goal {
    Goal { section, what, ours, peer, limit }
}

const GOALS: [Goal; 39] = [
    goal("in flight", "1 thread", "try_guard", "Arc clone", Share(1.0)),
    goal("in flight", "2 threads", "try_guard", "TaskTracker::token", Share(0.1)),
    goal("in flight", "8 threads", "try_guard", "TaskTracker::token", Share(0.1)),
    goal("in flight", "8 threads", "try_guard", "try_guard", OfOurs("1 thread", 1.5)),
    goal("in flight", ACROSS, "try_guard", "TaskTracker::token", Share(1.0)),
    goal("asking", "1 thread", "is_requested", "is_cancelled", Most(2.0, "ns")),
    goal("crowd", "spawn, current-thread", "graceful", CLONED, Share(1.2)),
    goal("crowd", "spawn, two workers", "graceful", CLONED, Share(1.2)),
    goal("crowd", "bytes a task, current-thread", "graceful", CLONED, Most(490.0, "B")),
    goal("crowd", "bytes a task, two workers", "graceful", CLONED, Most(490.0, "B")),
    goal("crowd", "told and gone, current-thread", "graceful", CLONED, Share(0.9)),
    goal("crowd", "told and gone, two workers", "graceful", CLONED, Share(0.8)),
    goal("crowd", "told and gone, current-thread", "graceful", CHILDREN, Share(0.65)),
    goal("crowd", "told and gone, two workers", "graceful", CHILDREN, Share(0.65)),
    goal("crowd", "told and gone, current-thread", "graceful, aborted", SET, Share(1.0)),
    goal("crowd", "told and gone, two workers", "graceful, aborted", SET, Share(1.0)),
    goal("crowd", "memory held, current-thread", "graceful", BARE, Most(5.0, "%")),
    goal("crowd", "memory held, two workers", "graceful", BARE, Most(5.0, "%")),
    goal(
        "crowd",
        "memory held at the end, current-thread",
        "graceful, aborted",
        SET,
        Most(5.0, "%"),
    ),
    goal("crowd", "memory held at the end, two workers", "graceful, aborted", SET, Most(5.0, "%")),
    goal("scopes", "made, used once and dropped", "graceful", TRACKERS, Most(5.0, "µs")),
    goal("scopes", "bytes a living scope", "graceful", TRACKERS, Most(2048.0, "B")),
    goal("scopes", "memory grown, ten times 20,000", "graceful", TRACKERS, Most(5.0, "%")),
    goal("leaving", "idle", "graceful + axum", "axum", Share(1.25)),
    goal("leaving", "idle", HTTP, "axum", Share(1.25)),
    goal("leaving", "after the last request", "graceful + axum", "axum", Share(1.15)),
    goal("leaving", "idle p99", "graceful + axum", "graceful + axum", OfOurs("idle", 3.0)),
    goal(
        "leaving",
        "after the last request p99",
        "graceful + axum",
        "graceful + axum",
        OfOurs("after the last request", 3.0),
    ),
    goal("http", "processor time a request, HTTP/1.1", HTTP, "axum", Share(1.03)),
    goal("http", "processor time a request, HTTP/2", HTTP, "axum", Share(1.0)),
    goal("http", "time a request, HTTP/1.1", HTTP, "axum", Share(1.0)),
    goal("http", "time a request, HTTP/2", HTTP, "axum", Share(1.0)),
    goal("http", "1,000 idle connections", HTTP, "hyper-util", Share(1.15)),
    goal("http", "500 half heads", HTTP, "hyper-util", Share(1.0)),
    goal("http", "10,000 in flight", HTTP, "hyper-util", Share(1.5)),
    goal("starting", "start to main", "#[graceful::main]", "#[tokio::main]", Share(1.05)),
    goal("building", "debug build", "#[graceful::main]", "#[tokio::main]", Share(1.25)),
    goal("building", "release build", "#[graceful::main]", "#[tokio::main]", Share(1.25)),
    goal("building", "crates", "#[graceful::main]", "#[tokio::main]", Added(10.0)),
];

const ACROSS: &str = "enter here, leave there";
const HTTP: &str = "graceful::http";
const CLONED: &str = "TaskTracker + cloned token";
const CHILDREN: &str = "TaskTracker + child tokens";
const TRACKERS: &str = "TaskTracker + child token";
const SET: &str = "JoinSet, aborted";
const BARE: &str = "bare tokio, aborted";

/// A section that was not measured has no rows.
pub(crate) fn table(results: &Results) -> String {
    let head = "| what | ours | peer | ratio | goal | |\n|---|---|---|---|---|---|\n";
    let rows = GOALS.iter().filter_map(|goal| goal.row(results));
    head.to_owned() + &rows.collect::<String>()
}

/// What a reader wants to know first: in words, and where it was measured.
const COSTS: [(&str, &str, &str, &str, &str); 12] = [
    ("a guard, one thread", "in flight", "1 thread", "try_guard", "Arc clone"),
    ("a guard, two threads", "in flight", "2 threads", "try_guard", "TaskTracker::token"),
    ("asking whether to stop", "asking", "1 thread", "is_requested", "is_cancelled"),
    ("spawning a task, two workers", "crowd", "spawn, two workers", "graceful", CLONED),
    ("memory of a waiting task", "crowd", "bytes a task, two workers", "graceful", CLONED),
    (
        "processor time of a request, HTTP/1.1",
        "http",
        "processor time a request, HTTP/1.1",
        HTTP,
        "axum",
    ),
    (
        "processor time of a request, HTTP/2",
        "http",
        "processor time a request, HTTP/2",
        HTTP,
        "axum",
    ),
    ("from TERM to the exit, nothing to do", "leaving", "idle", "graceful + axum", "axum"),
    ("the same with 1,000 idle connections", "http", "1,000 idle connections", HTTP, "hyper-util"),
    ("from the last of 10,000 answers to the exit", "http", "10,000 in flight", HTTP, "hyper-util"),
    (
        "from the start of the process to `main`",
        "starting",
        "start to main",
        "#[graceful::main]",
        "#[tokio::main]",
    ),
    (
        "building a hello in release, cold",
        "building",
        "release build",
        "#[graceful::main]",
        "#[tokio::main]",
    ),
];

/// The costs in a dozen lines, without goals. What was not measured has no row.
pub(crate) fn costs(results: &Results) -> String {
    let row = |&(words, section, what, ours, peer): &(&str, &str, &str, &str, &str)| {
        let ours = results.get(section, what, ours)?;
        let peer = results.get(section, what, peer)?;
        Some(format!("| {words} | {} | {} | {} |\n", ours.text(), peer.text(), code(&peer.peer)))
    };
    let head = "| | ours | the other | which is |\n|---|---|---|---|\n";
    head.to_owned() + &COSTS.iter().filter_map(row).collect::<String>()
}

impl Goal {
    fn row(&self, results: &Results) -> Option<String> {
        let Self { section, what, ours, peer, limit } = self;
        let there = if let OfOurs(there, _) = limit { there } else { what };
        let ours = results.get(section, what, ours)?;
        let peer = results.get(section, there, peer)?;
        let ratio = match ours.number / peer.number {
            ratio if ratio.is_nan() => "–".to_owned(),
            ratio => format!("{ratio:.2}"),
        };
        let (goal, met) = limit.judge(&ours, &peer);
        let met = met.map_or("–", |met| if met { "met" } else { "**missed**" });
        let name = |it: &Measured| match it.number.is_nan() {
            true => format!("{}: {}", code(&it.peer), it.text()),
            false => format!("{} {}", it.text(), code(&it.peer)),
        };
        let beside = if there == what { String::new() } else { format!(", {there}") };
        Some(format!(
            "| {section}: {what} | {} | {}{beside} | {ratio} | {goal} | {met} |\n",
            name(&ours),
            name(&peer),
        ))
    }
}

impl Limit {
    /// The goal in words, and whether it is met; `None` where that was not measured. Compared as printed, so that the row does not
    /// contradict itself.
    fn judge(&self, ours: &Measured, peer: &Measured) -> (String, Option<bool>) {
        let (ours, peer) = (ours.number, peer.number);
        let (goal, number, most) = match *self {
            Share(most) | OfOurs(_, most) => (format!("≤ {most:.2}"), ours / peer, most),
            Added(most) => (format!("at most {most} more"), ours - peer, most),
            Most(most, unit) => (format!("≤ {} {unit}", three_digits(most)), ours, most),
        };
        let hundredths = |number: f64| (number * 100.0).round();
        (goal, (!number.is_nan()).then(|| hundredths(number) <= hundredths(most)))
    }
}

/// A name from a program is set as one.
fn code(name: &str) -> String {
    if name.contains(['_', ':', '#']) { format!("`{name}`") } else { name.to_owned() }
}
