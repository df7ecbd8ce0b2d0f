#[graceful::main(timeout = "8761h")]
async fn main() {}
