#[graceful::main(timeout = "30s" progress = false)]
async fn main() {}
