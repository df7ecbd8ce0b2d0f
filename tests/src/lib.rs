//! The harness: what the tests, and the programs that they start, are written with.
//!
//! ```no_run
//! # use graceful_tests::{Program, TERM};
//! Program::life("phases").start().line("init.begin").signal(TERM).exits(0).printed("init.end");
//! ```
//!
//! | for | there is |
//! |---|---|
//! | a real program, driven from outside with real signals | [`Program`], [`Running`], [`Ended`] |
//! | a client of it | [`http`], [`address`] |
//! | a life inside of the test's own process, on a paused clock | [`life`] |
//! | waiting for a condition | [`PATIENCE`], [`wait_until`] |
//! | the programs under test themselves | [`say`], [`step`], [`log`], [`argument`], [`option`], [`has_word`] |
//!
//! No step sleeps: each waits for a line or for the end, for at most [`PATIENCE`], which is no part of any assertion.
//! `README.md` beside this package says how a test is added.

pub mod address;
mod ended;
pub mod http;
mod inside;
pub mod life;
mod output;
mod patience;
mod program;
mod running;

pub use nix::sys::signal::Signal::{
    SIGCONT as CONT, SIGHUP as HUP, SIGINT as INT, SIGKILL as KILL, SIGQUIT as QUIT,
    SIGSTOP as STOP, SIGTERM as TERM, SIGUSR1 as USR1, SIGUSR2 as USR2, SIGWINCH as WINCH,
};

pub use self::{
    ended::Ended,
    inside::{argument, has_word, log, option, say, step, uptime},
    output::Saw,
    patience::{PATIENCE, wait_until},
    program::{Program, command, path},
    running::Running,
};
