//! The life of a program, from outside: its phases, its signals, its end.

mod children;
mod deadlines;
mod drops;
mod lame_duck;
mod latch;
mod leaving;
mod listeners;
mod machine;
mod phases;
mod roles;
mod socket_files;
mod status;
mod teardown;
mod terminal;

use std::thread;

/// A test with each flavor of the runtime: side by side, because they mostly wait.
fn on_both_flavors(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        scope.spawn(|| test("multi-thread"));
        scope.spawn(|| test("one-thread"));
    });
}
