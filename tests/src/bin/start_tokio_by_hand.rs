//! Prints the time at which its `main` begins; compared with the other two.
use graceful_tests::{say, uptime};
use tokio::runtime::Builder;

fn main() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        say(uptime().as_nanos());
    });
}
