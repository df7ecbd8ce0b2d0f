#[graceful::main(timeout = "30sec")]
async fn main() {}
