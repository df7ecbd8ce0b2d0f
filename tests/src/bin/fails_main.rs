//! `main` returns an error, or ends by itself.
use std::fmt;

use graceful_tests::argument;

/// An error that shows itself as it is, as those with a chain of causes, a backtrace and colors do.
struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[graceful::main]
async fn main() -> Result<(), Failure> {
    match argument().as_str() {
        "error" => Err(Failure(format!("{:?}", "main\nfailed"))),
        "colors" => Err(Failure("\u{1b}[31mmain\u{1b}[0m\n\nCaused by:\n\tcolors".to_owned())),
        _ => Ok(()),
    }
}
