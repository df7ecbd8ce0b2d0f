#[graceful::main(env = "myapp")]
async fn main() {}
