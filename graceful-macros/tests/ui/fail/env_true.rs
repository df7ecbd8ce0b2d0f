#[graceful::main(env = true)]
async fn main() {}
