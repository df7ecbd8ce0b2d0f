#[graceful::main(signals(stop = [TERM], forced = [INT]))]
async fn main() {}
