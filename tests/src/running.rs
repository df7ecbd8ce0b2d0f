//! A program that runs: what is waited for, and what is sent to it.

use std::{
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::Child,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::{
    Ended, PATIENCE, Saw, address,
    output::{Output, Stream},
};

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    /// How many lines were looked at.
    seen: usize,
    signalled: Option<Instant>,
}

impl Running {
    pub(crate) fn new(mut child: Child) -> Self {
        let output = Arc::<Output>::default();
        let readers = vec![
            output.read(child.stdout.take(), Stream::Out),
            output.read(child.stderr.take(), Stream::Err),
        ];
        Self { child, output, readers, seen: 0, signalled: None }
    }

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
        let saw = self.sees(text, PATIENCE);
        assert!(saw == Saw::Line, "no line {text:?}; printed:\n{}", self.output.text());
        self.output.line(self.seen - 1)
    }

    /// Waits for the line `port N`; gives the address.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub fn address(&mut self) -> SocketAddr {
        address::told_in(&self.wait_for("port "))
    }

    /// Waits for a line that contains `text`, after the last one that was waited for, or for the end, for at most `time`.
    pub fn sees(&mut self, text: &str, time: Duration) -> Saw {
        let (saw, at) = self.output.wait_for(text, self.seen, time);
        if saw == Saw::Line {
            self.seen = at + 1;
        }
        saw
    }

    /// Lets `time` pass, or less if the program ends meanwhile.
    pub fn passes(&mut self, time: Duration) -> Saw {
        self.sees("\0", time)
    }

    /// Lets time pass that the plan of a test asks for, not for a condition that could be waited for.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        thread::sleep(time);
        self
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
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        let status = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        Ended::new(status, took, self.output.take())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
