//! HTTP/2 connections in the drain.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use graceful_tests::{PATIENCE, Running, TERM, http::FORCE};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    ext::Protocol,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinHandle,
    time::{sleep, timeout},
};

type Client = SendRequest<Empty<Bytes>>;

fn start() -> (Running, SocketAddr, Runtime) {
    let (program, address) = crate::start(&[]);
    (program, address, Runtime::new().expect("a runtime"))
}

/// A connection, and the task that ends with it.
pub(crate) async fn connect(address: SocketAddr) -> (Client, JoinHandle<hyper::Result<()>>) {
    connect_with(address, 65_535).await
}

/// The same, with room for so many bytes of an answer.
async fn connect_with(address: SocketAddr, window: u32) -> (Client, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (client, connection) = builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
    (client, tokio::spawn(connection))
}

async fn ask(client: &mut Client, path: &str) -> hyper::Result<Response<Incoming>> {
    let request = Request::get(format!("http://test{path}")).body(Empty::new());
    client.ready().await?;
    client.send_request(request.expect("a request")).await
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.into()).expect("a text")
}

/// D02 D15: streams in flight are answered, then the connection ends in order.
#[test]
fn streams_in_flight_are_answered_and_the_connection_ends_in_order() {
    let (program, address, runtime) = start();
    let (mut client, connection) = runtime.block_on(connect(address));
    let slow: Vec<_> = [500, 800]
        .map(|ms| {
            let mut client = client.clone();
            runtime.spawn(async move {
                text(ask(&mut client, &format!("/slow/{ms}")).await.expect("an answer")).await
            })
        })
        .into();
    let program = program.line("begin").line("begin").signal(TERM).line("end 500");
    let late = runtime.block_on(ask(&mut client, "/"));
    assert!(late.is_err(), "GOAWAY was said: {late:?}");
    for (task, body) in slow.into_iter().zip(["after 500\n", "after 800\n"]) {
        assert_eq!(runtime.block_on(task).expect("no panic"), body);
    }
    runtime.block_on(connection).expect("no panic").expect("no error");
    program.exits(0).printed("drained 2 in").within(FORCE);
}

#[test]
fn a_panic_is_one_streams_own() {
    let (program, address, runtime) = start();
    let (mut client, _connection) = runtime.block_on(connect(address));
    let status = runtime.block_on(async {
        let slow = tokio::spawn({
            let mut client = client.clone();
            async move { ask(&mut client, "/slow/300").await.expect("an answer").status() }
        });
        let panic = ask(&mut client, "/panic").await.expect("an answer").status();
        (panic, slow.await.expect("no panic"))
    });
    assert_eq!(status, (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK));
    program.signal(TERM).exits(0).printed("GET /panic panicked");
}

/// It has been idle for a moment only, and its peer takes part.
#[test]
fn an_idle_connection_ends_in_order() {
    let (program, address, runtime) = start();
    let (mut client, connection) = runtime.block_on(connect(address));
    let response = runtime.block_on(ask(&mut client, "/"));
    assert_eq!(runtime.block_on(text(response.expect("an answer"))), "hello\n");
    let (_fresh, unused) = runtime.block_on(connect(address));
    let program = program.signal(TERM);
    for connection in [connection, unused] {
        runtime.block_on(connection).expect("no panic").expect("no error");
    }
    program.exits(0).within(FORCE);
}

/// Its peer does not read any more, and so never answers.
#[test]
fn a_deaf_connection_does_not_hold_it() {
    let (program, address, _) = start();
    // It runs inside of `block_on` alone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (mut client, _connection) = runtime.block_on(connect(address));
    let response = runtime.block_on(ask(&mut client, "/"));
    assert_eq!(runtime.block_on(text(response.expect("an answer"))), "hello\n");
    program.signal(TERM).exits(0).within(FORCE);
}

/// What was handed over as a whole is in flight until the peer has had room for it: large, and with room for a bit of it at a time.
#[test]
fn an_answer_that_waits_for_the_peer_is_not_cut() {
    // Longer than a peer may take nothing; longer than the linger.
    for (bytes, window, pause, longer) in [(1_500_000, 65_535, 2, 2250), (10_000, 2000, 150, 1000)]
    {
        let (program, address, runtime) = start();
        let (mut client, connection) = runtime.block_on(connect_with(address, window));
        let response = runtime.block_on(ask(&mut client, &format!("/whole/{bytes}")));
        let program = program.line("whole").signal(TERM).line("draining");
        let taken = runtime.block_on(async {
            let (mut body, mut taken) = (response.expect("a head").into_body(), 0);
            while let Some(frame) = body.frame().await {
                let length = frame.expect("no error").data_ref().map_or(0, Bytes::len);
                taken += length;
                sleep(Duration::from_micros(pause * length as u64)).await;
            }
            taken
        });
        assert_eq!(taken, bytes);
        runtime.block_on(connection).expect("no panic").expect("no error");
        let ended = program.exits(0).printed("drained 1 in").within(FORCE);
        assert!(ended.took.as_millis() > longer, "too fast to show anything: {:?}", ended.took);
    }
}

/// D27: a force ends one stream, and lets its neighbour, which waits in a shield, answer.
#[test]
fn a_force_cuts_a_stream_and_not_its_neighbour_in_a_shield() {
    let (program, address, runtime) = start();
    let (client, _connection) = runtime.block_on(connect(address));
    let [stuck, charged] = ["/stuck", "/shield/1000"].map(|path| {
        let mut client = client.clone();
        runtime.spawn(async move { ask(&mut client, path).await })
    });
    let program = program.line("s").line("s").signal(TERM).line("draining");
    let program = program.after(Duration::from_millis(200)).signal(TERM);
    let charged = runtime.block_on(charged).expect("no panic").expect("an answer");
    assert_eq!(runtime.block_on(text(charged)), "charged\n");
    let stuck = runtime.block_on(stuck).expect("no panic").expect("an answer");
    assert_eq!(stuck.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ended = program.exits(143).printed("GET /stuck").within(FORCE);
    let text = ended.text();
    let stopped = text.lines().find(|line| line.contains("stopped: ")).expect("a last line");
    assert!(!stopped.contains("/shield"), "{stopped}");
}

/// A peer that answers pings and makes no room.
#[test]
fn a_peer_that_makes_no_room_does_not_hold_it() {
    let (program, address, runtime) = start();
    let (mut client, _connection) = runtime.block_on(connect(address));
    let held = runtime.block_on(ask(&mut client, "/whole/3000000")).expect("a head");
    let program = program.line("whole").signal(TERM);
    program.exits(0).printed("takes nothing of its answer").within(FORCE);
    drop(held);
}

/// What it is to take comes when there is no room any more, and nothing else happens on the connection then.
#[test]
fn a_peer_that_makes_no_room_for_what_comes_late_does_not_hold_it() {
    let (program, address, runtime) = start();
    let (mut client, _connection) = runtime.block_on(connect(address));
    let held = runtime.block_on(ask(&mut client, "/late/700")).expect("a head");
    let program = program.line("piece 65535").signal(TERM).line("piece 1");
    program.exits(0).printed("takes nothing of its answer").within(FORCE);
    drop(held);
}

/// Each answer is taken as a whole, one after the other, in less time than a peer may take nothing, and all in more.
#[test]
fn a_peer_that_takes_one_answer_after_the_other_is_not_cut() {
    let (program, address, runtime) = start();
    let (mut client, _connection) = runtime.block_on(connect_with(address, 100));
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(runtime.block_on(ask(&mut client, "/whole/200")).expect("a head"));
    }
    let program = program.signal(TERM).line("draining");
    let begin = Instant::now();
    for answer in answers {
        runtime.block_on(async { sleep(Duration::from_millis(900)).await });
        assert_eq!(runtime.block_on(text(answer)).len(), 200);
    }
    assert!(begin.elapsed() > Duration::from_millis(2250), "too fast to show anything");
    program.exits(0).within(FORCE);
}

/// D20: a WebSocket inside of an HTTP/2 connection.
#[test]
fn a_tunnel_is_waited_for() {
    let (program, address, runtime) = start();
    let (mut client, _connection) = runtime.block_on(connect(address));
    let request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri("http://test/ws/700")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let mut socket = runtime.block_on(async {
        client.ready().await.expect("a connection");
        let response = client.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        TokioIo::new(hyper::upgrade::on(response).await.expect("a tunnel"))
    });
    let program = program.line("upgraded").signal(TERM);
    let goodbye = runtime.block_on(async {
        let mut frame = [0; 5];
        timeout(PATIENCE, socket.read_exact(&mut frame)).await.expect("in time").expect("a frame");
        frame
    });
    assert_eq!(&goodbye[2..], b"bye");
    let begin = Instant::now();
    let program = program.line("socket over false");
    assert!(begin.elapsed() > Duration::from_millis(100), "it stayed");
    drop(runtime.block_on(socket.shutdown()));
    program.exits(0).within(FORCE);
}
