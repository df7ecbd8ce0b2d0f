struct App;

async fn init() -> Result<App, std::io::Error> {
    Ok(App)
}

async fn reload(_: &App) {}

async fn finalize(_: App) {}

#[graceful::main(init = init, reload = reload, finalize = finalize)]
async fn main() {}
