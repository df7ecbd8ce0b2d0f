use graceful::Shutdown;

struct App;

async fn init() -> App {
    App
}

#[graceful::main(init = init)]
async fn main(_shutdown: Shutdown, _app: &App) {}
