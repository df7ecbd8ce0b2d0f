//! Starts `sleep` during init, while signals are latched, and prints its pid.
use graceful_tests::say;

async fn init() -> std::io::Result<std::process::Child> {
    std::process::Command::new("sleep").arg("60").spawn()
}

#[graceful::main(init = init, finalize = finalize)]
async fn main(child: &std::process::Child, shutdown: graceful::Shutdown) {
    say(format_args!("child {}", child.id()));
    shutdown.requested().await;
}

async fn finalize(mut child: std::process::Child) -> std::io::Result<()> {
    let status = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    say(format_args!("was alive: {}", status.is_none()));
    Ok(())
}
