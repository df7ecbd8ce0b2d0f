//! Serves HTTP with `graceful::http::serve`. Takes what to serve with, as words: `unix`, `peer`, `holds` (a second descriptor of the
//! socket), `layer` (the tower layer, below `axum::serve`), `wait=MS` (before it serves), `linger=MS`, `cap=N`,
//! `stall=MS`, `finalize=MS` (how long its finalizer takes).
use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Path, WebSocketUpgrade, ws::Message},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use futures_util::{StreamExt, stream};
use graceful::{Shutdown, http};
use graceful_tests::{log, say};
use tokio::time::sleep;

fn option(name: &str) -> Option<u64> {
    let value = std::env::args().find_map(|word| Some(word.strip_prefix(name)?.to_owned()));
    value.map(|value| value.parse().expect("a number"))
}

fn has(word: &str) -> bool {
    std::env::args().any(|argument| argument == word)
}

async fn slow(Path(ms): Path<u64>) -> String {
    say(format_args!("begin {ms}"));
    sleep(Duration::from_millis(ms)).await;
    say(format_args!("end {ms}"));
    format!("after {ms}\n")
}

/// Answers a piece each 50 ms until the stop is requested, then one last.
async fn events() -> Response {
    let shutdown = Shutdown::current();
    let pieces = stream::unfold(false, move |is_over| {
        let shutdown = shutdown.clone();
        async move {
            if is_over {
                return None;
            }
            let piece = shutdown.until_requested(sleep(Duration::from_millis(50))).await;
            let text = if piece.is_some() { "data: tick\n\n" } else { "data: bye\n\n" };
            Some((Ok::<_, Infallible>(Bytes::from(text)), piece.is_none()))
        }
    });
    Body::from_stream(pieces).into_response()
}

/// Answers so many bytes, which the peer may not want to take.
async fn big(Path(bytes): Path<usize>) -> Response {
    say("big");
    let piece = Bytes::from(vec![b'.'; 64 * 1024]);
    let pieces =
        stream::iter((0..bytes / piece.len()).map(move |_| Ok::<_, Infallible>(piece.clone())));
    Body::from_stream(pieces).into_response()
}

/// As many bytes as a window of HTTP/2 has by default, then a pause, and a byte more.
async fn late(Path(ms): Path<u64>) -> Response {
    let pieces = stream::iter([65_535, 1]).then(move |length| async move {
        sleep(Duration::from_millis(if length == 1 { ms } else { 0 })).await;
        say(format_args!("piece {length}"));
        Ok::<_, Infallible>(Bytes::from(vec![b'.'; length]))
    });
    Body::from_stream(pieces).into_response()
}

/// So many bytes in one piece.
async fn whole(Path(bytes): Path<usize>) -> Vec<u8> {
    say("whole");
    vec![b'.'; bytes]
}

/// Echoes until the stop is requested; says goodbye, and stays as long as it is told to.
async fn socket(Path(stay): Path<u64>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        say("upgraded");
        let shutdown = Shutdown::current();
        while let Some(Some(Ok(message))) = shutdown.until_requested(socket.recv()).await {
            if let Message::Text(_) = message {
                drop(socket.send(message).await);
            }
        }
        drop(socket.send(Message::text("bye")).await);
        let end = tokio::time::timeout(Duration::from_millis(stay), async {
            while let Some(Ok(_)) = socket.recv().await {}
        });
        say(format_args!("socket over {}", end.await.is_ok()));
    })
}

async fn shielded(Path(ms): Path<u64>) -> &'static str {
    let shutdown = Shutdown::current();
    let work = async move {
        say("shield begins");
        sleep(Duration::from_millis(ms)).await;
        say("shield ends");
        "charged\n"
    };
    shutdown.shield(work).await
}

async fn panics() {
    panic!("a handler")
}

async fn stuck() {
    say("stuck");
    std::future::pending::<()>().await;
}

fn routes(shutdown: &Shutdown) -> Router {
    let health = http::health(shutdown);
    Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route("/slow/{ms}", get(slow).post(slow))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/events", get(events))
        .route("/big/{bytes}", get(big))
        .route("/late/{ms}", get(late))
        .route("/whole/{bytes}", get(whole))
        .route("/ws/{stay}", any(socket))
        .route("/shield/{ms}", get(shielded))
        .route("/stuck", get(stuck))
        .route("/stuck/{*name}", any(stuck))
        .route("/panic", get(panics))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("{peer}\n") }),
        )
        .route_service("/livez", health.clone())
        .route_service("/readyz", health)
}

#[graceful::main(timeout = "10s", finalize_timeout = "1s")]
async fn main(shutdown: Shutdown) -> std::io::Result<()> {
    log();
    let app = routes(&shutdown);
    if has("unix") {
        let path = std::env::args().next_back().expect("a path");
        let listener = shutdown.listen_unix("http", path)?;
        say("listening");
        return http::serve(listener, app, &shutdown).await;
    }
    let listener = shutdown.listen("http", "127.0.0.1:0").await?;
    say(format_args!("port {}", listener.local_addr()?.port()));
    sleep(Duration::from_millis(option("wait=").unwrap_or(0))).await;
    if let Some(ms) = option("finalize=") {
        shutdown.finalizer("slow", async move || sleep(Duration::from_millis(ms)).await);
    }
    if has("layer") {
        let app =
            app.layer(graceful::tower::Layer::new(&shutdown).refuse(Duration::from_millis(1500)));
        let stop = async move { shutdown.requested().await };
        return axum::serve(listener, app).with_graceful_shutdown(stop).await;
    }
    let _held = has("holds").then(|| {
        use std::os::fd::AsFd;
        listener.as_fd().try_clone_to_owned().expect("a descriptor")
    });
    if has("peer") {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        return http::serve(listener, app, &shutdown).await;
    }
    let mut server = http::serve(listener, app, &shutdown);
    if let Some(ms) = option("linger=") {
        server = server.linger(Duration::from_millis(ms));
    }
    if let Some(most) = option("cap=") {
        server = server.max_connections(most as usize);
    }
    if let Some(ms) = option("stall=") {
        server = server.write_timeout(Duration::from_millis(ms));
    }
    if let Some(ms) = option("header=") {
        server = server.header_timeout(Duration::from_millis(ms));
    }
    if let Some(ms) = option("idle=") {
        server = server.idle_timeout(Duration::from_millis(ms));
    }
    server.await
}
