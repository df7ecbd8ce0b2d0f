use graceful::Shutdown;

struct App;

async fn init() -> App {
    App
}

#[graceful::main(init = init)]
async fn main(app: &App, shutdown: Shutdown, more: u8) {}
