#[graceful::main(signals(restart = [USR2]))]
async fn main() {}
