#[graceful::main(signals = [SEGV])]
async fn main() {}
