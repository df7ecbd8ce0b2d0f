#[graceful::main(timeout = "30s", progress)]
async fn main() {}
