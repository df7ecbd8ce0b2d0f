//! The load: a few clients that keep their connections, take no failure back and count every one.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use graceful_tests::PATIENCE;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const CLIENTS: u64 = 8;

/// How long an answer may take before it counts as lost: hundreds of times what it takes.
const ANSWER: Duration = Duration::from_secs(5);

/// What the clients of one balancer send, until it is ended.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<()>,
    end: CancellationToken,
    tally: Arc<Tally>,
}

impl Load {
    pub(crate) fn start(runtime: &Handle, to: SocketAddr) -> Self {
        let (end, tally) = (CancellationToken::new(), Arc::<Tally>::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn_on(client(number, to, end.clone(), Arc::clone(&tally)), runtime);
        }
        Self { clients, end, tally }
    }

    /// Waits for an answer of this process: then the balancer has it among its servers.
    pub(crate) fn is_answered_by(&self, process: u32) -> bool {
        let Tally { score, more } = &*self.tally;
        let end = Instant::now() + PATIENCE;
        let mut score = score.lock().unwrap_or_else(PoisonError::into_inner);
        while !score.processes.contains(&process) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            score = more.wait_timeout(score, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Lets each client have the answer that it waits for, and counts.
    pub(crate) async fn end(self) -> Score {
        self.end.cancel();
        self.clients.join_all().await;
        let mut score = self.tally.score.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *score)
    }
}

#[derive(Debug, Default)]
struct Tally {
    score: Mutex<Score>,
    /// Told when a process has answered for the first time.
    more: Condvar,
}

/// What came of the requests.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) sent: usize,
    /// Why the others failed, and how many for that reason.
    pub(crate) failures: BTreeMap<String, usize>,
    processes: HashSet<u32>,
}

impl Score {
    pub(crate) fn failed(&self) -> usize {
        self.failures.values().sum()
    }
}

impl Tally {
    fn add(&self, answer: Result<u32, String>) {
        let mut score = self.score.lock().unwrap_or_else(PoisonError::into_inner);
        score.sent += 1;
        match answer {
            Ok(process) if score.processes.insert(process) => self.more.notify_all(),
            Ok(_known) => {}
            Err(why) => *score.failures.entry(why).or_default() += 1,
        }
    }
}

async fn client(number: u64, to: SocketAddr, end: CancellationToken, tally: Arc<Tally>) {
    let mut connection = None;
    for turn in 0.. {
        if end.is_cancelled() {
            break;
        }
        let answer = timeout(ANSWER, ask(&mut connection, to, number, turn)).await;
        tally.add(answer.unwrap_or_else(|_elapsed| Err("no answer".to_owned())));
        // 5 to 25 ms: the connections behind the balancer are busy now, idle then.
        sleep(Duration::from_millis(5 + (number * 5 + turn * 13) % 21)).await;
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// Sends one request and checks the answer; gives the process that it is from.
async fn ask(
    connection: &mut Option<Connection>,
    to: SocketAddr,
    number: u64,
    turn: u64,
) -> Result<u32, String> {
    let mut sender = match connection.take() {
        // The balancer said that it would close it, or has done so.
        Some(kept) if kept.is_closed() => connect(to).await?,
        Some(kept) => kept,
        None => connect(to).await?,
    };
    sender.ready().await.map_err(|error| format!("{error:?}"))?;
    // Each third is one that no balancer may repeat once it was sent.
    let (method, path, body) = match turn % 3 {
        0 => ("POST", "/tell", format!("{number}.{turn}")),
        _ => ("GET", "/ask", String::new()),
    };
    let request = Request::builder().method(method).uri(path).header("host", "servers");
    let request = request.body(Full::from(body.clone())).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let answer = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
    *connection = Some(sender);
    if status != StatusCode::OK {
        return Err(format!("{method} {status}"));
    }
    let answer = String::from_utf8_lossy(&answer.to_bytes()).into_owned();
    let (process, echo) = answer.split_once(' ').unwrap_or_default();
    if echo != body {
        return Err("the answer of another request".to_owned());
    }
    process.parse().map_err(|_| "no process".to_owned())
}

async fn connect(to: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(to).await.map_err(|error| format!("connect: {error}"))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}
