#[graceful::main(timeout = "30S")]
async fn main() {}
