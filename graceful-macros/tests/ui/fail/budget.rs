#[graceful::main(timeout = "10s", lame_duck = "5s", finalize_timeout = "5s")]
async fn main() {}
