//! What a person at a terminal sees.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::Stdio,
    time::Instant,
};

use graceful_tests::{PATIENCE, address, command, http::ask, path};
use nix::pty::{OpenptyResult, Winsize, openpty};

/// A terminal, and the program on it as the leader of its session, so that Ctrl+C reaches it.
struct Terminal {
    screen: File,
    seen: String,
    child: std::process::Child,
}

impl Terminal {
    fn start(name: &str, words: &[&str], columns: u16) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a terminal");
        // What is cloned is closed in the programs that other tests start meanwhile.
        let master = master.try_clone().expect("a descriptor");
        let slave = || -> Stdio { OwnedFd::try_clone(&slave).expect("a descriptor").into() };
        let mut command = command("env");
        command
            .args(["--default-signal=INT", "setsid", "--ctty", "--wait"])
            .arg(path(name))
            .args(words)
            .stdin(slave())
            .stdout(slave())
            .stderr(slave());
        let child = command.spawn().expect("env and setsid");
        Self { screen: File::from(master), seen: String::new(), child }
    }

    fn shows(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0; 1024];
        while !self.seen.contains(text) {
            assert!(Instant::now() < end, "no {text:?} in {:?}", self.seen);
            // A closed terminal is an error to whoever reads it.
            let read = self.screen.read(&mut buffer).unwrap_or(0);
            assert!(read > 0, "closed without {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }

    fn ctrl_c(&mut self) {
        self.screen.write_all(b"\x03").expect("it is open");
    }
}

#[test]
fn the_status_line_names_what_is_left_and_a_second_ctrl_c_aborts() {
    let mut terminal = Terminal::start("life", &["terminal"], 200);
    terminal.shows("ready");
    terminal.ctrl_c();
    terminal.shows("(Ctrl+C again aborts)");
    terminal.shows("task upload");
    terminal.shows("task mail");
    // It is updated in place: the next one, a second later, begins by taking the last one away.
    terminal.seen.clear();
    terminal.shows("\r\x1b[Kdraining");
    terminal.ctrl_c();
    assert_eq!(terminal.child.wait().expect("it ends").code(), Some(130));
    terminal.shows("\r\x1b[K");
}

#[test]
fn the_status_line_stays_one_line_on_a_narrow_terminal() {
    let mut terminal = Terminal::start("life", &["terminal"], 20);
    terminal.shows("ready");
    terminal.ctrl_c();
    terminal.shows("\r\x1b[Kdraining, ");
    terminal.seen.clear();
    terminal.shows("\r\x1b[K");
    let line = terminal.seen.split('\r').next().unwrap_or_default().to_owned();
    assert!(!line.contains("again"), "{line:?}");
    terminal.ctrl_c();
    assert_eq!(terminal.child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn the_wait_for_what_nothing_tracks_is_shown_and_ctrl_c_ends_it() {
    let mut terminal = Terminal::start("life", &["leaving", "endless", "no-log"], 200);
    terminal.shows("\r\x1b[Kleaving, ");
    terminal.shows("closures on the blocking pool that nothing tracks (Ctrl+C ends the wait)");
    terminal.ctrl_c();
    assert_eq!(terminal.child.wait().expect("it ends").code(), Some(0));
    terminal.shows("left running: ");
}

/// A client chooses what stands in the status line: it is shown, and not acted upon.
#[test]
fn what_a_client_writes_is_escaped_in_the_status_line() {
    for server in [&[][..], &["layer"]] {
        let mut terminal = Terminal::start("http", server, 400);
        terminal.shows("port ");
        terminal.shows("\n");
        let path = "/stuck/\u{85}\u{9b}31mX\u{2028}\u{202e}";
        let _client = ask(address::told_in(&terminal.seen), path);
        terminal.shows("stuck");
        terminal.seen.clear();
        terminal.ctrl_c();
        terminal.shows("(Ctrl+C again aborts)");
        // The next one comes a second later: a Ctrl+C at once would be the same wish.
        terminal.seen.clear();
        terminal.shows("(Ctrl+C again aborts)");
        terminal.ctrl_c();
        assert_eq!(terminal.child.wait().expect("it ends").code(), Some(130));
        terminal.shows("exit status 130");
        let escaped = r"GET /stuck/\u{85}\u{9b}31mX\u{2028}\u{202e}";
        let line = terminal.seen.split("\r\x1b[K").find(|line| line.starts_with("draining"));
        assert!(line.is_some_and(|line| line.contains(escaped)), "{:?}", terminal.seen);
        let acted_upon = ['\u{85}', '\u{9b}', '\u{2028}', '\u{202e}'];
        assert!(!terminal.seen.contains(acted_upon), "{:?}", terminal.seen);
    }
}
