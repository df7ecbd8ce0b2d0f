//! One of three servers behind a balancer, of three kinds: `graceful ADDRESS`, `axum ADDRESS` (its graceful shutdown, at `TERM`) and
//! `naive ADDRESS` (ends at once at `TERM`). Each answer takes a few milliseconds and names the process it comes from.

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use graceful_tests::{argument, say};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

fn main() -> ExitCode {
    match argument(1).as_str() {
        "graceful" => ours::main(),
        "axum" => peer(true),
        "naive" => peer(false),
        other => panic!("no kind of server: {other:?}"),
    }
}

mod ours {
    use graceful::{Shutdown, http};
    use graceful_tests::say;

    #[graceful::main(timeout = "10s")]
    pub(crate) async fn main(shutdown: Shutdown) -> std::io::Result<()> {
        let health = http::health(&shutdown);
        let routes = super::routes().route_service("/readyz", health);
        let listener = shutdown.listen("http", super::address()).await?;
        say("listening");
        http::serve(listener, routes, &shutdown).await
    }
}

#[tokio::main]
async fn peer(is_told: bool) -> ExitCode {
    let served: io::Result<()> = async {
        let routes = routes().route("/readyz", get(|| async { "ok\n" }));
        let listener = TcpListener::bind(address()).await?;
        say("listening");
        if !is_told {
            return axum::serve(listener, routes).await;
        }
        let mut terms = signal(SignalKind::terminate())?;
        let stop = async move { _ = terms.recv().await };
        axum::serve(listener, routes).with_graceful_shutdown(stop).await
    }
    .await;
    served.expect("it serves");
    ExitCode::SUCCESS
}

fn routes() -> Router {
    let process = std::process::id();
    let ask = move || async move {
        work().await;
        format!("{process} ")
    };
    let tell = move |body: Bytes| async move {
        work().await;
        format!("{process} {}", String::from_utf8_lossy(&body))
    };
    Router::new().route("/ask", get(ask)).route("/tell", post(tell))
}

/// 2 to 20 ms.
async fn work() {
    static TURN: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only that the times differ matters.
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    sleep(Duration::from_millis(2 + turn * 7 % 19)).await;
}

fn address() -> SocketAddr {
    argument(2).parse().expect("an address and a port")
}
