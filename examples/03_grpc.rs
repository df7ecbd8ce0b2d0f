//! gRPC with tonic: the standard health service reports the program's phases, and its endless streams end.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 03_grpc
//! listening on http://127.0.0.1:50051
//! ```
//!
//! `GRPC_ADDRESS` sets another address. `curl` speaks enough of gRPC to watch the health in a second terminal. The five bytes that it sends are the frame of an
//! empty message. It gets one frame for each status, `08 01` for SERVING at first.
//!
//! ```text
//! $ printf '\0\0\0\0\0' > /tmp/empty
//! $ curl -sN --http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @/tmp/empty \
//!     127.0.0.1:50051/grpc.health.v1.Health/Watch | od -An -v -tx1 -w7
//!  00 00 00 00 02 08 01
//!  00 00 00 00 02 08 02
//! ```
//!
//! Type `kill $(pidof 03_grpc)` in a third terminal. At once `08 02` (NOT_SERVING) arrives, so that a client with its own balancing turns to other servers, and
//! the connection gets GOAWAY, so that the client sends no new requests on it. New connections are still served during the five seconds of the lame duck.
//! Then the watch ends properly, with `grpc-status: 0`, and the program exits with status 0.

use std::{env, io, io::Write};

use graceful::{Phase, Shutdown};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

#[graceful::main(timeout = "30s", lame_duck = "5s")]
async fn main(shutdown: Shutdown) -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let address = env::var("GRPC_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let listener = shutdown.listen("grpc", address).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    shutdown.task("grpc health").spawn(follow(shutdown.clone(), reporter));
    // Add your own services with `.add_service(..)`.
    let routes = Routes::new(health).prepare();
    graceful::http::serve(listener, routes, &shutdown).await
}

/// Reports the program's phases through the health service.
async fn follow(shutdown: Shutdown, mut reporter: HealthReporter) {
    let mut phases = shutdown.phases();
    let is_stopping = phases.wait_for(|&phase| phase >= Phase::LameDuck);
    if is_stopping.await.is_ok() {
        reporter.set_service_status("", ServingStatus::NotServing).await;
    }
    shutdown.requested().await;
    // This ends each `Watch` stream, which would otherwise hold the drain until the force. End your own streams with `.take_until(..)`, as the clock of
    // the second example does.
    reporter.clear_service_status("").await;
}
