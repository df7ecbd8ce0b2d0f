#[graceful::main(time_out = "30s")]
async fn main() {}
