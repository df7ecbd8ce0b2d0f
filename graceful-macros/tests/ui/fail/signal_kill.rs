#[graceful::main(signals = [TERM, KILL])]
async fn main() {}
