use graceful::Shutdown;

struct App;

async fn init() -> App {
    App
}

#[graceful::main(init = init)]
async fn main(_app: &App, _shutdown: Shutdown, _more: u8) {}
