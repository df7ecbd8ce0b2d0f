//! The repository as a whole: the examples, the files for a deploy, the layers of the sources, what two crates have to agree on, and the rows
//! that comments name.

mod deploy;
mod durations;
mod examples;
mod layers;
mod quickstart;
mod rows;

use std::{net::SocketAddr, path::Path};

use graceful_tests::{Program, Running};

/// Starts an example, and gives what it says that it listens on.
fn start(name: &str, variables: &[(&str, &str)]) -> (Running, String) {
    let program = Program::example(name).env("NO_COLOR", "1");
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    let mut program = program.start();
    let line = program.wait_for("listening on ");
    (program, line.trim_start_matches("listening on ").to_owned())
}

/// The same, where it is HTTP on TCP.
fn serve(name: &str, variables: &[(&str, &str)]) -> (Running, SocketAddr) {
    let (program, place) = start(name, variables);
    let address = place.strip_prefix("http://").expect("an address");
    (program, address.parse().expect("an address"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
