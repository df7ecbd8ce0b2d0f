//! The smallest program that stops well.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 00_hello
//! working
//! working
//! ^C
//! stopping
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::time::Duration;

use graceful::Shutdown;

#[graceful::main(timeout = "10s")]
async fn main(shutdown: Shutdown) {
    shutdown.every(Duration::from_secs(1), async || println!("working"));
    shutdown.requested().await;
    println!("stopping");
}
