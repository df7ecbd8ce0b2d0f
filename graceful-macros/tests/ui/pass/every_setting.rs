#[graceful::main(
    timeout = "1m 30s",
    finalize_timeout = "2s",
    lame_duck = "0s",
    init_timeout = "500ms",
    restart_timeout = "1h",
    signals(stop = [TERM, WINCH], force = [QUIT, INT], exit = [ALRM], reload = []),
    restart = auto,
    readiness = manual,
    progress = false,
    env = "MY_APP",
    flavor = "multi_thread",
    worker_threads = 1,
    max_blocking_threads = 2,
    thread_name = "worker",
)]
async fn main() {}
