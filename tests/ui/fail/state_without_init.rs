use graceful::Shutdown;

struct App;

#[graceful::main]
async fn main(app: &App, shutdown: Shutdown) {}
