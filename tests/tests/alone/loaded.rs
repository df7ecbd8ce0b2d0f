//! Promise 6 while both cores are loaded from outside; apart from the other tests, which would be loaded with it.

use std::{
    process::{Child, Command},
    time::Duration,
};

use graceful_tests::{Program, TERM};

/// Ends the load again, however the test ends.
struct Load(Vec<Child>);

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

#[test]
fn both_cores_loaded_from_outside() {
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
    let _load = Load((0..4).map(|_| spin()).collect());
    let start = |how| {
        let program = Program::life("stuck").env("GRACEFUL_TIMEOUT", "10s").arg(how).start();
        program.line("ready").signal(TERM)
    };
    for program in ["workers", "pool", "blocking-finalizer", "main"].map(start) {
        program.exits(143).within(Duration::from_secs(10)).printed("finalizer ran");
    }
}
