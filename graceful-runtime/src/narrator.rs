//! What the program says while it stops: events of `tracing`, and the status line on a terminal.
//!
//! A subscriber is user code and standard error may be a full pipe, so from the request on all of it is said by a thread of
//! its own, which may get stuck without holding anything else up.

use std::{
    io::{self, IsTerminal, Write},
    mem,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use crate::{lock::Mutex, sys, work::quietly};

enum Line {
    /// Something that is said once.
    Event(Box<dyn FnOnce() + Send>),
    /// The status line, which takes the place of the last one.
    Status(String),
}

/// The way to say something, in the order in which it is said.
#[derive(Default)]
pub(crate) struct Narrator {
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    lines: Sender<Line>,
    silent: Receiver<()>,
}

impl Narrator {
    /// Starts the thread; where there is none to be had, whoever has something to say says it.
    pub(crate) fn start(&self) {
        let mut thread = self.thread.lock();
        if thread.is_some() {
            return;
        }
        let (lines, read) = mpsc::channel::<Line>();
        let (end, silent) = mpsc::channel();
        let narrate = move || {
            let mut shown = false;
            for line in read {
                // What is said goes to the same terminal as a rule: on a line of its own.
                if mem::take(&mut shown) {
                    clear();
                }
                match line {
                    // A subscriber that panics has said so, and must not silence what follows.
                    Line::Event(say) => {
                        quietly(say);
                    }
                    Line::Status(text) => {
                        show(&text);
                        shown = true;
                    }
                }
            }
            if shown {
                clear();
            }
            drop(end);
        };
        if thread::Builder::new().name("graceful-narrator".to_owned()).spawn(narrate).is_ok() {
            *thread = Some(Thread { lines, silent });
        }
    }

    pub(crate) fn say(&self, line: impl FnOnce() + Send + 'static) {
        let thread = self.thread.lock();
        match &*thread {
            Some(thread) => drop(thread.lines.send(Line::Event(Box::new(line)))),
            None => {
                drop(thread);
                quietly(line);
            }
        }
    }

    /// Shows a status line, until something else is said. Without the thread nobody is there to take it away again.
    pub(crate) fn show(&self, text: String) {
        if let Some(thread) = &*self.thread.lock() {
            drop(thread.lines.send(Line::Status(text)));
        }
    }

    /// Waits until everything was said, at most for `time`; what is said after that is said by whoever says it.
    pub(crate) fn finish(&self, time: Duration) {
        let Some(Thread { lines, silent }) = self.thread.lock().take() else { return };
        drop(lines);
        match silent.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

impl std::fmt::Debug for Narrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Narrator").finish_non_exhaustive()
    }
}

/// Whether there is somebody to see a status line.
pub(crate) fn has_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Shows `text` in place of the last status line, cut to the width of the terminal so that it stays one line.
fn show(text: &str) {
    let width = sys::terminal_width().unwrap_or(80).saturating_sub(1);
    let text: String = text.chars().take(width).collect();
    // A terminal that was closed is no reason to stop stopping.
    drop(write!(io::stderr(), "\r\x1b[K{text}"));
}

/// Takes the status line away.
fn clear() {
    drop(write!(io::stderr(), "\r\x1b[K"));
}
