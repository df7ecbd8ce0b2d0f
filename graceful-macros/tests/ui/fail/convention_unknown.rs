#[graceful::main(signals = podman)]
async fn main() {}
