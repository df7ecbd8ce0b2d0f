use graceful::Shutdown;

async fn init(_: Shutdown) {}

#[graceful::main(init = init)]
async fn main(_: Shutdown) {}
