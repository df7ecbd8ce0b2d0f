//! The file of a Unix socket goes with the program that made it, and no other file does.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
};

use graceful_tests::{Program, Running, TERM};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    (folder, path)
}

fn start(how: &str, path: &Path) -> Running {
    Program::life("sockets").arg(how).arg(path.display()).start()
}

#[test]
fn it_is_removed_after_the_finalizers_and_before_at_exit() {
    let (folder, path) = folder();
    let program = start("listens", &path).line("ready");
    assert!(path.exists());
    program.signal(TERM).exits(0).stdout(&["ready", "finalizer: true", "at exit: false"]);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

/// A finalizer keeps the main thread for ever: another thread takes the exit.
#[test]
fn it_is_removed_on_the_forced_way_out() {
    let (_folder, path) = folder();
    start("stuck", &path).line("ready").signal(TERM).exits(143).printed("at exit: false");
    assert!(!path.exists());
}

#[test]
fn it_is_removed_where_the_listener_is_long_gone() {
    let (_folder, path) = folder();
    start("dropped", &path).line("ready").signal(TERM).exits(0);
    assert!(!path.exists());
}

#[test]
fn it_is_removed_where_it_was_bound_twice() {
    let (_folder, path) = folder();
    start("twice", &path).line("again: AddrInUse").line("ready").signal(TERM).exits(0);
    assert!(!path.exists());
}

/// The path is meant from the folder that the program was in.
#[test]
fn it_is_removed_where_the_program_has_moved() {
    let (folder, path) = folder();
    let there = format!("--chdir={}", folder.path().display());
    let program = Program::life("sockets").arg("moves").arg("control").through(&["env", &there]);
    program.start().line("ready").signal(TERM).exits(0).printed("at exit: false");
    assert!(!path.exists());
}

/// Waits until what is made now is younger than `path`, by the clock of the file system.
fn let_time_pass(path: &Path) {
    let born = |path: &Path| fs::metadata(path).expect("it is there").created().expect("a time");
    let younger = path.with_extension("younger");
    let is_younger = || {
        fs::write(&younger, "").expect("there is room");
        let is_younger = born(&younger) > born(path);
        fs::remove_file(&younger).expect("it is there");
        is_younger
    };
    while !is_younger() {}
}

/// A successor has put its own in the place: on some file systems it has the number that the old one had.
#[test]
fn the_file_of_a_successor_stays() {
    for how in ["listens", "dropped"] {
        let (_folder, path) = folder();
        let program = start(how, &path).line("ready");
        let_time_pass(&path);
        fs::remove_file(&path).expect("it is there");
        let _successor = UnixListener::bind(&path).expect("there is room");
        program.signal(TERM).exits(0).printed("at exit: true");
        UnixStream::connect(&path).expect("the successor listens");
    }
}

/// A socket that nobody listens on is replaced; a file with a user's data is not.
#[test]
fn a_file_that_is_no_socket_is_not_replaced() {
    let (folder, path) = folder();
    fs::write(&path, "data").expect("there is room");
    start("listens", &path)
        .exits(1)
        .printed(&format!("cannot listen for control on {}: ", path.display()));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "data");

    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    drop(UnixListener::bind(&target).expect("there is room"));
    std::os::unix::fs::symlink(&target, &link).expect("there is room");
    start("listens", &link).exits(1);
    assert!(link.is_symlink() && target.exists());
}
