#[graceful::main(signals(stop = [TERM, INT], force = [INT]))]
async fn main() {}
