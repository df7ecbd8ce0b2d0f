//! The moment in which the handlers are put in place: no signal is lost in it, and none stays blocked.

use std::{fs, path::PathBuf, process::Command};

use graceful_tests::{HUP, INT, Program, TERM};

/// In front of the system's own: raises the signal as soon as it has a handler, so before whoever asked for that knows.
const RAISE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
int sigaction(int number, const struct sigaction *new, struct sigaction *old) {
    int (*real)(int, const struct sigaction *, struct sigaction *) = dlsym(RTLD_NEXT, "sigaction");
    int result = real(number, new, old);
    if (number == SIGTERM && new && (new->sa_flags & SA_SIGINFO)) raise(SIGTERM);
    return result;
}
"#;

/// P01: the signal that comes when the system knows of the handler, and the program not yet, is the one that stops it.
#[test]
fn a_signal_between_two_tables_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("raise.c"), folder.path().join("raise.so"));
    fs::write(&source, RAISE).unwrap();
    let compiled = Command::new("cc")
        .args([
            &PathBuf::from("-shared"),
            &PathBuf::from("-fPIC"),
            &source,
            &PathBuf::from("-o"),
            &library,
        ])
        .status();
    assert!(compiled.unwrap().success(), "a C compiler is needed");
    Program::life("phases")
        .env("LD_PRELOAD", &library.to_string_lossy())
        .start()
        .exits(0)
        .stdout(&["init.begin", "init.end", "finalize.begin", "finalize.end", "second", "first"])
        .printed("cause=signal TERM");
}

/// P01: a parent that blocks the signals in the thread that starts the program does not make it deaf.
#[test]
fn a_signal_that_the_parent_had_blocked_stops_the_program() {
    for signal in [TERM, INT] {
        Program::life("blocked")
            .through(&["env", "--block-signal=TERM,INT"])
            .start()
            .line("ready")
            .signal(signal)
            .exits(0)
            .printed(&format!("cause=signal {}", signal.as_str().trim_start_matches("SIG")));
    }
}

/// P01: what came while it was blocked is heard.
#[test]
fn a_signal_from_before_the_start_is_not_lost() {
    Program::life("phases")
        .through(&["env", "--block-signal=TERM", "sh", "-c", r#"kill -TERM $$; exec "$0" "$@""#])
        .start()
        .exits(0)
        .stdout(&["init.begin", "init.end", "finalize.begin", "finalize.end", "second", "first"])
        .printed("cause=signal TERM");
}

/// P01: what `nohup` ignored stays as it was, blocked or not.
#[test]
fn a_signal_that_is_ignored_stays_ignored_where_it_was_blocked() {
    Program::life("phases")
        .through(&["env", "--ignore-signal=HUP", "--block-signal=HUP,TERM"])
        .start()
        .line("run.begin")
        .signal(HUP)
        .signal(TERM)
        .exits(0)
        .printed("cause=signal TERM")
        .never_printed("HUP");
}
