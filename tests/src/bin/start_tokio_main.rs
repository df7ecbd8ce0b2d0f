//! Prints the time at which its `main` begins; compared with the other two.
use graceful_tests::{say, uptime};

#[tokio::main]
async fn main() {
    say(uptime().as_nanos());
}
