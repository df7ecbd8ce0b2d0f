//! HTTP/1.1 connections, idle and in use, in the lame duck, in the drain and at a force.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use graceful_tests::{
    CONT, Ended, PATIENCE, Program, Running, STOP, TERM,
    http::{
        Answer, Client, Connection, FORCE, ask, ask_on, connect, ends, get, head, refused, send,
    },
};
use nix::sys::socket::sockopt::RcvBuf;

use crate::start;

/// More than the linger, and less than anything else that could end a program.
const SOON: Duration = Duration::from_secs(3);

/// D01 D02 D05 D09 D14 D17 D22 D24 D25 D26: what is in flight is answered, says that its connection closes, and is all that is waited for.
/// D28 D29: the port is free again.
#[test]
fn requests_in_flight_are_answered_and_nothing_else_is_taken() {
    let (program, address) = start(&[]);
    let mut slow: Vec<_> = [600, 900, 1200].map(|ms| ask(address, &format!("/slow/{ms}"))).into();
    let program = program.line("begin").line("begin").line("begin");
    let program = program.signal(TERM).line("draining").line("end 600");
    refused(address);
    for (connection, ms) in slow.iter_mut().zip([600, 900, 1200]) {
        let answer = Answer::read(connection).expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (200, &*format!("after {ms}\n")));
        assert!(answer.closes(), "{answer:?}");
        ends(connection);
    }
    program.exits(0).printed("drained 3 in").within(FORCE);
    TcpListener::bind(address).expect("the port is free");
}

/// D03 D07 D08 D12 D26: what takes longer than there is time is cut then, and named.
#[test]
fn what_takes_too_long_is_cut_at_the_deadline_and_named() {
    let (program, address) = Program::new("http").env("GRACEFUL_TIMEOUT", "4s").serve();
    let mut slow = ask(address, "/slow/60000?secret");
    let peer = slow.get_ref().local_addr().expect("an address");
    let mut stuck = ask(address, "/stuck");
    let program = program.line("stuck").signal(TERM);
    ends(&mut slow);
    ends(&mut stuck);
    let ended = program.exits(143).printed("/stuck").never_printed("secret");
    let ended = ended.printed(&format!("http {peer} GET /slow/60000 3."));
    assert!(ended.took >= Duration::from_secs(3), "cut after {:?}", ended.took);
    ended.within(Duration::from_secs(4)).printed("tests/src/bin/http.rs:");
}

/// D27: a second signal ends it.
#[test]
fn a_force_cuts_at_once_and_lets_a_shield_answer() {
    let (program, address) = start(&[]);
    let (mut stuck, mut charged) = (ask(address, "/stuck"), ask(address, "/shield/1000"));
    let program = program.line("shield begins").signal(TERM).line("draining");
    let program = program.after(Duration::from_millis(200)).signal(TERM);
    ends(&mut stuck);
    assert_eq!(Answer::read(&mut charged).expect("an answer").body, "charged\n");
    let ended = program.exits(143).printed("shield ends").printed("GET /stuck");
    ended.within(FORCE).never_printed("GET /shield/1000 9");
}

/// D04 D06 D11: idle connections, half a head and connections on which nothing ever came do not hold it.
#[test]
fn what_is_idle_does_not_hold_it() {
    let (program, address) = start(&[]);
    let mut idle: Vec<_> = (0..50).map(|_| ask(address, "/")).collect();
    idle.push(ask(address, "/rest"));
    idle.iter_mut().for_each(|connection| drop(Answer::read(connection).expect("an answer")));
    let program = program.line("rest");
    idle.extend((0..50).map(|_| connect(address).expect("it listens")));
    let half = (0..50).map(|_| {
        let mut half = connect(address).expect("it listens");
        send(&mut half, "GET /slow/1 HTTP/1.1\r\nhost: te");
        half
    });
    idle.extend(half);
    let mut h2 = connect(address).expect("it listens");
    send(&mut h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut settings = [0; 9];
    h2.read_exact(&mut settings).expect("settings");
    // HTTP/2 has a quarter of the drain to answer.
    let ended = program.signal(TERM).exits(0).within(FORCE / 2);
    ended.never_printed("cut").printed("drained 0 in");
    idle.iter_mut().for_each(ends);
}

/// D15 D16 D17: a connection that was just in use is answered once more, and then no more.
#[test]
fn a_kept_connection_is_answered_once_more_within_its_linger() {
    let (program, address) = start(&["linger=2000"]);
    let mut holds = ask(address, "/slow/3500");
    let [mut asked, mut silent] = [ask(address, "/"), ask(address, "/")];
    assert!(!Answer::read(&mut asked).expect("an answer").closes());
    assert!(!Answer::read(&mut silent).expect("an answer").closes());
    let program = program.line("begin").signal(TERM).line("draining");
    let answer = get(&mut asked, "/");
    assert_eq!((answer.status, answer.closes()), (200, true));
    ends(&mut asked);
    ends(&mut silent);
    // The last is still in flight: it was the linger that ended the others.
    let program = program.line("end 3500");
    assert!(Answer::read(&mut holds).expect("an answer").closes());
    program.exits(0).within(FORCE);
}

/// D18: out of the balancer first, and still serving.
#[test]
fn a_lame_duck_is_not_ready_and_serves_on() {
    let (program, address) = Program::new("http").env("GRACEFUL_LAME_DUCK", "2s").serve();
    let mut kept = ask(address, "/readyz");
    assert_eq!(Answer::read(&mut kept).expect("an answer").body, "ok\n");
    let program = program.signal(TERM).line("lame duck");
    for (path, status, body) in
        [("/readyz", 503, "lame_duck\n"), ("/livez", 200, "ok\n"), ("/", 200, "hello\n")]
    {
        let mut connection = connect(address).expect("it still listens");
        let answer = get(&mut connection, path);
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
        assert!(answer.closes(), "{path}: {answer:?}");
        ends(&mut connection);
    }
    let answer = get(&mut kept, "/readyz?format=json");
    let text = r#"{"ready":false,"phase":"lame_duck","in_flight":0,"remaining":"#;
    assert!(answer.closes() && answer.body.starts_with(text), "{answer:?}");
    let ended = program.exits(0);
    assert!(ended.took >= Duration::from_secs(2), "it left after {:?}", ended.took);
    refused(address);
}

/// Also on a connection that was there before the server: the system does not take all of it from us.
#[test]
fn what_the_peer_has_not_taken_is_in_flight() {
    let (program, address) = start(&["wait=300"]);
    let _held = ask(address, "/whole/2000000");
    let program = program.line("whole");
    thread::sleep(Duration::from_millis(500));
    let mut health = ask(address, "/readyz?format=json");
    let answer = Answer::read(&mut health).expect("an answer");
    assert!(answer.body.contains(r#""in_flight":1,"#), "{answer:?}");
    program.signal(TERM).exits(0).printed("takes nothing of its answer").within(FORCE);
}

#[test]
fn health_says_what_is_asked() {
    let (program, address) = start(&[]);
    let slow = ask(address, "/slow/1000");
    let program = program.line("begin");
    let mut client = connect(address).expect("it listens");
    let answer = get(&mut client, "/readyz?format=json");
    assert_eq!(answer.body, r#"{"ready":true,"phase":"running","in_flight":1,"remaining":null}"#);
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    send(&mut client, &head("POST /livez", &[]));
    let answer = Answer::read(&mut client).expect("an answer");
    assert_eq!((answer.status, answer.field("allow")), (405, Some("get, head")));
    drop(slow);
    program.signal(TERM).exits(0);
}

/// D20: endless answers and upgraded connections hear of it at once, are waited for, and say goodbye.
#[test]
fn streams_and_sockets_hear_of_it_and_are_waited_for() {
    let (program, address) = start(&[]);
    let mut events = ask(address, "/events");
    let mut socket = upgrade(address, 700);
    let program = program.line("upgraded").signal(TERM);
    let answer = Answer::read(&mut events).expect("a whole answer");
    assert!(answer.body.ends_with("data: bye\n\n"), "{answer:?}");
    assert_eq!(frame(&mut socket), "bye");
    // It answers no close frame, so the handler stays as long as it wants to.
    let ended = program.line("socket over false").exits(0).printed("drained 2 in").within(FORCE);
    assert!(ended.took >= Duration::from_millis(700), "the socket was in flight");
}

/// The stream under an upgraded connection fails, so that its task ends.
#[test]
fn a_force_ends_an_upgraded_connection() {
    let (program, address) = start(&[]);
    let mut socket = upgrade(address, 60_000);
    let program = program.line("upgraded").signal(TERM).line("draining");
    assert_eq!(frame(&mut socket), "bye");
    let program = program.after(Duration::from_millis(200)).signal(TERM);
    ends(&mut socket);
    let ended = program.exits(143).printed("GET /ws/60000").printed("socket over true");
    ended.within(FORCE);
}

fn upgrade(address: SocketAddr, stay: u32) -> Connection {
    let mut socket = connect(address).expect("it listens");
    let fields = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    send(&mut socket, &head(&format!("GET /ws/{stay}"), &fields));
    assert_eq!(Answer::read(&mut socket).expect("an answer").status, 101);
    socket
}

/// A short frame of a WebSocket, without a mask.
fn frame(socket: &mut impl Read) -> String {
    let mut head = [0; 2];
    socket.read_exact(&mut head).expect("a frame");
    let mut text = vec![0; usize::from(head[1])];
    socket.read_exact(&mut text).expect("a whole frame");
    String::from_utf8(text).expect("a text")
}

/// D21 D23: what the system had accepted, and what had come on a kept connection, is served.
/// Four programs at once: on a busy machine, a runtime hears later of what has come.
#[test]
fn what_came_before_the_signal_is_served_also_if_nobody_had_looked() {
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(serves_what_came_before_the_signal);
        }
    });
}

fn serves_what_came_before_the_signal() {
    let (program, address) = start(&[]);
    let mut kept: Vec<_> = (0..20).map(|_| ask(address, "/")).collect();
    kept.iter_mut().for_each(|connection| drop(Answer::read(connection).expect("an answer")));
    // Idle for longer than the linger.
    let program = program.after(Duration::from_millis(700)).signal(STOP);
    kept.iter_mut().for_each(|connection| ask_on(connection, "/slow/50"));
    let mut backlog: Vec<_> = (0..20).map(|_| ask(address, "/slow/50")).collect();
    let program = program.signal(TERM).signal(CONT);
    for connection in kept.iter_mut().chain(&mut backlog) {
        let answer = Answer::read(connection).expect("no reset");
        assert!(answer.status == 200 && answer.closes(), "{answer:?}");
        ends(connection);
    }
    program.exits(0).printed("drained 40 in").never_printed("panicked");
    refused(address);
}

#[test]
fn a_peer_that_takes_nothing_does_not_hold_it() {
    for words in [&[][..], &["stall=300"]] {
        let (program, address) = start(words);
        let mut deaf = ask(address, "/big/500000000");
        let program = program.line("big");
        // Its answer has begun, and does not fit into what the system keeps for it.
        deaf.fill_buf().expect("a begin");
        let program = program.after(Duration::from_millis(100));
        let ended = program.signal(TERM).exits(0).printed("takes nothing of its answer");
        ended.within(FORCE);
    }
}

/// A slow one is not a deaf one, however little it takes at a time.
#[test]
fn a_peer_that_takes_its_time_gets_all_of_its_answer() {
    let (program, address) = start(&["stall=700"]);
    let mut slow = connect(address).expect("it listens");
    // So that it is the server that has to wait.
    nix::sys::socket::setsockopt(slow.get_ref(), RcvBuf, &65_536).expect("an option");
    ask_on(&mut slow, "/big/1900000");
    let program = program.line("big").signal(TERM).line("draining");
    let (begin, mut taken, mut piece) = (Instant::now(), 0, vec![0; 50_000]);
    loop {
        let count = slow.read(&mut piece).expect("no reset");
        if count == 0 {
            break;
        }
        taken += count;
        thread::sleep(Duration::from_micros(2 * count as u64));
    }
    assert!(taken > 1_800_000, "{taken} bytes");
    assert!(begin.elapsed() > Duration::from_secs(3), "too fast to show anything");
    program.exits(0).never_printed("takes nothing");
}

/// What is over for its handler and not for its peer is in flight, and is listed.
#[test]
fn an_answer_that_is_being_written_is_named_by_a_force() {
    let (program, address) = start(&[]);
    let mut deaf = ask(address, "/whole/50000000");
    let program = program.line("whole");
    deaf.fill_buf().expect("a begin");
    let mut client = connect(address).expect("it listens");
    let health = get(&mut client, "/readyz?format=json").body;
    assert!(health.contains(r#""in_flight":1"#), "{health}");
    let program = program.signal(TERM).line("draining").after(Duration::from_millis(200));
    program.signal(TERM).exits(143).printed("GET /whole/50000000").within(FORCE);
}

/// D01: also where the program itself would keep the port open.
#[test]
fn with_a_second_descriptor_a_connection_is_refused_at_once() {
    let (program, address) = start(&["holds"]);
    let mut slow = ask(address, "/slow/1500");
    let program = program.line("begin").signal(TERM).line("draining");
    let mut late = connect(address).expect("the other descriptor listens");
    // Whether it can still write is a matter of moments.
    drop(late.get_mut().write_all(head("GET /", &[]).as_bytes()));
    match Answer::read(&mut late) {
        // The backlog was not empty yet.
        Ok(answer) => assert!(answer.closes()),
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "left hanging"),
    }
    let program = program.after(Duration::from_millis(700));
    let begin = Instant::now();
    let mut late = connect(address).expect("the other descriptor listens");
    ends(&mut late);
    assert!(begin.elapsed() < PATIENCE, "left hanging");
    let program = program.line("end 1500");
    assert_eq!(Answer::read(&mut slow).expect("an answer").status, 200);
    program.exits(0);
}

#[test]
fn a_panic_is_answered_and_reported() {
    let (program, address) = start(&[]);
    let mut client = Client::new(address);
    assert_eq!(client.call("GET", "/panic", "").expect("an answer").0, 500);
    assert_eq!(client.call("GET", "/", "").expect("an answer").0, 200);
    program.signal(TERM).exits(0).printed("GET /panic panicked: a handler");
}

#[test]
fn there_are_no_more_connections_than_there_may_be() {
    let (program, address) = start(&["cap=2"]);
    let mut first = ask(address, "/");
    let _second = ask(address, "/slow/600");
    Answer::read(&mut first).expect("an answer");
    let program = program.line("begin 600");
    let mut third = ask(address, "/slow/1");
    third.get_ref().set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    assert_eq!(third.fill_buf().expect_err("it waits").kind(), ErrorKind::WouldBlock);
    third.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
    drop(first);
    assert_eq!(Answer::read(&mut third).expect("an answer").status, 200);
    program.signal(TERM).exits(0);
}

#[test]
fn heads_that_do_not_come_and_connections_that_nobody_uses_end() {
    let (program, address) = start(&["header=300"]);
    let mut half = connect(address).expect("it listens");
    send(&mut half, "GET / HTTP");
    ends(&mut half);
    let mut kept = ask(address, "/");
    Answer::read(&mut kept).expect("an answer");
    send(&mut kept, "GET / HTTP");
    ends(&mut kept);
    program.signal(TERM).exits(0);

    let (program, address) = start(&["idle=300"]);
    let mut kept = ask(address, "/slow/600");
    assert_eq!(Answer::read(&mut kept).expect("an answer").status, 200);
    ends(&mut kept);
    program.signal(TERM).exits(0);
}

/// A descriptor is short: it waits without spinning, says so once, and goes on when there is one.
#[test]
fn without_a_descriptor_it_waits_and_says_so() {
    let program = Program::new("http").through(&["prlimit", "--nofile=24:24"]);
    let (mut program, address) = program.serve();
    let crowd: Vec<_> = (0..30).map(|_| connect(address).expect("the backlog")).collect();
    program.wait_for("cannot accept");
    let before = cpu(&program);
    let program = program.after(Duration::from_millis(500));
    let used = cpu(&program) - before;
    assert!(used < Duration::from_millis(250), "it spins: {used:?} of 500 ms");
    drop(crowd);
    assert_eq!(Client::new(address).call("GET", "/", "").expect("an answer").0, 200);
    let text = program.signal(TERM).exits(0).text();
    assert_eq!(text.matches("cannot accept").count(), 1, "{text}");
}

/// The backlog is served as the connections that have the descriptors close.
#[test]
fn without_a_descriptor_the_backlog_is_served_all_the_same() {
    let program = Program::new("http").through(&["prlimit", "--nofile=40:40"]);
    let (mut program, address) = program.serve();
    let _idle: Vec<_> = (0..40).map(|_| connect(address).expect("the backlog")).collect();
    program.wait_for("cannot accept");
    // Idle for longer than the linger.
    let mut program = program.after(Duration::from_millis(700));
    let mut last: Vec<_> = (0..8).map(|_| ask(address, "/")).collect();
    program.send(TERM);
    for connection in &mut last {
        assert_eq!(Answer::read(connection).expect("no reset").body, "hello\n");
    }
    program.exits(0).within(FORCE);
}

/// The time that the program has had on a processor.
fn cpu(program: &Running) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    // Ticks of 10 ms, of the user's and of the system's code.
    let ticks =
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// D13: a client that goes away at any byte of its request leaves nothing behind.
#[test]
fn resets_at_every_byte_leave_nothing_behind() {
    let (program, address) = start(&[]);
    let request = head("POST /slow/5", &["content-length: 10"]) + "0123456789";
    for count in 0..=request.len() {
        for reset in [false, true] {
            let mut client = connect(address).expect("it listens");
            client.get_mut().write_all(&request.as_bytes()[..count]).expect("written");
            if reset {
                let socket = nix::sys::socket::sockopt::Linger;
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                nix::sys::socket::setsockopt(client.get_ref(), socket, &linger).expect("an option");
            }
        }
    }
    let mut client = connect(address).expect("it listens");
    let begin = Instant::now();
    while !get(&mut client, "/readyz?format=json").body.contains(r#""in_flight":0"#) {
        assert!(begin.elapsed() < PATIENCE, "something is left");
    }
    program.signal(TERM).exits(0).within(SOON);
}

#[test]
fn unix_sockets_and_the_address_of_a_peer() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("http.sock");
    let program =
        Program::new("http").arg(format_args!("unix={}", path.display())).start().line("listening");
    let mut client = BufReader::new(UnixStream::connect(&path).expect("it listens"));
    ask_on(&mut client, "/slow/500");
    let program = program.line("begin").signal(TERM);
    assert_eq!(Answer::read(&mut client).expect("an answer").body, "after 500\n");
    program.exits(0);

    let (program, address) = start(&["peer"]);
    let mut client = connect(address).expect("it listens");
    let own = client.get_ref().local_addr().expect("an address");
    assert_eq!(get(&mut client, "/peer").body, format!("{own}\n"));
    program.signal(TERM).exits(0);
}

/// The tower layer, below a server that is not ours.
#[test]
fn the_layer_counts_names_and_refuses() {
    let (program, address) = start(&["layer"]);
    let mut slow = ask(address, "/slow/700");
    let mut late = ask(address, "/slow/300");
    let program = program.line("begin").line("begin");
    // It is on its way behind the first when the drain begins.
    ask_on(&mut late, "/");
    let program = program.signal(TERM).line("end 700");
    for connection in [&mut slow, &mut late] {
        assert_eq!(Answer::read(connection).expect("an answer").status, 200);
    }
    program.exits(0).printed("drained");

    let (program, address) = start(&["layer"]);
    let mut stuck = ask(address, "/stuck");
    let program = program.line("stuck").signal(TERM).line("draining");
    let program = program.after(Duration::from_millis(200)).signal(TERM);
    assert_eq!(Answer::read(&mut stuck).expect("an answer").status, 503);
    program.exits(143).printed("http GET /stuck");
}

/// Rounds of TERM at any moment under load: what has been answered in part is answered in whole.
#[test]
fn no_answer_that_had_begun_is_lost() {
    let rounds =
        std::env::var("HTTP_ROUNDS").map_or(10, |rounds| rounds.parse().expect("a number"));
    let (mut answered, mut cut) = (0, 0);
    for round in 0..rounds {
        let (program, address) = start(&[]);
        let clients: Vec<_> =
            (0..8).map(|client| thread::spawn(move || load(address, client % 2 == 0))).collect();
        let program = program.line("begin");
        let program = program.after(Duration::from_micros(7919 * round % 100_000)).signal(TERM);
        let Ended { took, .. } = program.exits(0);
        for client in clients {
            let (whole, before) = client.join().expect("a client");
            answered += whole;
            cut += before;
        }
        assert!(took < FORCE, "it left after {took:?}");
    }
    assert!(answered > rounds, "{answered} answers, {cut} requests met a connection that was over");
}

/// Asks until nobody listens. Gives how much was answered, and how often a kept connection was over before a request was begun.
fn load(address: SocketAddr, keeps: bool) -> (u64, u64) {
    let request = head("GET /slow/3", &[]);
    let (mut answered, mut over) = (0, 0);
    let mut kept: Option<Connection> = None;
    loop {
        let is_fresh = kept.is_none();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match connect(address) {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    return (answered, over);
                }
                // Refused as well, a moment after the system had taken it.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    continue;
                }
            },
        };
        let begun = match connection.get_mut().write_all(request.as_bytes()) {
            Ok(()) => connection.fill_buf().map(|begin| !begin.is_empty()),
            Err(error) => Err(error),
        };
        match begun {
            Ok(true) => {
                let answer = Answer::read(&mut connection).expect("the rest of what had begun");
                assert_eq!((answer.status, answer.body.as_str()), (200, "after 3\n"));
                answered += 1;
                if answer.closes() {
                    ends(&mut connection);
                } else if keeps {
                    kept = Some(connection);
                } else {
                    drop(connection.get_ref().shutdown(Shutdown::Both));
                }
            }
            // Nothing of it was answered. On a fresh connection that is a connection which came after the backlog was empty.
            Ok(false) | Err(_) => over += u64::from(!is_fresh),
        }
    }
}
