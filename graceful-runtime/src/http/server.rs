//! The configuration and state that all connections of a server share.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{sync::watch, time::Instant};

use super::keep_alive::{Limits, Stage};
use crate::{
    handle::{flight::Flights, shutdown::Shutdown},
    model::lifecycle::Phase,
};

/// Thirty years: longer than any program runs, and short enough that adding it to an `Instant` cannot overflow.
pub(super) const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

#[derive(Debug)]
pub(super) struct Server {
    pub(super) limits: Limits,
    shutdown: Shutdown,
    /// Has seen the phase in which the server started, so that a change means a later phase.
    phases: watch::Receiver<Phase>,
    /// Has seen the first stage, so that a change means that the server stops.
    stages: watch::Receiver<Stage>,
    pub(super) flights: Flights,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

impl Server {
    /// `keep_alive`: the interval of HTTP/2 PINGs, and how long a peer may take to answer one.
    pub(super) fn new(
        limits: Limits,
        keep_alive: (Duration, Duration),
        shutdown: &Shutdown,
        flights: Flights,
        stages: watch::Receiver<Stage>,
    ) -> Self {
        Self {
            limits,
            shutdown: shutdown.clone(),
            phases: shutdown.phases(),
            stages,
            flights,
            http1: http1(),
            http2: http2(keep_alive),
        }
    }

    /// The stage of a drain that begins now.
    pub(super) fn closing(&self) -> Stage {
        let quarter = self.shutdown.remaining().map_or(FAR, |drain| drain / 4);
        Stage::Closing { since: Instant::now(), patience: self.limits.write.min(quarter) }
    }

    /// Whether connections are no longer kept: the program is a lame duck or drains, or the server was dropped. It is true at once, even if
    /// the task of a connection has not seen the change yet. On the common path this costs three atomic loads.
    pub(super) fn is_stopping(&self) -> bool {
        let Self { shutdown, phases, stages, .. } = self;
        shutdown.is_requested()
            || stages.has_changed().unwrap_or(true)
            || phases.has_changed().unwrap_or(true) && shutdown.phase() >= Phase::LameDuck
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // `KeepAlive` has the limit for the header.
    builder.header_read_timeout(None);
    builder
}

fn http2((interval, timeout): (Duration, Duration)) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        // WebSockets over HTTP/2.
        .enable_connect_protocol();
    builder
}
