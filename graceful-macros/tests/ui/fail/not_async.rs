use graceful::Shutdown;

#[graceful::main]
fn main(shutdown: Shutdown) {
    shutdown.requested().await;
}
