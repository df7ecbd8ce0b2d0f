//! Serves HTTP with `graceful::http::serve`, and says `port N` once it listens. Takes any of these words:
//!
//! | word | what is different |
//! |---|---|
//! | `unix=PATH` | it listens on a Unix socket, and says `listening` |
//! | `layer` | it is `axum::serve` that serves, with the layer of `graceful::tower` |
//! | `peer` | the handlers get the address of the peer |
//! | `holds` | the program has a second descriptor of the listening socket |
//! | `wait=MS` | it listens for so long before it serves |
//! | `finalize=MS` | a finalizer takes so long |
//! | `linger=MS`, `idle=MS`, `header=MS`, `stall=MS`, `cap=N` | `linger`, `idle_timeout`, `header_timeout`, `write_timeout` and `max_connections` of the server |
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
use graceful_tests::{has_word, log, option, say};
use tokio::time::sleep;

fn number(name: &str) -> Option<u64> {
    option(name).map(|value| value.parse().expect("a number"))
}

fn milliseconds(name: &str) -> Option<Duration> {
    number(name).map(Duration::from_millis)
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

/// Says `rest` once no request is in flight any more: an answer that was read may count for a moment longer.
async fn rest() {
    let shutdown = Shutdown::current();
    tokio::spawn(async move {
        while shutdown.in_flight() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        say("rest");
    });
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
        .route("/rest", get(rest))
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
    if let Some(path) = option("unix") {
        let listener = shutdown.listen_unix("http", path)?;
        say("listening");
        return http::serve(listener, app, &shutdown).await;
    }
    let listener = shutdown.listen("http", "127.0.0.1:0").await?;
    say(format_args!("port {}", listener.local_addr()?.port()));
    sleep(milliseconds("wait").unwrap_or_default()).await;
    if let Some(time) = milliseconds("finalize") {
        shutdown.finalizer("slow", async move || sleep(time).await);
    }
    if has_word("layer") {
        let app =
            app.layer(graceful::tower::Layer::new(&shutdown).refuse(Duration::from_millis(1500)));
        let stop = async move { shutdown.requested().await };
        return axum::serve(listener, app).with_graceful_shutdown(stop).await;
    }
    let _held = has_word("holds").then(|| {
        use std::os::fd::AsFd;
        listener.as_fd().try_clone_to_owned().expect("a descriptor")
    });
    if has_word("peer") {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        return http::serve(listener, app, &shutdown).await;
    }
    let mut server = http::serve(listener, app, &shutdown);
    if let Some(time) = milliseconds("linger") {
        server = server.linger(time);
    }
    if let Some(most) = number("cap") {
        server = server.max_connections(most as usize);
    }
    if let Some(time) = milliseconds("stall") {
        server = server.write_timeout(time);
    }
    if let Some(time) = milliseconds("header") {
        server = server.header_timeout(time);
    }
    if let Some(time) = milliseconds("idle") {
        server = server.idle_timeout(time);
    }
    server.await
}
