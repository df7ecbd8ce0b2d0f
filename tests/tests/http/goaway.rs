//! How HTTP/2 connections end, frame by frame: a peer that answers late, or never, on a link that is slow.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use bytes::Bytes;
use graceful_tests::{PATIENCE, TERM, http::FORCE};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::socket::sockopt::RcvBuf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::start;

/// Longer than the linger, less than what the drain has for a peer.
const SLOW: Duration = Duration::from_millis(700);

/// The last stream of a GOAWAY that names none.
const ANY: u32 = (1 << 31) - 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A peer that sends what a test has it send, and nothing else.
struct Peer(TcpStream);

impl Peer {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        let mut peer = Self(stream);
        peer.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("written");
        peer.send(SETTINGS, 0, 0, &[]);
        peer.send(SETTINGS, ACK, 0, &[]);
        peer
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).expect("written");
    }

    /// Asks with GET: what is not in the static table (RFC 7541, appendix A) is spelled out.
    fn ask(&mut self, stream: u32, path: &str) {
        let length = u8::try_from(path.len()).expect("a short path");
        let block = [&[0x82, 0x86, 0x01, 4], &b"test"[..], &[0x04, length], path.as_bytes()];
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block.concat());
    }

    /// The next frame that says anything; `None` at the end.
    fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            if let Err(error) = self.0.read_exact(&mut head) {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "left hanging");
                return None;
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            self.0.read_exact(&mut payload).expect("a whole frame");
            let stream = number(&head[5..]);
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            if matches!(frame.kind, DATA | HEADERS | RESET | PING | GOAWAY) {
                return Some(frame);
            }
        }
    }

    /// A stream is answered with 200.
    fn answered(&mut self, stream: u32) {
        let head = self.next().expect("an answer");
        // 0x88 is `:status: 200`.
        assert_eq!((head.kind, head.stream, head.payload[0]), (HEADERS, stream, 0x88), "{head:?}");
        let mut is_over = head.flags & END_STREAM > 0;
        while !is_over {
            let frame = self.next().expect("the rest of an answer");
            assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
            is_over = frame.flags & END_STREAM > 0;
        }
    }

    fn goes_away(&mut self, last: u32) {
        let frame = self.next().expect("a GOAWAY");
        assert_eq!(frame.kind, GOAWAY, "{frame:?}");
        assert_eq!((number(&frame.payload), number(&frame.payload[4..])), (last, 0), "{frame:?}");
    }

    /// The first GOAWAY, and the PING that comes with it.
    fn retires(&mut self) -> Frame {
        self.goes_away(ANY);
        let ping = self.next().expect("a PING");
        assert_eq!((ping.kind, ping.flags), (PING, 0), "{ping:?}");
        ping
    }

    fn answer(&mut self, ping: &Frame) {
        self.send(PING, ACK, 0, &ping.payload);
    }

    /// The server's end; then the peer closes its own.
    fn ends(mut self) {
        let frame = self.next();
        assert!(frame.is_none(), "{frame:?}");
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// What it had sent before it heard of the GOAWAY is served, and named by the last one.
#[test]
fn a_stream_on_its_way_is_served_however_slow_the_link_is() {
    let (program, address) = start(&[]);
    let mut peer = Peer::connect(address);
    peer.ask(1, "/");
    peer.answered(1);
    let program = program.signal(TERM);
    let ping = peer.retires();
    thread::sleep(SLOW);
    peer.ask(3, "/");
    peer.answered(3);
    peer.answer(&ping);
    peer.goes_away(3);
    peer.ends();
    program.exits(0).printed("drained 1 in").within(FORCE);
}

#[test]
fn the_same_with_another_request_in_flight() {
    let (program, address) = start(&[]);
    let mut peer = Peer::connect(address);
    peer.ask(1, "/slow/1500");
    let program = program.line("begin").signal(TERM);
    let ping = peer.retires();
    thread::sleep(SLOW);
    peer.ask(3, "/");
    peer.answered(3);
    peer.answer(&ping);
    peer.goes_away(3);
    peer.answered(1);
    peer.ends();
    program.exits(0).printed("drained 2 in").within(FORCE);
}

/// All is said on both sides, and the connection stays.
#[test]
fn a_peer_that_does_not_close_its_end_does_not_hold_it() {
    let (program, address) = start(&[]);
    let mut peer = Peer::connect(address);
    let program = program.signal(TERM);
    let ping = peer.retires();
    peer.answer(&ping);
    peer.goes_away(0);
    let ended = peer.next();
    assert!(ended.is_none(), "{ended:?}");
    program.exits(0).within(FORCE / 2);
    drop(peer);
}

/// Also where it ends because nobody used it.
#[test]
fn the_same_on_a_connection_that_was_idle_for_long() {
    let (program, address) = start(&["idle=300"]);
    let mut peer = Peer::connect(address);
    peer.ask(1, "/");
    peer.answered(1);
    let ping = peer.retires();
    thread::sleep(SLOW);
    peer.ask(3, "/");
    peer.answered(3);
    peer.answer(&ping);
    peer.goes_away(3);
    peer.ends();
    program.signal(TERM).exits(0);
}

/// Silent from the begin, after a request, and in the middle of a frame.
#[test]
fn a_peer_that_never_answers_is_told_the_last_stream_all_the_same() {
    let (program, address) = start(&[]);
    let [mut silent, mut used] = [(); 2].map(|()| Peer::connect(address));
    used.ask(1, "/");
    used.answered(1);
    let mut halfway = Peer::connect(address);
    halfway.0.write_all(&[0, 0, 20, HEADERS, 5, 0]).expect("written");
    let program = program.signal(TERM);
    for peer in [&mut silent, &mut used, &mut halfway] {
        peer.retires();
    }
    silent.goes_away(0);
    used.goes_away(1);
    [silent, used, halfway].into_iter().for_each(Peer::ends);
    // A quarter of the drain, and a linger.
    program.exits(0).never_printed("takes nothing").within(FORCE / 2);
}

/// Also one that is cut because it makes no room for its answer.
#[test]
fn a_peer_that_makes_no_room_is_told_the_last_stream() {
    let (program, address) = start(&[]);
    let mut peer = Peer::connect(address);
    peer.ask(1, "/whole/100000");
    let head = peer.next().expect("an answer");
    assert_eq!((head.kind, head.stream), (HEADERS, 1), "{head:?}");
    // All that the window has room for.
    let mut taken = 0;
    while taken < 65_535 {
        let data = peer.next().expect("an answer");
        assert_eq!((data.kind, data.stream), (DATA, 1), "{data:?}");
        taken += data.payload.len();
    }
    let program = program.signal(TERM);
    peer.retires();
    peer.goes_away(1);
    peer.ends();
    program.exits(0).printed("takes nothing of its answer").within(FORCE);
}

/// Nor does it hold the drain by asking for more: that is ignored, as the last GOAWAY says.
#[test]
fn what_comes_after_the_last_goaway_is_ignored() {
    let (program, address) = start(&[]);
    let mut peer = Peer::connect(address);
    peer.ask(1, "/slow/5000");
    let program = program.line("begin 5000").signal(TERM);
    let ping = peer.retires();
    peer.ask(3, "/");
    peer.answered(3);
    peer.goes_away(3);
    peer.ask(5, "/");
    // As late as that it changes nothing.
    peer.answer(&ping);
    peer.answered(1);
    peer.ends();
    program.exits(0).printed("drained 2 in").within(FORCE);
}

/// What is not begun any more says so, and not that the server has failed.
#[test]
fn a_stream_that_comes_after_the_drain_is_refused() {
    let (program, address) = start(&["finalize=500"]);
    let mut peer = Peer::connect(address);
    peer.ask(1, "/stuck");
    let program = program.line("stuck").signal(TERM);
    peer.retires();
    let _program = program.after(Duration::from_millis(200)).signal(TERM).line("finalizing");
    let cut = peer.next().expect("an answer");
    assert_eq!((cut.kind, cut.stream), (HEADERS, 1), "{cut:?}");
    peer.ask(3, "/");
    let refused = peer.next().expect("an answer");
    assert_eq!((refused.kind, refused.stream), (RESET, 3), "{refused:?}");
    // `REFUSED_STREAM`.
    assert_eq!(number(&refused.payload), 7);
}

/// The end of an answer is with the system, and on its way for longer than anything: what the peer says meanwhile does not destroy it.
#[test]
fn what_a_peer_says_while_it_takes_an_answer_does_not_cut_that() {
    let (program, address) = start(&[]);
    let mut peer = Peer::connect(address);
    // So that it is the server's system that has to wait.
    nix::sys::socket::setsockopt(&peer.0, RcvBuf, &16_384).expect("an option");
    // The windows of the stream and of the connection are larger than the answer.
    peer.send(SETTINGS, 0, 0, &[0, 4, 0, 16, 0, 0]);
    peer.send(WINDOW, 0, 0, &[0, 16, 0, 0]);
    peer.ask(1, "/slow/500");
    let program = program.line("begin").signal(TERM);
    let ping = peer.retires();
    peer.ask(3, "/whole/100000");
    peer.answer(&ping);
    // All is said, and the connection over, as far as the program is concerned.
    let program = program.line("end 500");
    let mut taken = 0;
    while let Some(frame) = peer.next() {
        taken += if (frame.kind, frame.stream) == (DATA, 3) { frame.payload.len() } else { 0 };
        peer.send(WINDOW, 0, 0, &[0, 0, 0, 1]);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(taken, 100_000);
    drop(peer);
    program.exits(0).printed("drained 2 in").within(FORCE);
}

/// In one direction.
const DELAY: Duration = Duration::from_millis(300);

/// Many at once, through a link on which each byte takes its time: each is answered, or known not to have been begun.
#[test]
fn nothing_is_lost_on_a_slow_link() {
    let (program, address) = start(&[]);
    let runtime = Runtime::new().expect("a runtime");
    let clients: Vec<_> = runtime.block_on(async {
        let stream = slow_link(address).await;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (client, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let clients = (0..40).map(|number| tokio::spawn(load(client.clone(), number)));
        clients.collect()
    });
    let program = program.line("begin").line("end").after(DELAY).signal(TERM);
    let mut answered = 0;
    for client in clients {
        answered += runtime.block_on(client).expect("no panic");
    }
    assert!(answered >= 40, "{answered}");
    program.exits(0).within(FORCE);
}

/// Asks until it is told that a request was not begun.
async fn load(mut client: http2::SendRequest<Empty<Bytes>>, number: u64) -> usize {
    // Each at another moment of the way to and fro.
    sleep(DELAY / 20 * u32::try_from(number).expect("a number")).await;
    for answered in 0.. {
        let request = Request::get("http://test/slow/20").body(Empty::new()).expect("a request");
        let response = match client.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                assert!(is_not_begun(&error), "client {number} lost a request: {error:?}");
                return answered;
            }
        };
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.expect("a whole body");
        assert_eq!(&*body.to_bytes(), b"after 20\n");
    }
    unreachable!("the server stops")
}

/// Whether a client may try again: the connection was closed to it, its stream is above the last one, or was refused.
fn is_not_begun(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let Some(source) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return error.is_canceled() || error.is_closed();
    };
    let is_over = source.is_go_away() && source.reason() == Some(h2::Reason::NO_ERROR);
    is_over || source.is_reset() && source.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// A connection on which each byte takes the delay, in both directions.
async fn slow_link(address: SocketAddr) -> tokio::net::TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let near = listener.local_addr().expect("an address");
    let client = tokio::net::TcpStream::connect(near).await.expect("it listens");
    let (near, _) = listener.accept().await.expect("a connection");
    let far = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::spawn(delay(near_in, far_out));
    tokio::spawn(delay(far_in, near_out));
    client
}

async fn delay(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = receiver.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let piece = (Instant::now() + DELAY, buffer[..count].to_vec());
        if sender.send(piece).is_err() {
            break;
        }
    }
    // The end takes as long.
    sleep(DELAY).await;
}
