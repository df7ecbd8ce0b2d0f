#[graceful::main(timeout = "30s", timeout = "20s")]
async fn main() {}
