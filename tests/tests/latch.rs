//! The moment in which the handlers are put in place: no signal is lost in it.

use std::{fs, path::PathBuf, process::Command};

use graceful_tests::Program;

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
    Program::new("phases")
        .env("LD_PRELOAD", &library.to_string_lossy())
        .start()
        .exits(0)
        .stdout(&["init.begin", "init.end", "finalize.begin", "finalize.end", "second", "first"])
        .printed("cause=signal TERM");
}
