//! Promise 3: each piece of work that was in flight at the request, or began after it, is in exactly one of `drained` and `stragglers`.

use std::thread;

use graceful_tests::Program;

/// So many pieces has each life: at the request some of every kind are in flight.
const PIECES: usize = 40;

/// How many lives: 10,000 pieces a day. `BOOKS_LIVES` asks for more.
const LIVES: usize = 250;

/// At the same time: most of a life is waiting.
const AT_ONCE: usize = 8;

#[test]
fn every_piece_of_work_is_in_the_books_once() {
    let lives = std::env::var("BOOKS_LIVES").ok().and_then(|lives| lives.parse().ok());
    let lives: usize = lives.unwrap_or(LIVES);
    let begin = std::process::id() as usize * 100_000;
    thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            scope.spawn(move || {
                for seed in (begin + lane..begin + lives).step_by(AT_ONCE) {
                    let life = Program::new("books").arg(seed).arg(PIECES).start().line("counted");
                    drop(life.ends().printed("balanced"));
                }
            });
        }
    });
}
