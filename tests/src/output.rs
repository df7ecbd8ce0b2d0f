//! What a program prints, as it comes.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A line, and the stream that it was printed on.
pub(crate) type Line = (Stream, String);

/// All lines, one below the other, for the message of a test that fails.
pub(crate) fn shown(lines: &[Line]) -> String {
    lines.iter().map(|(stream, line)| format!("  {stream:?}: {line}\n")).collect()
}

/// What came of waiting for a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Saw {
    /// The line.
    Line,
    /// The end of all output.
    End,
    /// Neither, until the time was over.
    Nothing,
}

/// The lines that a program printed, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Output {
    read: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<Line>,
    /// How many of the two streams have ended.
    ended: usize,
}

impl Output {
    /// Reads a stream to its end, on a thread of its own.
    pub(crate) fn read(
        self: &Arc<Self>,
        from: Option<impl Read + Send + 'static>,
        stream: Stream,
    ) -> JoinHandle<()> {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let lines = from.into_iter().flat_map(|from| BufReader::new(from).split(b'\n'));
            for line in lines.map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                output.lock().lines.push((stream, line));
                output.more.notify_all();
            }
            output.lock().ended += 1;
            output.more.notify_all();
        })
    }

    /// Waits for a line that contains `text`, from line number `from` on, for at most `time`. Gives the number of the line as well.
    pub(crate) fn wait_for(&self, text: &str, from: usize, time: Duration) -> (Saw, usize) {
        let end = Instant::now() + time;
        let (mut read, mut looked) = (self.lock(), from);
        loop {
            if let Some(at) = read.lines[looked..].iter().position(|(_, line)| line.contains(text))
            {
                return (Saw::Line, looked + at);
            }
            looked = read.lines.len();
            let left = end.saturating_duration_since(Instant::now());
            if read.ended == 2 {
                return (Saw::End, looked);
            } else if left.is_zero() {
                return (Saw::Nothing, looked);
            }
            read = self.more.wait_timeout(read, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn line(&self, number: usize) -> String {
        self.lock().lines[number].1.clone()
    }

    /// All lines; none is left.
    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lock().lines)
    }

    pub(crate) fn text(&self) -> String {
        shown(&self.lock().lines)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
