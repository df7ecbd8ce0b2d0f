use graceful::Shutdown;

struct App(u8);

async fn init(_: Shutdown) -> std::io::Result<App> {
    Ok(App(1))
}

async fn finalize(app: App) -> Result<(), String> {
    if app.0 == 1 { Ok(()) } else { Err("another state".to_owned()) }
}

#[graceful::main(init = init, finalize = finalize)]
async fn main(app: &App, _shutdown: Shutdown) -> Result<(), String> {
    check(app).await
}

async fn check(app: &App) -> Result<(), String> {
    if app.0 == 1 { Ok(()) } else { Err("another state".to_owned()) }
}
