//! `main` returns an `error`, one with lines and `colors`, or (without a word) ends by itself.
use std::fmt;

use crate::word;

/// An error that shows itself as it is, as those with a chain of causes, a backtrace and colors do.
struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[graceful::main]
pub(crate) async fn main() -> Result<(), Failure> {
    match word(1).as_str() {
        "error" => Err(Failure(format!("{:?}", "main\nfailed"))),
        "colors" => Err(Failure("\u{1b}[31mmain\u{1b}[0m\n\nCaused by:\n\tcolors".to_owned())),
        _ => Ok(()),
    }
}
