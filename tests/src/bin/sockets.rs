//! Listens on a Unix socket, in the way and at the path that it is told.
use std::{io, path::Path, time::Duration};

use graceful::Shutdown;
use graceful_tests::{argument, say};

/// Says who sees the file when.
fn look(when: &'static str, path: &Path) {
    say(format_args!("{when}: {}", path.exists()));
}

#[graceful::main]
async fn main(shutdown: Shutdown) -> io::Result<()> {
    let path = std::env::args_os().nth(2).unwrap_or_default();
    let whole = std::path::absolute(&path)?;
    let at_exit = whole.clone();
    shutdown.at_exit(move |_| look("at exit", &at_exit));
    shutdown.finalizer("look", async move || look("finalizer", &whole));
    let listener = shutdown.listen_unix("control", &path)?;
    match argument().as_str() {
        "dropped" => drop(listener),
        "moves" => std::env::set_current_dir("/")?,
        "twice" => {
            let error = shutdown.listen_unix("again", &path).expect_err("it is listened on");
            say(format_args!("again: {:?}", error.kind()));
            drop(listener);
            drop(shutdown.listen_unix("again", &path)?);
        }
        "stuck" => {
            let stuck = shutdown.finalizer("stuck", async || std::thread::sleep(Duration::MAX));
            stuck.timeout(Duration::from_millis(200));
        }
        _ => {}
    }
    say("ready");
    shutdown.requested().await;
    Ok(())
}
