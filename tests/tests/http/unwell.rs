//! What of the program's own code fails in the middle of a request is said, once and with the request's name; a client that goes away is no failure.

use std::{io::Read, net::SocketAddr};

use bytes::Bytes;
use graceful_tests::{
    Ended, Program, Running, TERM,
    http::{ask, connect, head, send},
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

fn start(word: &str) -> (Running, SocketAddr) {
    Program::new("unwell").arg(word).serve()
}

/// All that comes of a request over HTTP/1.1, up to the end of its connection.
fn cut(address: SocketAddr, path: &str) -> (String, String) {
    let mut connection = ask(address, path);
    let own = connection.get_ref().local_addr().expect("an address");
    let mut text = String::new();
    drop(connection.read_to_string(&mut text));
    (text, format!("{own} GET {path}"))
}

/// What a request over HTTP/2 fails with.
fn reset(address: SocketAddr, path: &str) -> (Option<h2::Reason>, String) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let own = stream.local_addr().expect("an address");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut client, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = Request::get(format!("http://test{path}")).body(Empty::<Bytes>::new());
        let answer = async {
            let response = client.send_request(request.expect("a request")).await?;
            response.into_body().collect().await
        };
        let error = answer.await.expect_err("it fails");
        let source = std::error::Error::source(&error);
        let reason = source.and_then(|source| source.downcast_ref::<h2::Error>()?.reason());
        (reason, format!("{own} GET {path}"))
    })
}

fn warnings(ended: &Ended) -> Vec<String> {
    let text = ended.text();
    text.lines().filter(|line| line.contains(" WARN ")).map(ToOwned::to_owned).collect()
}

#[track_caller]
fn says_once(ended: &Ended, words: &[&str]) {
    let warnings = warnings(ended);
    let [warning] = &*warnings else { panic!("{}", ended.text()) };
    assert!(words.iter().all(|word| warning.contains(word)), "{warning}");
}

#[test]
fn a_body_that_fails_is_said() {
    let (program, address) = start("");
    let (text, name) = cut(address, "/body");
    assert!(text.ends_with("piece\r\n"), "the end of a body was told: {text}");
    says_once(&program.signal(TERM).exits(0), &["body", "no more pieces", &name]);

    let (program, address) = start("");
    let (reason, name) = reset(address, "/body");
    assert_eq!(reason, Some(h2::Reason::INTERNAL_ERROR));
    says_once(&program.signal(TERM).exits(0), &["body", "no more pieces", &name]);
}

#[test]
fn a_service_that_fails_is_said() {
    for (word, path, error) in [("", "/call", "no answer"), ("ready", "/", "not ready, never")] {
        let (program, address) = start(word);
        let (text, name) = cut(address, path);
        assert_eq!(text, "", "nothing was answered");
        says_once(&program.signal(TERM).exits(0), &["service", error, &name]);

        let (program, address) = start(word);
        let (reason, name) = reset(address, path);
        assert_eq!(reason, Some(h2::Reason::INTERNAL_ERROR));
        says_once(&program.signal(TERM).exits(0), &["service", error, &name]);
    }
}

#[test]
fn what_makes_services_and_fails_is_said() {
    let (program, address) = start("make");
    let (text, name) = cut(address, "/");
    assert_eq!(text, "", "nothing was answered");
    let peer = name.split(' ').next().expect("an address");
    says_once(&program.signal(TERM).exits(0), &["making the service", "no service", peer]);
}

/// It cannot be sent as it was announced.
#[test]
fn an_answer_that_is_none_of_http_is_said() {
    let (program, address) = start("");
    let (text, name) = cut(address, "/short");
    assert!(text.ends_with("\r\n\r\npiece"), "{text}");
    let peer = name.split(' ').next().expect("an address");
    says_once(&program.signal(TERM).exits(0), &["not valid HTTP", peer]);
}

/// In the middle of what it sends, so that what goes back to it fails with that.
#[test]
fn a_client_that_goes_away_is_no_failure() {
    let (program, address) = start("");
    let mut client = connect(address).expect("it listens");
    send(&mut client, &(head("POST /echo", &["content-length: 100"]) + "0123456789"));
    let program = program.line("true");
    drop(client);
    let ended = program.line("false").signal(TERM).exits(0);
    assert_eq!(warnings(&ended), Vec::<String>::new(), "{}", ended.text());
}
