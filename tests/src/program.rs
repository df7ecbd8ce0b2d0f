//! A program, and how it is started.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::Write,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::Once,
};

use nix::sys::signal::{SigHandler, signal};

use crate::{HUP, INT, QUIT, Running, TERM, USR1, USR2};

/// A program of this repository, about to be started.
#[derive(Debug)]
pub struct Program {
    /// The program and its arguments.
    line: Vec<OsString>,
    variables: Vec<(String, String)>,
    stdin: Stdio,
    stderr: Stdio,
}

impl Program {
    /// The program with the name of its file or folder in `src/bin`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            line: vec![path(name).into()],
            variables: Vec::new(),
            stdin: Stdio::null(),
            stderr: Stdio::piped(),
        }
    }

    /// A scenario of the program `life`: a file in `src/bin/life`.
    #[must_use]
    pub fn life(scenario: &str) -> Self {
        Self::new("life").arg(scenario)
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

    /// Adds arguments.
    #[must_use]
    pub fn args(self, args: impl IntoIterator<Item: ToString>) -> Self {
        args.into_iter().fold(self, Self::arg)
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
        let (program, arguments) = line.split_first().expect("a program");
        let mut command = command(program);
        command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(stderr);
        command.envs(variables).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running::new(child)
    }

    /// Starts a program that says `port N` once it listens; gives the address.
    ///
    /// # Panics
    ///
    /// If it does not say so.
    #[must_use]
    pub fn serve(self) -> (Running, SocketAddr) {
        let mut running = self.start();
        let address = running.address();
        (running, address)
    }
}

/// A command that gets nothing of what the machine, or the shell that runs the tests, has set for programs like those under test: no
/// `GRACEFUL_…`, no backtrace (looking up its names takes longer than a stop waits for a thread that it told to end), no ignored signal.
///
/// [`Program::start`] is made of it; where that is not enough, a test starts with it.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    static DEFAULTS: Once = Once::new();
    DEFAULTS.call_once(take_back_what_is_ignored);
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GRACEFUL_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LIB_BACKTRACE").env("RUST_BACKTRACE", "0");
    command
}

/// A shell that runs the tests in the background has them ignore INT, and what they start would inherit that.
///
/// This is a change to the process of the tests, once. It is the only one that the harness makes, and none of them relies on another
/// action: a test that lives a life in its own process does so without real signals.
#[expect(unsafe_code, reason = "there is no safe way to give a signal its default action back")]
fn take_back_what_is_ignored() {
    for number in [HUP, INT, QUIT, TERM, USR1, USR2] {
        // SAFETY: no handler is replaced that anything relies on: a test has none.
        unsafe { signal(number, SigHandler::SigDfl) }.expect("it can be caught");
    }
}

/// Where the programs under test are built, beside the tests.
///
/// # Panics
///
/// Outside of a test.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/debug/deps/test");
    folder.join(name)
}
