//! `main` returns an error, or ends by itself.
use graceful_tests::argument;

#[graceful::main]
async fn main() -> Result<(), String> {
    if argument() == "error" { Err("main\nfailed".to_owned()) } else { Ok(()) }
}
