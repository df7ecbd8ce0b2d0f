//! Listens on a Unix socket, at the path that is its second word, and says who still sees its file.
//!
//! | first word | what is different |
//! |---|---|
//! | `listens` | nothing |
//! | `dropped` | the listener is dropped at once |
//! | `moves` | the program changes its folder |
//! | `twice` | it listens, drops that, and listens again |
//! | `stuck` | a finalizer blocks the main thread for ever |
use std::{io, path::Path, time::Duration};

use graceful::Shutdown;
use graceful_tests::say;

use crate::word;

/// Says who sees the file when.
fn look(when: &'static str, path: &Path) {
    say(format_args!("{when}: {}", path.exists()));
}

#[graceful::main]
pub(crate) async fn main(shutdown: Shutdown) -> io::Result<()> {
    let path = word(2);
    let whole = std::path::absolute(&path)?;
    let at_exit = whole.clone();
    shutdown.at_exit(move |_| look("at exit", &at_exit));
    shutdown.finalizer("look", async move || look("finalizer", &whole));
    let listener = shutdown.listen_unix("control", &path)?;
    match word(1).as_str() {
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
