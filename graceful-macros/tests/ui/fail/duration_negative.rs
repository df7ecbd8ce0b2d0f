#[graceful::main(timeout = "-30s")]
async fn main() {}
