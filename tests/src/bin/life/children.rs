//! Starts `sleep` during init, while signals are latched, and prints its pid and what it died of. Takes no words.
use std::{
    os::unix::process::{CommandExt, ExitStatusExt},
    process::Command,
};

use graceful::Shutdown;
use graceful_tests::say;
use nix::{
    sys::signal::{Signal::SIGTERM, kill},
    unistd::Pid,
};

/// Gets a TERM between `fork` and `exec`, which is its own.
#[expect(unsafe_code, reason = "there is no other way to run code between `fork` and `exec`")]
fn signalled_early() -> std::io::Result<Option<i32>> {
    let early = || kill(Pid::this(), SIGTERM).map_err(Into::into);
    let mut command = Command::new("sleep");
    // SAFETY: `kill` and `getpid` are async-signal-safe and nothing is allocated.
    let command = unsafe { command.arg("60").pre_exec(early) };
    // That it never came to `exec` is not an error to `spawn`.
    Ok(command.spawn()?.wait()?.signal())
}

async fn init(shutdown: Shutdown) -> std::io::Result<()> {
    say(format_args!("early: {:?} requested: {}", signalled_early()?, shutdown.cause().is_some()));
    let mut child = Command::new("sleep").arg("60").spawn()?;
    say(format_args!("child {}", child.id()));
    shutdown.task("child").spawn_thread(move || {
        let status = child.wait().expect("a child can be waited for");
        say(format_args!("died of {}", status.signal().unwrap_or_default()));
    });
    Ok(())
}

#[graceful::main(init = init)]
pub(crate) async fn main(shutdown: Shutdown) {
    shutdown.requested().await;
}
