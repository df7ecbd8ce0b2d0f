use graceful::Shutdown;

async fn init() {}

#[graceful::main(
    timeout = "30",
    signal = [TERM],
    signals(stop = [TERM, KILL], force = [USR9]),
    init = init,
)]
fn main(shutdown: Shutdown, _state: &()) {
    shutdown.requested().await;
}
