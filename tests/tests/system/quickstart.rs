//! The first example under load: what it acknowledged is in its file, whenever it is stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    io::{ErrorKind, Read},
    net::SocketAddr,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use graceful_tests::{
    PATIENCE, Running, TERM,
    http::{Client, connect, head, refused, send},
    wait_until,
};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::{serve, text};

/// W08 W09: nothing acknowledged is lost, and the status is 0.
#[test]
fn every_acknowledged_job_is_in_the_file_whenever_it_is_stopped() {
    let (mut drained, mut owed) = (0, 0);
    for (round, clients) in [WITH_SLOW, WITHOUT_SLOW].into_iter().cycle().take(ROUNDS).enumerate() {
        let folder = TempDir::new().expect("a folder");
        let (mut program, address) = start(folder.path());
        let moment = Duration::from_millis(random(400));
        let (requests, signal) = load_and_stop(&mut program, address, moment, clients);
        let ended = program.exits(0);
        refused(address);

        let jobs = Jobs::read(folder.path());
        jobs.check(&requests);
        let (sent, written) = (requests.len(), jobs.bodies.len());
        let count = |test: &dyn Fn(&Request) -> bool| {
            requests.iter().filter(|request| test(request)).count()
        };
        let acknowledged = count(&Request::is_acknowledged);
        let drained_now =
            count(&|request| request.is_acknowledged() && request.was_in_flight(&signal));
        let owed_now = count(&|request| request.was_owed(&signal));
        eprintln!(
            "round {round}: TERM after {moment:?}, gone after {:?}; {sent} sent, {acknowledged} acknowledged, of these {drained_now} in \
             flight at TERM and {owed_now} promised for later; {written} in the file",
            ended.took
        );
        let _ended = ended.printed(&format!("closed the store with {written} jobs in it"));
        (drained, owed) = (drained + drained_now, owed + owed_now);
    }
    assert!(drained > 0, "no request was ever in flight at TERM");
    assert!(owed > 0, "no job was ever promised for a moment after TERM");
}

#[test]
fn the_jobs_are_there_after_a_restart() {
    let folder = TempDir::new().expect("a folder");
    for run in 0..3 {
        let (program, address) = start(folder.path());
        let mut client = Client::new(address);
        assert_eq!(client.call("GET", "/jobs", "").expect("an answer"), (200, run.to_string()));
        let path = format!("/jobs/{run}");
        assert_eq!(client.call("GET", &path, "").expect("an answer").0, 404);
        assert_eq!(client.call("PUT", &path, "a job").expect("an answer").0, 200);
        assert_eq!(client.call("GET", &path, "").expect("an answer"), (200, "a job".to_owned()));
        // The connection stays open and idle: it must not hold the program.
        program.signal(TERM).exits(0);
    }
    assert_eq!(Jobs::read(folder.path()).bodies.len(), 3);
}

#[test]
fn a_second_signal_ends_what_is_left_and_what_was_acknowledged_stays() {
    let folder = TempDir::new().expect("a folder");
    let (program, address) = start(folder.path());
    let mut client = Client::new(address);
    assert_eq!(client.call("PUT", "/jobs/1", "a job").expect("an answer").0, 200);

    let mut slow = connect(address).expect("it listens");
    let fields = ["content-length: 4", "expect: 100-continue"];
    send(&mut slow, &head("PUT /jobs/2/slow/3600000", &fields));
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).expect("the handler asks for the body");
    assert_eq!(&answer, b"HTTP/1.1 100");
    send(&mut slow, "slow");

    let program = program.signal(TERM).line("draining").after(Duration::from_millis(300));
    let ended = program.signal(TERM).exits(143).printed("closed the store with 1 jobs in it");
    let _ended = ended.printed("PUT /jobs/2/slow/3600000 ");
    assert_eq!(
        Jobs::read(folder.path()).bodies.into_iter().collect::<Vec<_>>(),
        [("1".into(), "a job".into())]
    );
}

/// Starts the example with its file in `folder`, on a free port.
fn start(folder: &Path) -> (Running, SocketAddr) {
    let file = folder.join(FILE);
    serve("01_quickstart", &[("QUICKSTART_DB", text(&file)), ("QUICKSTART_ADDRESS", "127.0.0.1:0")])
}

/// Lets all clients send jobs, sends TERM at some moment, and waits until nobody listens any more. Gives what was sent, and the
/// time that sending TERM took.
fn load_and_stop(
    program: &mut Running,
    address: SocketAddr,
    moment: Duration,
    clients: [Sends; 8],
) -> (Vec<Request>, Range<Instant>) {
    let answered = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (clients.into_iter().enumerate())
            .map(|(number, sends)| {
                scope.spawn(move || load(Client::new(address), number, sends, answered))
            })
            .collect();
        wait_until(|| answered.load(Ordering::Relaxed) > 20);
        thread::sleep(moment);
        let before = Instant::now();
        program.send(TERM);
        let signal = before..Instant::now();
        let requests = clients.into_iter().flat_map(|client| client.join().expect("a client"));
        (requests.collect(), signal)
    })
}

/// What a client sends.
#[derive(Clone, Copy)]
enum Sends {
    /// One job after the other.
    Plain,
    /// The same, and every second one is for later.
    Later,
    /// Jobs that are in flight for a while.
    Slow,
}

/// Sends jobs until nobody listens any more.
fn load(mut client: Client, number: usize, sends: Sends, answered: &AtomicUsize) -> Vec<Request> {
    let start = Instant::now();
    let mut requests = Vec::new();
    for n in 0.. {
        assert!(start.elapsed() < PATIENCE, "it still listens");
        let (id, body) = (format!("{number}-{n}"), format!("the body of {number}-{n}"));
        let (path, delay) = match sends {
            Sends::Later if n % 2 == 1 => plan("later", &id, random(500)),
            Sends::Slow => plan("slow", &id, 50 + random(200)),
            Sends::Plain | Sends::Later => (format!("/jobs/{id}"), 0),
        };
        let sent = Instant::now();
        let status = match client.call("PUT", &path, &body) {
            Ok((status, _)) => Some(status),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return requests,
            // Cut: the request reached nobody, or nobody could say so.
            Err(_) => None,
        };
        assert!(matches!(status, None | Some(200 | 202 | 503)), "{path}: status {status:?}");
        answered.fetch_add(1, Ordering::Relaxed);
        let answered = status.map(|status| (Instant::now(), status));
        requests.push(Request { id, body, delay: Duration::from_millis(delay), sent, answered });
    }
    requests
}

fn plan(how: &str, id: &str, delay: u64) -> (String, u64) {
    (format!("/jobs/{id}/{how}/{delay}"), delay)
}

/// A job that was sent, and when it was answered, and how.
#[derive(Debug)]
struct Request {
    id: String,
    body: String,
    delay: Duration,
    sent: Instant,
    answered: Option<(Instant, u16)>,
}

impl Request {
    fn is_acknowledged(&self) -> bool {
        matches!(self.answered, Some((_, 200 | 202)))
    }

    fn was_in_flight(&self, signal: &Range<Instant>) -> bool {
        self.sent < signal.start && self.answered.is_some_and(|(at, _)| at > signal.end)
    }

    /// Whether it was only promised at the signal, and not due yet.
    fn was_owed(&self, signal: &Range<Instant>) -> bool {
        self.answered.is_some_and(|(at, status)| status == 202 && at < signal.start)
            && self.sent + self.delay > signal.end
    }
}

/// What is in the file.
struct Jobs {
    bodies: BTreeMap<String, String>,
    logged: Vec<String>,
}

impl Jobs {
    fn read(folder: &Path) -> Self {
        let files: Vec<_> = folder
            .read_dir()
            .expect("the folder")
            .map(|file| file.expect("a file").file_name())
            .collect();
        assert_eq!(files, [FILE], "the store was closed: its journal is gone");
        let store =
            Connection::open_with_flags(folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)
                .expect("an SQLite file");
        let whole: String =
            store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!(whole, "ok");
        let rows = |select| -> Vec<(String, String)> {
            let mut statement = store.prepare(select).expect("a table");
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.expect("rows").map(|row| row.expect("a row")).collect()
        };
        let bodies = rows("SELECT id, body FROM jobs").into_iter().collect();
        let logged = rows("SELECT job, at FROM log").into_iter().map(|(job, _)| job).collect();
        Self { bodies, logged }
    }

    /// What was acknowledged is there, nothing is half there, and nothing is there that nobody sent.
    fn check(&self, requests: &[Request]) {
        for request in requests.iter().filter(|request| request.is_acknowledged()) {
            assert_eq!(
                self.bodies.get(&request.id),
                Some(&request.body),
                "acknowledged: {request:?}"
            );
        }
        let logged: BTreeSet<_> = self.logged.iter().collect();
        assert_eq!(logged.len(), self.logged.len(), "a job was written twice");
        assert!(
            logged.into_iter().eq(self.bodies.keys()),
            "a job without its log entry, or the reverse"
        );
        let sent: BTreeMap<_, _> =
            requests.iter().map(|request| (&request.id, &request.body)).collect();
        assert!(
            self.bodies.iter().all(|(id, body)| sent.get(id) == Some(&body)),
            "a job that nobody sent"
        );
    }
}

/// A number below `limit`; the moments differ from run to run, and each is printed.
fn random(limit: u64) -> u64 {
    RandomState::new().hash_one(()) % limit
}

const FILE: &str = "jobs.db";
/// Each takes about half a second.
const ROUNDS: usize = 8;
const WITH_SLOW: [Sends; 8] = [
    Sends::Plain,
    Sends::Plain,
    Sends::Plain,
    Sends::Later,
    Sends::Later,
    Sends::Slow,
    Sends::Slow,
    Sends::Slow,
];
/// Here nothing but the jobs themselves keeps the program from leaving.
const WITHOUT_SLOW: [Sends; 8] = [Sends::Later; 8];
