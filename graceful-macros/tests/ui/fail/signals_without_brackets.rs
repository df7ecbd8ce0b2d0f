#[graceful::main(signals = TERM)]
async fn main() {}
