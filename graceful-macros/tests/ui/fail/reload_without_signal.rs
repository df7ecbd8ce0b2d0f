async fn reload() {}

#[graceful::main(signals = [TERM, HUP], reload = reload)]
async fn main() {}
