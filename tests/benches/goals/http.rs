//! Serving HTTP: what a request costs, and how long a server takes to leave while clients hold its connections.

mod load;

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    leaving::{Leaver, client::Connection, entrants, pages::SECOND},
    rounds,
};

const SERVERS: [&str; 4] = ["graceful::http", "axum", "hyper-util", "actix-web"];

/// Longer than the linger of `graceful::http`, after which a connection is not expected to ask for anything any more.
const QUIET: Duration = SECOND;

pub(crate) fn run() {
    load::run();
    rounds::run(9, entrants(&SERVERS, "1,000 idle connections", with_idle_connections))
        .print("http");
    rounds::run(5, entrants(&SERVERS, "500 half heads", with_half_heads)).print("http");
    rounds::run(7, entrants(&SERVERS, "10,000 in flight", with_requests_in_flight)).print("http");
}

/// Each connection has been used, and might be again.
fn with_idle_connections(mut leaver: Leaver) -> f64 {
    let connections: Vec<_> = (0..1000).map(|_| leaver.used_connection()).collect();
    thread::sleep(QUIET);
    let begin = Instant::now();
    leaver.tell();
    let took = leaver.gone_after(begin);
    drop(connections);
    took
}

/// Each connection has sent half a head, and sends no more.
fn with_half_heads(mut leaver: Leaver) -> f64 {
    let half = |_| {
        let mut connection = leaver.connect();
        connection.ask_by_half();
        connection
    };
    let connections: Vec<_> = (0..500).map(half).collect();
    thread::sleep(QUIET);
    let begin = Instant::now();
    leaver.tell();
    let took = leaver.gone_after(begin);
    drop(connections);
    took
}

/// From the last answer on. They are read in the order in which they were asked for, so that the client keeps up with the server. One that
/// leaves without all of them has not done what was to be measured.
fn with_requests_in_flight(mut leaver: Leaver) -> f64 {
    let mut connections: Vec<_> = (0..10_000).map(|_| leaver.used_connection()).collect();
    connections.iter_mut().for_each(|connection| connection.ask("/second"));
    thread::sleep(SECOND / 4);
    leaver.tell();
    let answers = connections.iter_mut().filter_map(Connection::answer).count();
    let took = leaver.gone_after(Instant::now());
    if answers < connections.len() { f64::INFINITY } else { took }
}
