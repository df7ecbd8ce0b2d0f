//! Tries to live on a runtime, once as it should, and once more. Takes no words.
use std::process::ExitCode;

use graceful::Builder;
use graceful_tests::say;

pub(crate) fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { Builder::new().run(async |_| say("never")) });
    Builder::new().run(async |_| say("once"));
    Builder::new().run(async |_| say("never"))
}
