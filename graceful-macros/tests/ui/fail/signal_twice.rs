#[graceful::main(signals = [TERM, INT, TERM])]
async fn main() {}
