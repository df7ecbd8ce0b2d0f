//! Starts `sleep` during init, while signals are latched, and prints its pid and what it died of.
use std::{os::unix::process::ExitStatusExt, process::Command};

use graceful::Shutdown;
use graceful_tests::say;

async fn init(shutdown: Shutdown) -> std::io::Result<()> {
    let mut child = Command::new("sleep").arg("60").spawn()?;
    say(format_args!("child {}", child.id()));
    shutdown.task("child").spawn_thread(move || {
        let status = child.wait().expect("a child can be waited for");
        say(format_args!("died of {}", status.signal().unwrap_or_default()));
    });
    Ok(())
}

#[graceful::main(init = init)]
async fn main(shutdown: Shutdown) {
    shutdown.requested().await;
}
