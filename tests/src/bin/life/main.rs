//! The small programs that the tests start, one scenario a file: `life SCENARIO [WORD…]`. The head of each file says what its words mean.

mod backlog;
mod blocked;
mod bombs;
mod children;
mod fails;
mod fails_main;
mod holds;
mod lame_duck;
mod late_main;
mod leaving;
mod phases;
mod roles;
mod shielded;
mod sockets;
mod starved;
mod stuck;
mod teardown;
mod terminal;
mod twice;

use std::process::ExitCode;

use graceful_tests::argument;

fn main() -> ExitCode {
    match argument(1).as_str() {
        "backlog" => backlog::main(),
        "blocked" => blocked::main(),
        "bombs" => bombs::main(),
        "children" => children::main(),
        "fails" => fails::main(),
        "fails_main" => fails_main::main(),
        "holds" => holds::main(),
        "lame_duck" => lame_duck::main(),
        "late_main" => late_main::main(),
        "leaving" => leaving::main(),
        "phases" => phases::main(),
        "roles" => roles::main(),
        "shielded" => shielded::main(),
        "sockets" => sockets::main(),
        "starved" => starved::main(),
        "stuck" => stuck::main(),
        "teardown" => teardown::main(),
        "terminal" => terminal::main(),
        "twice" => twice::main(),
        other => panic!("no scenario {other:?}"),
    }
}

/// A word of the scenario, counted from 1; empty if there is none.
fn word(number: usize) -> String {
    argument(1 + number)
}
