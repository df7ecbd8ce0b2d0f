use graceful::Shutdown;

struct App;

async fn init() -> App {
    App
}

#[graceful::main(init = init)]
async fn main(app: &mut App, shutdown: Shutdown) {}
