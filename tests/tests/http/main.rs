//! Serving HTTP, and stopping: what a client sees of it.

mod full;
mod goaway;
mod http1;
mod http2;
mod names;
mod unwell;

use std::net::SocketAddr;

use graceful_tests::{Program, Running};

/// Starts the program `http`.
fn start(words: &[&str]) -> (Running, SocketAddr) {
    Program::new("http").args(words).serve()
}
