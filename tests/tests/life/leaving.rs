//! Promise 6: what nothing tracks. It is waited for where `main` returned by itself, and in no case forgotten without a word.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use graceful_tests::{INT, Program, Running, TERM, command, path};

use crate::on_both_flavors;

/// How the wait, and what is left of it, are told.
const WAITING: &str = "waiting for closures on the blocking pool that nothing tracks";
const LEFT: &str = "left running: ";

/// Far below the budget of 30 s, far above what a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(10);

fn start(how: &str, flavor: &str) -> Running {
    Program::life("leaving").arg(how).arg(flavor).open_stdin().start()
}

#[test]
fn what_main_left_on_the_blocking_pool_comes_to_its_end() {
    on_both_flavors(|flavor| {
        for (how, status) in [("closure", 0), ("finalizer", 0), ("failed", 1), ("panicked", 101)] {
            let report = format!("report {status}");
            let ended = start(how, flavor).exits(status).never_printed(LEFT);
            ended.stdout(&["ready", "written", &report]);
        }
    });
}

/// Tasks go first, as with `#[tokio::main]`, so that what waits for them ends.
#[test]
fn a_closure_that_waits_for_a_task_ends_with_it() {
    on_both_flavors(|flavor| {
        let ended = start("channel", flavor).exits(0).never_printed(LEFT).never_printed(WAITING);
        ended.stdout(&["ready", "channel closed", "report 0"]);
    });
    start("requested-channel", "multi-thread")
        .line("ready")
        .signal(TERM)
        .exits(0)
        .never_printed(LEFT)
        .stdout(&["ready", "channel closed", "report 0"]);
}

/// 1 MiB that was written without a flush, to somebody who reads only after a second.
#[test]
fn what_was_written_to_standard_output_arrives_whole() {
    on_both_flavors(|flavor| {
        let mut program = command(path("life"))
            .args(["leaving", "pipe", flavor])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(program.stderr.take().expect("a pipe")).lines();
        let mut log = log.map_while(Result::ok);
        assert!(log.any(|line| line.contains(WAITING)), "it did not wait for its reader");
        let mut written = Vec::new();
        program.stdout.take().expect("a pipe").read_to_end(&mut written).expect("a pipe");
        assert_eq!(written.iter().filter(|&&byte| byte == b'.').count(), 1 << 20);
        assert!(program.wait().expect("it ends").success());
    });
}

#[test]
fn a_stop_signal_ends_the_wait() {
    on_both_flavors(|flavor| {
        for (how, signal) in [("endless", TERM), ("input", TERM), ("endless", INT)] {
            let program = start(how, flavor).line("ready").line(WAITING).signal(signal);
            let ended = program.exits(0).within(AT_ONCE);
            ended.printed(LEFT).printed("report 0").printed("signal received");
        }
    });
    // Before the wait is told of, which nobody can see from outside.
    let program = start("endless", "multi-thread").line("ready").after(Duration::from_millis(300));
    program.signal(TERM).exits(0).within(AT_ONCE).printed(LEFT).printed("report 0");
}

#[test]
fn a_request_does_not_wait_for_what_nothing_tracks() {
    on_both_flavors(|flavor| {
        for how in ["requested-endless", "requested-input", "requested-closure"] {
            let ended = start(how, flavor).line("ready").signal(TERM).exits(0).within(AT_ONCE);
            ended.printed(LEFT).never_printed(WAITING).stdout(&["ready", "report 0"]);
        }
    });
}

/// It was told, and it had its time.
#[test]
fn what_a_finalizer_left_behind_is_not_waited_for_again() {
    on_both_flavors(|flavor| {
        let ended = start("cut-finalizer", flavor).exits(1).never_printed(WAITING);
        ended.printed(LEFT).printed("finalizer is cut: it did not end in its time");
    });
}

#[test]
fn the_wait_is_within_the_budget() {
    on_both_flavors(|flavor| {
        let program = Program::life("leaving").env("GRACEFUL_TIMEOUT", "3s").arg("endless");
        let program = program.arg(flavor).start().line("ready");
        let since = Instant::now();
        let ended = program.exits(0).printed(WAITING).printed(LEFT);
        // Taken after the line was printed, so less than what it had.
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
        ended.stdout(&["ready", "report 0"]);
    });
}

#[test]
fn nothing_is_told_where_nothing_is_left() {
    on_both_flavors(|flavor| {
        let ended = start("nothing", flavor).exits(0).never_printed(LEFT).never_printed(WAITING);
        ended.stdout(&["ready", "report 0"]);
    });
}

/// Whoever has no log hears of it on standard error.
#[test]
fn what_is_left_running_is_told_without_a_log() {
    let program = start("requested-endless", "no-log").line("ready").signal(TERM);
    let ended = program.exits(0).printed(LEFT);
    assert_eq!(ended.text().matches(LEFT).count(), 1, "{}", ended.text());
}

/// Its clock is paused, and real time is nothing that it waits for.
#[graceful::test]
async fn a_test_does_not_wait_for_what_nothing_tracks(_: graceful::Shutdown) {
    tokio::task::spawn_blocking(|| {
        loop {
            thread::park();
        }
    });
}
