#[graceful::main(flavor = "current_thread", start_paused = true, signals = docker, env = false)]
async fn main() {}
