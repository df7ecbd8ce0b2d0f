use graceful::Shutdown;

struct App;

#[graceful::main]
async fn main(_app: &App, _shutdown: Shutdown) {}
