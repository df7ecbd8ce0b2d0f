//! Text that comes from outside, or from the user's code, is shown escaped and cut, wherever it is shown.

use std::{fmt, future::pending, net::SocketAddr};

use graceful::{CancellationToken, Cause, Report, Shutdown};
use graceful_tests::{
    Ended, TERM,
    http::{Connection, connect, head, send},
    life::{Log, report_of},
};
use http_body_util::Empty;
use hyper::Request;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{http2, start};

/// Whether a terminal, or what shows a log, acts upon it.
fn is_acted_upon(c: char) -> bool {
    let code = u32::from(c);
    let is_control = code < 0x20 || (0x7f..=0x9f).contains(&code);
    let is_mark = [0x61c, 0x200e, 0x200f].contains(&code);
    let is_override = (0x2028..=0x202e).contains(&code) || (0x2066..=0x2069).contains(&code);
    is_control || is_mark || is_override
}

fn all_that_are_acted_upon() -> impl Iterator<Item = char> {
    ('\0'..'\u{3000}').filter(|&c| is_acted_upon(c))
}

/// How a text is to be shown.
fn escaped(text: &str) -> String {
    let escape = |c: char| match is_acted_upon(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Paths with each of the characters that a path may have: HTTP itself refuses those of ASCII.
fn paths() -> Vec<String> {
    let all: Vec<_> = all_that_are_acted_upon().filter(|c| !c.is_ascii()).collect();
    all.chunks(8).map(|some| format!("/stuck/a{}b", some.iter().collect::<String>())).collect()
}

/// Requests that are never answered, and what they last as long as.
enum Requests {
    Http1(Vec<Connection>),
    Http2(Runtime),
}

impl Requests {
    fn http1(address: SocketAddr, method: &str, paths: &[String]) -> Self {
        let ask = |path: &String| {
            let mut connection = connect(address).expect("it listens");
            send(&mut connection, &head(&format!("{method} {path}"), &[]));
            connection
        };
        Self::Http1(paths.iter().map(ask).collect())
    }

    fn http2(address: SocketAddr, method: &str, paths: &[String]) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (mut client, _connection) = runtime.block_on(http2::connect(address));
        for path in paths {
            let request = Request::builder().method(method).uri(format!("http://test{path}"));
            let request = request.body(Empty::new()).expect("a request");
            runtime.spawn(client.send_request(request));
        }
        Self::Http2(runtime)
    }
}

type Ask = fn(SocketAddr, &str, &[String]) -> Requests;

const PROTOCOLS: [(&str, Ask); 2] = [("HTTP/1.1", Requests::http1), ("HTTP/2", Requests::http2)];

/// Serves the requests until a force cuts them.
fn cut(words: &[&str], ask: Ask, method: &str, paths: &[String]) -> Ended {
    let (program, address) = start(words);
    let requests = ask(address, method, paths);
    let program = paths.iter().fold(program, |program, _| program.line("stuck"));
    // The event of the drain, and the one that names what is left a second later.
    let program = program.signal(TERM).line("draining").line("waiting for");
    let ended = program.signal(TERM).exits(143);
    match requests {
        Requests::Http1(connections) => drop(connections),
        Requests::Http2(runtime) => runtime.shutdown_background(),
    }
    ended
}

/// How a server may be made: `graceful::http`, and the layer below another server.
const SERVERS: [&[&str]; 2] = [&[], &["layer"]];

#[test]
fn what_a_client_writes_is_escaped_in_the_log_and_the_report() {
    for (protocol, ask) in PROTOCOLS {
        for server in SERVERS {
            let mut ended = cut(server, ask, "GET", &paths());
            let text = ended.text();
            for path in paths().iter().map(|path| escaped(path)) {
                let lines = text.lines().filter(|line| line.contains(&path)).count();
                // In the event of the force, and in the report.
                assert!(lines >= 2, "{protocol} {server:?}: {path}\n{text}");
            }
            ended = ended.printed("waiting for");
            assert!(!ended.text().replace('\n', "").contains(is_acted_upon), "{text:?}");
        }
    }
}

#[test]
fn what_a_client_writes_is_cut() {
    for (protocol, ask) in PROTOCOLS {
        // As long as the protocol's servers take it.
        let length = if protocol == "HTTP/2" { 10_000 } else { 60_000 };
        let method = "LONG".repeat(750);
        for server in SERVERS {
            let path = format!("/stuck/{}", "p".repeat(length));
            let ended = cut(server, ask, "GET", &[path]).printed("GET /stuck/ppp").printed("pp… ");
            for line in ended.text().lines() {
                assert!(line.len() < 1000, "{protocol} {server:?}: {} bytes", line.len());
            }
            let ended = cut(server, ask, &method, &["/stuck/a".to_owned()]).printed("LONGLONG");
            for line in ended.text().lines() {
                assert!(line.len() < 1000, "{protocol} {server:?}: {} bytes", line.len());
            }
        }
    }
}

/// A life on a paused clock: its report, and what it logged.
fn live(main: impl AsyncFnOnce(Shutdown)) -> (Report, String) {
    let (log, _guard) = Log::start();
    (report_of(main), log.text())
}

/// An error, or a name, that shows itself as it is.
struct Raw(String);

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts a text wherever one of the user's is shown. The force is the stop.
async fn put_everywhere(shutdown: Shutdown, text: &str) {
    let raw = || Raw(text.to_owned());
    drop(shutdown.task(text).spawn(pending::<()>()));
    let _flight = shutdown.flights("flight").begin(raw(), CancellationToken::new());
    // A thread cannot have a name with a NUL in it.
    shutdown.task(text).spawn_thread(|| ()).await.expect("it only ends");
    let error = raw();
    drop(shutdown.task(text).spawn(async { Err::<(), _>(error) }).await);
    let panics = raw();
    drop(shutdown.task(text).spawn(async move { panic!("{panics}") }).await);
    let error = raw();
    shutdown.finalizer(text, async move || Err::<(), _>(error));
    let panics = raw();
    shutdown.finalizer(text, async move || panic!("{panics}"));
    for straggler in shutdown.stragglers() {
        assert!(!straggler.name.contains(is_acted_upon), "{straggler:?}");
        assert!(!straggler.to_string().contains(is_acted_upon), "{straggler}");
    }
    shutdown.force(text);
    pending::<()>().await;
}

/// All texts in a report, with what they are.
fn texts(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((name.to_owned(), text.clone())),
        Value::Array(values) => values.iter().for_each(|value| texts(name, value, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| texts(name, value, found)),
        _ => {}
    }
}

#[test]
fn what_a_program_calls_its_work_is_escaped_in_all_forms_of_the_report() {
    let all: Vec<_> = all_that_are_acted_upon().collect();
    for some in all.chunks(8) {
        let text = format!("a{}b", some.iter().collect::<String>());
        let (report, log) = live(async |shutdown| put_everywhere(shutdown, &text).await);
        let shown = escaped(&text);

        assert_eq!(report.cause, Cause::Requested(shown.clone()));
        let names = report.stragglers.iter().filter(|straggler| straggler.name == shown).count();
        assert_eq!((names, report.errors.len(), report.panics.len()), (2, 1, 1), "{report:?}");
        assert_eq!(report.finalizers.len(), 2);
        assert!(!report.to_string().contains(is_acted_upon), "{report}");

        let mut found = Vec::new();
        texts("", &serde_json::to_value(&report).expect("it can be serialized"), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for (name, text) in found {
            // An error and a panic may have lines.
            let is_kept = |c| ["error", "message"].contains(&&*name) && ['\n', '\t'].contains(&c);
            assert!(!text.contains(|c| is_acted_upon(c) && !is_kept(c)), "{name}: {text:?}");
        }

        for told in [
            "in flight at the force",
            "task failed",
            "task panicked",
            "finalizer failed",
            "stopped: ",
        ] {
            assert!(log.lines().any(|line| line.contains(told)), "{told}: {log}");
        }
        assert!(!log.replace('\n', "").contains(is_acted_upon), "{log:?}");
        // Each line is an event, which begins with its time.
        assert!(log.lines().all(|line| line.starts_with("20")), "{log}");
    }
}

/// Its `Display` and `Debug` have no end: they are left where there is no more room.
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("more and ")?;
        }
    }
}

impl fmt::Debug for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[test]
fn what_has_no_end_is_cut() {
    let (report, log) = live(async |shutdown| {
        let _flight = shutdown.flights("flight").begin(Endless, CancellationToken::new());
        drop(shutdown.task("endless").spawn(async { Err::<(), _>(Endless) }).await);
        shutdown.force("enough");
        pending::<()>().await;
    });
    let [straggler, ..] = &*report.stragglers else { panic!("{report}") };
    assert!(straggler.name.ends_with('…') && straggler.name.chars().count() == 256);
    let [error] = &*report.errors else { panic!("{report}") };
    assert!(error.error.ends_with('…') && error.error.chars().count() == 16 * 1024);
    assert!(log.lines().all(|line| line.chars().count() < 2000), "{log}");
}
