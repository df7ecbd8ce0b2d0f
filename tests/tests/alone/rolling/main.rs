//! Rolling deploys behind real balancers: three servers, each stopped by TERM and started again in turn, while clients ask through all
//! balancers at once.
//!
//! `scripts/rolling` runs this. It is alone because it needs HAProxy, nginx and Envoy, and the whole machine.

mod balancers;
mod load;

use std::{path::Path, process::Command};

use balancers::{Balancers, FRONTS, Front, SERVERS, address, free_port};
use graceful_tests::{Program, Running, TERM};
use load::{Load, Score};
use tempfile::TempDir;

const ROUNDS: usize = 5;

/// A kind of server.
struct Kind {
    name: &'static str,
    argument: &'static str,
    /// Where there is one it is longer than a balancer takes to see that the server is not ready: the time to the second check, 1 s.
    lame_duck: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "exits at once", argument: "naive", lame_duck: "0s" },
    Kind { name: "`axum::serve`, graceful", argument: "axum", lame_duck: "0s" },
    Kind { name: "ours, no lame duck", argument: "graceful", lame_duck: "0s" },
    Kind { name: "ours", argument: "graceful", lame_duck: "1500ms" },
];

#[test]
#[ignore = "needs HAProxy, nginx and Envoy: scripts/rolling runs it"]
fn no_request_is_lost_in_a_rolling_deploy() {
    let scores = KINDS.each_ref().map(roll);
    eprintln!("\n{}", table(&scores));
    let [naive, .., ours] = &scores;
    for (front, score) in FRONTS.iter().zip(ours) {
        assert!(score.failed() == 0 || !front.is_to_lose_none, "{}: {score:?}", front.name);
    }
    // The load is one that finds what is lost.
    for (front, score) in FRONTS.iter().zip(naive) {
        assert!(score.failed() > 0 || !front.never_retries, "{}: {score:?}", front.name);
    }
}

/// The tests in `tests/system/deploy.rs` check their numbers.
#[test]
#[ignore = "needs HAProxy and nginx: scripts/rolling runs it"]
fn the_configurations_of_the_example_are_valid() {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deploy").join(name);
        path.canonicalize().expect("it is there")
    };
    let mut haproxy = Command::new("haproxy");
    haproxy.args(["-c", "-f"]).arg(file("haproxy.cfg"));
    let mut nginx = Command::new("nginx");
    nginx.args(["-t", "-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(file("nginx.conf"));
    for mut command in [haproxy, nginx] {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}:\n{said}");
        assert!(!said.contains("WARNING") && !said.contains("[warn]"), "{command:?}:\n{said}");
    }
}

/// What the clients of each front saw while all servers of a kind were restarted.
fn roll(kind: &Kind) -> Vec<Score> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let port = free_port();
    let mut servers = SERVERS.map(|last| Some(start(kind, last, port)));
    let _balancers = Balancers::start(port);
    let loads = FRONTS.each_ref().map(|front| Load::start(runtime.handle(), front.address(port)));
    for server in servers.iter().flatten() {
        wait_until_all_have(&loads, server);
    }
    for _round in 0..ROUNDS {
        for (server, last) in servers.iter_mut().zip(SERVERS) {
            let _ended = server.take().map(|server| server.signal(TERM).ends());
            let again = server.insert(start(kind, last, port));
            wait_until_all_have(&loads, again);
        }
    }
    loads.into_iter().map(|load| runtime.block_on(load.end())).collect()
}

fn start(kind: &Kind, last: u8, port: u16) -> Running {
    let program = Program::new("rolling").arg(kind.argument).arg(address(last, port));
    program.env("GRACEFUL_LAME_DUCK", kind.lame_duck).start().line("listening")
}

fn wait_until_all_have(loads: &[Load], server: &Running) {
    let process = server.pid().as_raw().unsigned_abs();
    for (front, load) in FRONTS.iter().zip(loads) {
        assert!(load.is_answered_by(process), "{} never asks the new server", front.name);
    }
}

fn table(scores: &[Vec<Score>]) -> String {
    let mut table = "| balancer |".to_owned();
    let mut row = |cells: Vec<String>| {
        table.extend(cells.iter().map(|cell| format!(" {cell} |")));
        table.push_str("\n|");
    };
    row(KINDS.iter().map(|kind| kind.name.to_owned()).collect());
    row(vec!["---".to_owned(); 1 + KINDS.len()]);
    for (at, Front { name, .. }) in FRONTS.iter().enumerate() {
        let cells = scores.iter().map(|scores| {
            let score = &scores[at];
            format!("{} of {}", score.failed(), score.sent)
        });
        row(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    table.truncate(table.len() - 2);
    table
}
