async fn init() {}

#[graceful::main(init = init())]
async fn main() {}
