//! Nothing that the program names changes what the attribute means.

use graceful::Shutdown as shutdown;

#[allow(dead_code)]
mod std {}
#[allow(dead_code)]
mod core {}

#[allow(non_upper_case_globals, dead_code)]
const app: u8 = 0;

#[allow(dead_code)]
struct ExitCode;

#[derive(Clone)]
struct Clone2(u8);

async fn init() -> Clone2 {
    Clone2(1)
}

#[graceful::main(init = init, timeout = "10s")]
async fn main(state: Clone2, _: shutdown) {
    assert!(state.0 == 1);
}
