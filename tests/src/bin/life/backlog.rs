//! Answers each connection with `served`; holds its one thread for a while after the first, so that connections pile up unaccepted.
//! Takes no words. Says `port N`, `holding` at the first connection, and `closed` when its listener is.
use std::{thread::sleep, time::Duration};

use graceful::Shutdown;
use graceful_tests::{log, say};
use tokio::{io::AsyncWriteExt, net::TcpStream};

async fn answer(mut socket: TcpStream) {
    drop(socket.write_all(b"served").await);
}

#[graceful::main(timeout = "10s", flavor = "multi_thread", worker_threads = 1)]
pub(crate) async fn main(shutdown: Shutdown) -> std::io::Result<()> {
    log();
    let listener = shutdown.listen("backlog", "127.0.0.1:0").await?;
    say(format_args!("port {}", listener.local_addr()?.port()));
    let intake = shutdown.clone();
    // A task, so that the listener is on the worker that is held.
    let accepting = shutdown.spawn(async move {
        while let Some(accepted) = intake.until_requested(listener.accept()).await {
            let Ok((socket, _)) = accepted else { continue };
            if intake.in_flight() == 1 {
                say("holding");
                sleep(Duration::from_millis(500));
            }
            intake.spawn(answer(socket));
        }
        say("closed");
    });
    drop(accepting.await);
    Ok(())
}
