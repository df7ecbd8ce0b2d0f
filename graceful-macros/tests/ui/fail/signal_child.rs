#[graceful::main(signals = [CHLD])]
async fn main() {}
