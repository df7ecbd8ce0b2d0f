#[graceful::main(restart = fork)]
async fn main() {}
