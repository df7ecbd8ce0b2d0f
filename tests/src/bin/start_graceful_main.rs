//! Prints the time at which its `main` begins; compared with the other two.
use graceful_tests::{say, uptime};

#[graceful::main]
async fn main() {
    say(uptime().as_nanos());
}
