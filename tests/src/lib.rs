//! The harness: a real program, driven from outside with real signals.
//!
//! ```no_run
//! # use graceful_tests::{Program, TERM};
//! Program::new("phases").start().line("init.begin").signal(TERM).exits(0).printed("init.end");
//! ```
//!
//! No step sleeps: each waits for a line or for the end, for at most [`PATIENCE`], which is no part of any assertion.

pub mod client;
pub mod torture;

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, Once, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use nix::sys::signal::Signal::{
    SIGCONT as CONT, SIGHUP as HUP, SIGINT as INT, SIGKILL as KILL, SIGQUIT as QUIT,
    SIGSTOP as STOP, SIGTERM as TERM, SIGUSR1 as USR1, SIGUSR2 as USR2, SIGWINCH as WINCH,
};
use nix::{
    sys::signal::{SigHandler, Signal, kill, killpg},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// How long a step waits before the test fails: long enough for any machine, so that it never decides about a correct program.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program of this package, about to be started.
#[derive(Debug)]
pub struct Program {
    /// The program and its arguments.
    line: Vec<OsString>,
    variables: Vec<(String, String)>,
    stdin: Stdio,
    stderr: Stdio,
}

impl Program {
    /// The program with the name of its file in `src/bin`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            line: vec![path(name).into()],
            variables: Vec::new(),
            stdin: Stdio::null(),
            stderr: Stdio::piped(),
        }
    }

    /// An example of this repository.
    ///
    /// # Panics
    ///
    /// If it is not built.
    #[must_use]
    pub fn example(name: &str) -> Self {
        let built = path(name).exists();
        assert!(built, "{name} is missing: run `cargo build --workspace --bins` first");
        Self::new(name)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl ToString) -> Self {
        self.line.push(arg.to_string().into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it a standard input on which nothing ever comes, instead of one that has ended.
    #[must_use]
    pub fn open_stdin(mut self) -> Self {
        self.stdin = Stdio::piped();
        self
    }

    /// Gives it a standard error that is full and that nobody reads, for as long as the returned end lives.
    ///
    /// # Panics
    ///
    /// If the system has no socket left.
    #[must_use]
    pub fn full_stderr(mut self) -> (Self, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        theirs.set_nonblocking(true).expect("a socket");
        while (&theirs).write(&[b'.'; 1024]).is_ok() {}
        while (&theirs).write(b".").is_ok() {}
        theirs.set_nonblocking(false).expect("a socket");
        self.stderr = Stdio::from(OwnedFd::from(theirs));
        (self, ours)
    }

    /// Starts it through a command in front of it, such as `nohup`.
    #[must_use]
    pub fn through(mut self, front: &[&str]) -> Self {
        self.line.splice(..0, front.iter().map(OsString::from));
        self
    }

    /// Starts it, in a process group of its own.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(self) -> Running {
        let Self { line, variables, stdin, stderr } = self;
        DEFAULTS.call_once(take_back_what_is_ignored);
        let (program, arguments) = line.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(stderr);
        // The machine's own settings must not reach the programs: looking up the names of a backtrace takes longer than a
        // stop waits for a thread that it told to end.
        command.env_remove("GRACEFUL_TIMEOUT").env("RUST_BACKTRACE", "0");
        command.envs(variables).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Arc::<Output>::default();
        let readers = [
            output.read(child.stdout.take(), Stream::Out),
            output.read(child.stderr.take(), Stream::Err),
        ];
        Running { child, output, readers, seen: 0, signalled: None }
    }
}

static DEFAULTS: Once = Once::new();

/// A shell that runs the tests in the background has them ignore INT, and what they start would inherit that.
#[expect(unsafe_code, reason = "there is no safe way to give a signal its default action back")]
fn take_back_what_is_ignored() {
    for signal in [HUP, INT, QUIT, TERM, USR1, USR2] {
        // SAFETY: no handler is replaced that anything relies on: a test has none.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }.expect("it can be caught");
    }
}

/// Where the programs under test are built, beside the tests.
///
/// # Panics
///
/// Outside of a test.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/debug/deps/test");
    folder.join(name)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stream {
    Out,
    Err,
}

/// The lines that a program printed, in the order in which they came.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<(Vec<(Stream, String)>, usize)>,
    more: Condvar,
}

impl Output {
    fn read(
        self: &Arc<Self>,
        from: Option<impl Read + Send + 'static>,
        stream: Stream,
    ) -> JoinHandle<()> {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let lines = from.into_iter().flat_map(|from| BufReader::new(from).split(b'\n'));
            for line in lines.map_while(Result::ok) {
                output.update(|(lines, _)| {
                    lines.push((stream, String::from_utf8_lossy(&line).into_owned()))
                });
            }
            output.update(|(_, ended)| *ended += 1);
        })
    }

    fn update(&self, change: impl FnOnce(&mut (Vec<(Stream, String)>, usize))) {
        change(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_all();
    }

    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.0.iter().map(|(stream, line)| format!("  {stream:?}: {line}\n")).collect()
    }
}

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Arc<Output>,
    readers: [JoinHandle<()>; 2],
    seen: usize,
    signalled: Option<Instant>,
}

impl Running {
    /// Waits for a line that contains `text`, after the last one that was waited for.
    ///
    /// # Panics
    ///
    /// If it does not come.
    #[must_use]
    pub fn line(mut self, text: &str) -> Self {
        self.wait_for(text);
        self
    }

    /// Like [`line`](Self::line), and gives the line.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = lines.0[self.seen..].iter().position(|(_, line)| line.contains(text))
            {
                self.seen += at + 1;
                return lines.0[self.seen - 1].1.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            if lines.1 == 2 || left.is_zero() {
                drop(lines);
                panic!("no line {text:?}; printed:\n{}", self.output.text());
            }
            lines = self
                .output
                .more
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Sends a signal to the process.
    #[must_use]
    pub fn signal(mut self, signal: Signal) -> Self {
        self.send(signal);
        self
    }

    /// Sends a signal to the process; it may be gone already.
    pub fn send(&mut self, signal: Signal) {
        self.signalled.get_or_insert_with(Instant::now);
        let _gone = kill(self.pid(), signal);
    }

    /// Sends a signal to the process group, as a terminal does; it may be gone already.
    pub fn send_group(&mut self, signal: Signal) {
        self.signalled.get_or_insert_with(Instant::now);
        let _gone = killpg(self.pid(), signal);
    }

    /// Lets time pass that the plan of a test asks for, not for a condition that could be waited for.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        thread::sleep(time);
        self
    }

    /// The process.
    ///
    /// # Panics
    ///
    /// If its number does not fit.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Waits for the end and checks the exit status.
    ///
    /// # Panics
    ///
    /// If it is another, or the program does not end.
    #[track_caller]
    pub fn exits(self, status: i32) -> Ended {
        let ended = self.ends();
        assert_eq!(ended.status, status, "the exit status; printed:\n{}", ended.text());
        ended
    }

    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// If the program does not end.
    #[track_caller]
    #[must_use]
    pub fn ends(mut self) -> Ended {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None if Instant::now() > end => {
                    let text = self.output.text();
                    drop(self.child.kill());
                    panic!("it does not end; printed:\n{text}");
                }
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        let took = self.signalled.map(|at| at.elapsed()).unwrap_or_default();
        let readers =
            std::mem::replace(&mut self.readers, [thread::spawn(|| {}), thread::spawn(|| {})]);
        readers.into_iter().for_each(|reader| drop(reader.join()));
        let lines =
            std::mem::take(&mut self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).0);
        let status = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        Ended { status, took, lines }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status, or minus the number of the signal that ended it.
    pub status: i32,
    /// The time from the first signal to the end.
    pub took: Duration,
    lines: Vec<(Stream, String)>,
}

impl Ended {
    /// Checks that some line contains `text`.
    ///
    /// # Panics
    ///
    /// If none does.
    #[track_caller]
    pub fn printed(self, text: &str) -> Self {
        assert!(
            self.lines.iter().any(|(_, line)| line.contains(text)),
            "no line {text:?} in:\n{}",
            self.text()
        );
        self
    }

    /// Checks that no line contains `text`.
    ///
    /// # Panics
    ///
    /// If one does.
    #[track_caller]
    pub fn never_printed(self, text: &str) -> Self {
        assert!(
            !self.lines.iter().any(|(_, line)| line.contains(text)),
            "a line {text:?} in:\n{}",
            self.text()
        );
        self
    }

    /// Checks the whole of standard output.
    ///
    /// # Panics
    ///
    /// If it differs.
    #[track_caller]
    pub fn stdout(self, lines: &[&str]) -> Self {
        assert_eq!(self.out(), lines, "printed:\n{}", self.text());
        self
    }

    /// Checks that it was gone within `limit` of the first signal: a promise of the program, not a guess about the machine.
    ///
    /// # Panics
    ///
    /// If it was not.
    #[track_caller]
    pub fn within(self, limit: Duration) -> Self {
        assert!(
            self.took < limit,
            "gone after {:?}, promised {limit:?}; printed:\n{}",
            self.took,
            self.text()
        );
        self
    }

    /// The lines on standard output.
    #[must_use]
    pub fn out(&self) -> Vec<&str> {
        let out = self.lines.iter().filter(|(stream, _)| *stream == Stream::Out);
        out.map(|(_, line)| line.as_str()).collect()
    }

    /// All that was printed.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.iter().map(|(stream, line)| format!("  {stream:?}: {line}\n")).collect()
    }
}

/// Prints a line in one write, also while the other end is closing.
pub fn say(line: impl std::fmt::Display) {
    drop(std::io::stdout().write_all(format!("{line}\n").as_bytes()));
}

/// The time since the machine was started: a clock that all its processes share.
///
/// # Panics
///
/// If the machine has no such clock.
#[must_use]
pub fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock").into()
}

/// Lets the programs log to standard error.
pub fn log() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time().init();
}

/// The first argument of a program.
#[must_use]
pub fn argument() -> String {
    std::env::args().nth(1).unwrap_or_default()
}
