//! The examples do what their heads say. The first one has a test under load of its own, `quickstart.rs`.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use graceful_tests::{
    INT, PATIENCE, TERM,
    http::{Answer, Connection, ask, ask_on, connect, head, refused, send},
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, client::conn::http2};
use hyper_util::{
    client::legacy::Client as PooledClient,
    rt::{TokioExecutor, TokioIo},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tungstenite::{Message, WebSocket, protocol::frame::coding::CloseCode};

use crate::{serve, start, text};

#[test]
fn the_job_service_names_the_request_that_it_waits_for() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("jobs.db");
    let variables = [("QUICKSTART_DB", text(&file)), ("QUICKSTART_ADDRESS", "127.0.0.1:0")];
    let (program, address) = serve("01_quickstart", &variables);
    let mut connection = connect(address).expect("it listens");
    put(&mut connection, "/jobs/1", "water the plants");
    assert_eq!(Answer::read(&mut connection).expect("an answer").status, 200);
    put(&mut connection, "/jobs/2/later/60000", "feed");
    assert_eq!(Answer::read(&mut connection).expect("an answer").status, 202);
    assert_eq!(readyz_and_close(connection), (200, "ok\n".to_owned()));

    let mut slow = connect(address).expect("it listens");
    put(&mut slow, "/jobs/3/slow/3000", "");
    let peer = slow.get_ref().local_addr().expect("an address");
    let program = program.signal(INT).line("draining");
    let program = program.line(&format!("waiting for http {peer} PUT /jobs/3/slow/3000 ("));
    refused(address);
    assert_eq!(Answer::read(&mut slow).expect("an answer").status, 200);
    let ended = program.exits(0).printed("closed the store with 3 jobs in it");
    let _ended = ended.printed("stopped: signal INT; drained 4 in");
}

#[test]
fn websockets_and_events_say_goodbye_after_the_lame_duck() {
    let (mut program, address) =
        serve("02_websockets_and_events", &[("EVENTS_ADDRESS", "127.0.0.1:0")]);
    let mut clock = ask(address, "/clock");
    line(&mut clock, "data: 0 s");
    let mut socket = websocket(address);
    echo(&mut socket, "before");
    assert_eq!(readyz(address), (200, "ok\n".to_owned()));

    program.send(TERM);
    program.wait_for("lame duck");
    assert_eq!(readyz(address), (503, "lame_duck\n".to_owned()));
    echo(&mut socket, "in the lame duck");
    let mut late = websocket(address);
    echo(&mut late, "late");
    last_event(&mut clock);
    goodbye(&mut socket);
    goodbye(&mut late);
    let ended = program.exits(0).never_printed("straggler");
    // With the question in the lame duck, which came after the request to stop.
    let _ended = ended.printed("stopped: signal TERM; drained 4 in");
    refused(address);
}

#[test]
fn the_terminal_needs_no_lame_duck_and_a_silent_websocket_does_not_hold_the_drain() {
    let (program, address) =
        serve("02_websockets_and_events", &[("EVENTS_ADDRESS", "127.0.0.1:0")]);
    let mut clock = ask(address, "/clock");
    line(&mut clock, "data: 0 s");
    let mut silent = websocket(address);
    echo(&mut silent, "before");
    let ended = program.signal(INT).exits(0).never_printed("lame duck");
    let _ended = ended.printed("stopped: signal INT; drained 2 in").never_printed("straggler");
    last_event(&mut clock);
}

#[test]
fn grpc_health_follows_the_phases_and_a_watch_ends_as_it_should() {
    let (mut program, address) = serve("03_grpc", &[("GRPC_ADDRESS", "127.0.0.1:0")]);
    patiently(async {
        let client = PooledClient::builder(TokioExecutor::new()).http2_only(true).build_http();
        let origin = format!("http://{address}").parse().expect("an address");
        let mut health = HealthClient::with_origin(client, origin);
        let whole = HealthCheckRequest::default;
        let mut watch = health.watch(whole()).await.expect("a stream").into_inner();
        let first = watch.message().await.expect("a message").expect("a status");
        assert_eq!(first.status(), ServingStatus::Serving);

        program.send(TERM);
        let second = watch.message().await.expect("a message").expect("a status");
        assert_eq!(second.status(), ServingStatus::NotServing);
        let checked = health.check(whole()).await.expect("still served").into_inner();
        assert_eq!(checked.status(), ServingStatus::NotServing);
        assert_eq!(watch.message().await.expect("a good end"), None);
        assert!(watch.trailers().await.expect("no error").is_some(), "it was told so");
    });
    let _ended = program.exits(0).printed("lame duck").never_printed("straggler");
    refused(address);
}

#[test]
fn tls_connections_are_closed_in_order_and_no_handshake_holds_the_stop() {
    let folder = TempDir::new().expect("a folder");
    let certificate = folder.path().join("certificate.pem");
    let variables = [("TLS_CERTIFICATE", text(&certificate)), ("TLS_ADDRESS", "127.0.0.1:0")];
    let (mut program, place) = start("04_tls", &variables);
    let port = place.strip_prefix("https://localhost:").expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let mut silent = connect(address).expect("it listens");
    patiently(async {
        let mut kept = tls(address, &certificate, "http/1.1").await;
        kept.write_all(head("GET /", &[]).as_bytes()).await.expect("written");
        let mut piece = String::new();
        while !piece.ends_with("\r\n\r\nhello over HTTP/1.1\n") {
            piece.push(char::from(kept.read_u8().await.expect("the answer goes on")));
        }

        let stream = TokioIo::new(tls(address, &certificate, "h2").await);
        let shaken = http2::handshake(TokioExecutor::new(), stream).await;
        let (mut sender, connection) = shaken.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let slow = tokio::spawn(get(&mut sender, "/slow/3000"));
        // Asked for after that one: when it is answered, the other one has come too.
        let (status, body) = get(&mut sender, "/").await;
        assert_eq!((status, &*body), (StatusCode::OK, "hello over HTTP/2.0\n"));

        program.send(INT);
        let waiting = tokio::task::spawn_blocking(move || {
            program.wait_for("GET /slow/3000 (");
            program
        });
        let program = waiting.await.expect("it says what it waits for");
        // An end without `close_notify` is an error.
        let mut rest = Vec::new();
        kept.read_to_end(&mut rest).await.expect("closed in order");
        assert!(rest.is_empty());
        let (status, body) = slow.await.expect("no panic");
        assert_eq!((status, &*body), (StatusCode::OK, "after 3000 ms\n"));
        connection.await.expect("no panic").expect("closed in order");
        let _ended = program.exits(0).never_printed("straggler");
    });
    assert_eq!(silent.read(&mut [0; 1]).expect("closed"), 0);
}

#[test]
fn hyper_waits_for_what_a_client_has_yet_to_send() {
    let folder = TempDir::new().expect("a folder");
    let socket = folder.path().join("hyper.sock");
    let (program, place) = start("05_hyper", &[("HYPER_SOCKET", text(&socket))]);
    assert_eq!(place, text(&socket));
    let mut health = unix(&socket);
    ask_on(&mut health, "/readyz");
    let answer = Answer::read(&mut health).expect("an answer");
    assert_eq!((answer.body.as_str(), answer.closes()), ("ok\n", false));
    // An answer can be read a moment before its request has ended. When its connection is closed, it has.
    send(&mut health, &head("GET /livez", &["connection: close"]));
    assert!(Answer::read(&mut health).expect("an answer").closes());
    assert_eq!(health.read(&mut [0]).expect("it is closed"), 0);
    let mut upload = upload(&socket, "one\ntwo\n");
    let program = program.signal(INT).line("waiting for http (unnamed) PUT /lines (");
    let refused = UnixStream::connect(&socket).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    send(&mut upload, "6\r\nthree\n\r\n0\r\n\r\n");
    let answer = Answer::read(&mut upload).expect("an answer");
    assert_eq!((answer.body.as_str(), answer.closes()), ("3 lines\n", true));
    let _ended = program.exits(0).printed("drained 1 in").never_printed("straggler");

    // The socket that is left is no obstacle for the next one.
    let (program, _) = start("05_hyper", &[("HYPER_SOCKET", text(&socket))]);
    let mut never = self::upload(&socket, "one\n");
    let program = program.signal(INT).line("waiting for http (unnamed) PUT /lines (");
    let _ended = program.signal(INT).exits(130).printed("straggler: http (unnamed) PUT /lines ");
    assert!(Answer::read(&mut never).is_err(), "it is cut");
}

fn put(connection: &mut Connection, path: &str, body: &str) {
    let length = format!("content-length: {}", body.len());
    send(connection, &(head(&format!("PUT {path}"), &[&length]) + body));
}

/// Asks whether the program is ready, on a connection of its own.
fn readyz(address: SocketAddr) -> (u16, String) {
    readyz_and_close(connect(address).expect("it listens"))
}

/// Asks, and waits until the connection is closed. An answer can be read a moment before its request has ended for the program; when the
/// connection is closed, all of its requests have.
fn readyz_and_close(mut connection: Connection) -> (u16, String) {
    send(&mut connection, &head("GET /readyz", &["connection: close"]));
    let answer = Answer::read(&mut connection).expect("an answer");
    assert_eq!(connection.read(&mut [0]).expect("it is closed"), 0);
    (answer.status, answer.body)
}

/// Reads up to a line.
fn line(connection: &mut impl BufRead, expected: &str) {
    let mut line = String::new();
    while line.trim_end() != expected {
        line.clear();
        assert!(
            connection.read_line(&mut line).expect("a line") > 0,
            "it ends before {expected:?}"
        );
    }
}

/// The event that says so, and the end of the answer, which the protocol says.
fn last_event(clock: &mut impl BufRead) {
    line(clock, "event: bye");
    let mut rest = String::new();
    clock.read_to_string(&mut rest).expect("closed in order");
    assert!(rest.contains("data: the server stops\n"), "{rest:?}");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest:?}");
}

fn websocket(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = connect(address).expect("it listens").into_inner();
    tungstenite::client(format!("ws://{address}/echo"), stream).expect("a WebSocket").0
}

fn echo(socket: &mut WebSocket<TcpStream>, text: &str) {
    socket.send(Message::text(text)).expect("sent");
    assert_eq!(socket.read().expect("a message"), Message::text(text));
}

/// The frame that says so, and the end after it is answered.
fn goodbye(socket: &mut WebSocket<TcpStream>) {
    let Message::Close(Some(frame)) = socket.read().expect("a message") else {
        panic!("something else");
    };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "the server stops"));
    let end = socket.read().expect_err("that was the last");
    assert!(matches!(end, tungstenite::Error::ConnectionClosed), "{end:?}");
}

fn patiently(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let test = async { tokio::time::timeout(PATIENCE, test).await.expect("it gets on") };
    runtime.expect("a runtime").block_on(test);
}

/// Connects to `localhost`, which has to show the certificate in that file.
async fn tls(
    address: SocketAddr,
    certificate: &Path,
    protocol: &str,
) -> TlsStream<tokio::net::TcpStream> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    roots.add(certificate).expect("a root");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    stream
}

/// Sends a request, and gives what reads its answer.
fn get(
    sender: &mut http2::SendRequest<Empty<Bytes>>,
    path: &str,
) -> impl Future<Output = (StatusCode, String)> + Send + use<> {
    let request = Request::get(format!("https://localhost{path}")).body(Empty::new());
    let answer = sender.send_request(request.expect("a request"));
    async move {
        let (head, body) = answer.await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        (head.status, String::from_utf8(body.into()).expect("a text"))
    }
}

/// Begins a request whose body comes in pieces, and sends the first.
fn upload(path: &Path, piece: &str) -> BufReader<UnixStream> {
    let mut connection = unix(path);
    let head = head("PUT /lines", &["transfer-encoding: chunked"]);
    send(&mut connection, &format!("{head}{:x}\r\n{piece}\r\n", piece.len()));
    connection
}

fn unix(path: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    BufReader::new(stream)
}
