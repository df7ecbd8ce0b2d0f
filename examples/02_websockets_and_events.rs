//! WebSockets and server-sent events: connections that would never end by themselves learn of the stop and close properly.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 02_websockets_and_events
//! listening on http://127.0.0.1:8080
//! ```
//!
//! `EVENTS_ADDRESS` sets another address. In other terminals, type
//!
//! ```text
//! $ curl -N 127.0.0.1:8080/clock                     # an event each second
//! $ npx wscat -c ws://127.0.0.1:8080/echo            # or another client for WebSockets: the server echoes what you type
//! $ curl -i 127.0.0.1:8080/readyz                    # 200
//! $ kill $(pidof 02_websockets_and_events)           # TERM, as a supervisor sends it
//! ```
//!
//! During the five seconds of the lame duck everything is served as before, including new connections. Only `/readyz` answers 503, so that a balancer sends
//! the next client to another server. Then new connections are refused, `curl` shows a last event, `wscat` shows the close code 1001 (going away), and the
//! program exits at once with status 0, although neither client would have hung up. Ctrl+C does the same without the lame duck, because there is no balancer
//! in front of a program in a terminal.

use std::{convert::Infallible, env, future::ready, io, io::Write, time::Duration};

use axum::{
    Router,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::{
        Response,
        sse::{Event, Sse},
    },
    routing::{any, get},
};
use futures_util::stream::{self, Stream, StreamExt};
use graceful::Shutdown;
use tokio::time::{interval, timeout};

#[graceful::main(timeout = "30s", lame_duck = "5s")]
async fn main(shutdown: Shutdown) -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let address = env::var("EVENTS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = shutdown.listen("http", address).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let health = graceful::http::health(&shutdown);
    let routes = Router::new()
        .route("/clock", get(clock))
        .route(
            "/echo",
            any(async |upgrade: WebSocketUpgrade| -> Response { upgrade.on_upgrade(echo) }),
        )
        .route_service("/livez", health.clone())
        .route_service("/readyz", health);
    graceful::http::serve(listener, routes, &shutdown).await
}

/// Sends an event each second, and a last one when the program stops.
async fn clock() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let shutdown = Shutdown::current();
    let ticks = stream::unfold((interval(Duration::from_secs(1)), 0), async |(mut timer, tick)| {
        timer.tick().await;
        Some((Event::default().data(format!("{tick} s")), (timer, tick + 1)))
    });
    // A browser reconnects by itself. After a second the balancer sends it to another server.
    let last = Event::default().event("bye").retry(Duration::from_secs(1)).data("the server stops");
    let events = ticks
        .take_until(async move { shutdown.requested().await })
        .chain(stream::once(ready(last)));
    Sse::new(events.map(Ok))
}

/// Echoes each message until the peer closes the socket or the stop is requested.
async fn echo(mut socket: WebSocket) {
    let shutdown = Shutdown::current();
    while let Some(Some(Ok(message))) = shutdown.until_requested(socket.recv()).await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
    let goodbye = async {
        let frame = CloseFrame { code: close_code::AWAY, reason: "the server stops".into() };
        socket.send(Message::Close(Some(frame))).await?;
        // Reads what the peer sent before it saw that, and its own close frame.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    // The drain waits until this socket is dropped, so do not wait longer for a peer that does not answer.
    let _gone = timeout(Duration::from_secs(1), goodbye).await;
}
