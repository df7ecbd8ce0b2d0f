#[graceful::main(signals = [TERM, USR9])]
async fn main() {}
