use graceful::Shutdown;

struct App;

async fn init() -> App {
    App
}

async fn reload(_: &App) -> Result<(), String> {
    Ok(())
}

#[graceful::main(init = init, reload = reload, signals(stop = [TERM, INT], reload = [HUP, USR1]))]
async fn main(_: Shutdown) {}
