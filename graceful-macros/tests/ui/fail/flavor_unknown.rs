#[graceful::main(flavor = "local")]
async fn main() {}
