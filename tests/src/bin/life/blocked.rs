//! Prints which signals are blocked here and in children that are started in each way, then waits for the stop. Takes no words.
use std::{io, process::Command};

use graceful::Shutdown;
use graceful_tests::{log, say};

/// The set that the status of a process has.
fn blocked(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("none").trim()
}

fn by_std(from: &str) -> io::Result<()> {
    let child = Command::new("cat").arg("/proc/self/status").output()?;
    say(format_args!("std {from} {}", blocked(&String::from_utf8_lossy(&child.stdout))));
    Ok(())
}

async fn init() {
    log();
}

#[graceful::main(init = init)]
pub(crate) async fn main(shutdown: Shutdown) -> io::Result<()> {
    say(format_args!("itself {}", blocked(&std::fs::read_to_string("/proc/thread-self/status")?)));
    by_std("main")?;
    shutdown.spawn_blocking(|| by_std("blocking")).await??;
    shutdown.spawn(async { by_std("task") }).await??;
    std::thread::spawn(|| by_std("thread")).join().expect("it does not panic")?;
    let child = tokio::process::Command::new("cat").arg("/proc/self/status").output().await?;
    say(format_args!("tokio main {}", blocked(&String::from_utf8_lossy(&child.stdout))));
    say("ready");
    shutdown.requested().await;
    Ok(())
}
