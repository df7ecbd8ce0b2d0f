//! Nothing that the program names changes what the attribute means.

use graceful::Shutdown as shutdown;

#[allow(dead_code)]
mod std {}
#[allow(dead_code)]
mod core {}

#[allow(dead_code)]
mod graceful_runtime {}

#[allow(dead_code)]
struct ExitCode;

#[allow(dead_code)]
trait Clone {
    fn clone(&self) {}
}

impl Clone for App {}

#[derive(::std::clone::Clone)]
struct App(u8);

async fn init() -> App {
    App(1)
}

#[graceful::main(init = init, timeout = "10s")]
async fn main(app: App, _: shutdown) {
    assert!(app.0 == 1);
}
