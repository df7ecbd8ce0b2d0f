//! What it costs to be in flight: an ordinary reading, `cargo bench -p graceful-tests --bench in_flight`.
//!
//! On a machine where other things run, only the ratios of `goals` mean something: it takes turns, and its threads stay on cores of their own.

mod peers;

use std::{hint::black_box, process::ExitCode, sync::OnceLock};

use divan::Bencher;
use graceful::{Builder, Shutdown};

use crate::peers::{
    AnyGuard, ArcClone, AsyncShutdown, ChildToken, HyperUtil, IsCancelled, IsRequested, Nothing,
    Peer, SenderClone, TokenClone, TokioGraceful, TrackerToken, TryGuard,
};

static SHUTDOWN: OnceLock<Shutdown> = OnceLock::new();

fn main() -> ExitCode {
    // Without it, this is `cargo test --benches`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    Builder::new().run(async |shutdown| {
        SHUTDOWN.get_or_init(|| shutdown);
        divan::main();
    })
}

#[divan::bench(
    types = [
        Nothing, TryGuard, AnyGuard, TrackerToken, HyperUtil, ArcClone, SenderClone, TokioGraceful,
        AsyncShutdown, TokenClone, ChildToken,
    ],
    threads = [1, 2, 8],
    sample_count = 20,
    // With fewer, the threads would hardly meet.
    sample_size = 100_000,
)]
fn enter_and_leave<P: Peer>(bencher: Bencher<'_, '_>) {
    each::<P>(bencher);
}

#[divan::bench(types = [IsRequested, IsCancelled], threads = [1, 2, 8], sample_count = 20, sample_size = 100_000)]
fn ask<P: Peer>(bencher: Bencher<'_, '_>) {
    each::<P>(bencher);
}

fn each<P: Peer>(bencher: Bencher<'_, '_>) {
    let peer = P::new(SHUTDOWN.get().unwrap_or_else(|| panic!("{} before `main`", P::NAME)));
    // Dropped inside: a returned value would be dropped outside of the measurement.
    bencher.bench(|| drop(black_box(peer.enter())));
}
