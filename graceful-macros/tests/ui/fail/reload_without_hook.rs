#[graceful::main(signals(reload = [HUP]))]
async fn main() {}
