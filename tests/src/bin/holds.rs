//! Holds a runtime where the first argument says, as clients that can block do; the second is the flavor.
use std::{future::pending, process::ExitCode, thread::sleep, time::Duration};

use graceful::{Builder, Flavor, Shutdown, Signal};
use graceful_tests::{argument, log, say};
use tokio::runtime::Runtime;

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
        match argument().as_str() {
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
    let client = (argument() == "at-exit" || argument() == "drop-blocks").then(Client::new);
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
    match argument().as_str() {
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
    match argument().as_str() {
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

fn main() -> ExitCode {
    let option = std::env::args().nth(2).unwrap_or_default();
    let flavor = if option == "one-thread" { Flavor::CurrentThread } else { Flavor::MultiThread };
    let builder = Builder::new()
        .signals([Signal::TERM])
        .timeout(Duration::from_secs(10))
        .flavor(flavor)
        .init(init)
        .reload(reload);
    let builder = match argument().as_str() {
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
