#[graceful::main(signals = nginx)]
async fn main() {}
