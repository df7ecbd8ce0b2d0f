//! Holds a client that has a runtime of its own, as clients that can block do. The second word is the flavor of the program's own runtime:
//! `multi-thread` or `one-thread`.
//!
//! | first word | who holds the client, or what a finalizer does |
//! |---|---|
//! | `state`, `finalize` | the state; without and with a `finalize` that takes it |
//! | `init`, `main`, `reload` | `init`, `main` or the reload hook, which never end |
//! | `finalizer`, `finalizer-cut` | a finalizer that ends; one that never does |
//! | `at-exit` | a hook that runs at the exit |
//! | `drop-panics`, `finalize-panics`, `main-panics` | as `state`, `finalize`, `main`; the drop of the client panics |
//! | `drop-blocks` | the state, and another one a hook at the exit; the drop of the state's never ends |
//! | `finalizer-spins`, `finalizer-blocks` | nobody; a finalizer only yields; one blocks in place and on another runtime |
use std::{future::pending, process::ExitCode, thread::sleep, time::Duration};

use graceful::{Builder, Flavor, Shutdown, Signal};
use graceful_tests::{log, say};
use tokio::runtime::Runtime;

use crate::word;

/// A client that can block: the drop of its runtime panics where that is not allowed.
struct Client {
    runtime: Option<Runtime>,
}

impl Client {
    fn new() -> Self {
        Self { runtime: Some(Runtime::new().expect("a runtime")) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.runtime.take());
        say("client dropped");
        match word(1).as_str() {
            "drop-panics" | "finalize-panics" | "main-panics" => panic!("the client burst"),
            "drop-blocks" => {
                say("dropping");
                loop {
                    sleep(Duration::from_secs(1));
                }
            }
            _ => {}
        }
    }
}

async fn init(shutdown: Shutdown) -> Option<Client> {
    log();
    let client = (word(1) == "at-exit" || word(1) == "drop-blocks").then(Client::new);
    shutdown.at_exit(move |report| {
        if let Some(mut client) = client {
            drop(client.runtime.take());
            say("runtime dropped");
            std::mem::forget(client);
        }
        for panic in &report.panics {
            say(format_args!("report: {} panicked: {}", panic.name, panic.message));
        }
        say(format_args!("report {}", report.exit_status));
    });
    match word(1).as_str() {
        "state" | "finalize" | "drop-panics" | "finalize-panics" | "drop-blocks" => {
            Some(Client::new())
        }
        "init" => {
            let client = Client::new();
            say("ready");
            pending::<()>().await;
            Some(client)
        }
        _ => None,
    }
}

async fn run(shutdown: Shutdown) {
    match word(1).as_str() {
        "main" | "main-panics" => {
            let client = Client::new();
            say("ready");
            pending::<()>().await;
            drop(client);
        }
        "finalizer" => {
            let client = Client::new();
            shutdown.finalizer("has a client", async move || {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(client);
            });
        }
        "finalizer-cut" => {
            let client = Client::new();
            let hook = shutdown.finalizer("has a client", async move || {
                pending::<()>().await;
                drop(client);
            });
            hook.timeout(Duration::from_millis(100));
        }
        "finalizer-spins" => {
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            let handle = tokio::runtime::Handle::current();
            shutdown.finalizer("spins", async move || {
                handle.spawn(async move { sender.send(()) });
                while receiver.try_recv().is_err() {
                    tokio::task::yield_now().await;
                }
                say("heard");
            });
        }
        "finalizer-blocks" => drop(shutdown.finalizer("blocks", async || {
            tokio::task::block_in_place(|| say("blocked in place"));
            let other = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            other.block_on(async { say("blocked on another runtime") });
        })),
        _ => {}
    }
    say("ready");
    shutdown.requested().await;
}

async fn reload(_: &Option<Client>) {
    let client = Client::new();
    say("reloading");
    pending::<()>().await;
    drop(client);
}

pub(crate) fn main() -> ExitCode {
    let option = word(2);
    let flavor = if option == "one-thread" { Flavor::CurrentThread } else { Flavor::MultiThread };
    let builder = Builder::new()
        .signals([Signal::TERM])
        .timeout(Duration::from_secs(10))
        .flavor(flavor)
        .init(init)
        .reload(reload);
    let builder = match word(1).as_str() {
        "init" => builder.init_timeout(Duration::from_millis(500)),
        "finalize" | "finalize-panics" => builder.finalize(async |client: Option<Client>| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            drop(client);
            say("finalized");
        }),
        _ => builder,
    };
    builder.run(async |_: &Option<Client>, shutdown| run(shutdown).await)
}
