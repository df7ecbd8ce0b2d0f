//! What the program says while it stops: events of `tracing`, and the status line on a terminal.
//!
//! A subscriber is user code and standard error may be a full pipe, so from the request on all of it is said by a thread of
//! its own, which may get stuck without holding anything else up. A stop of which nothing is to be said does without it.

use std::{
    io::{self, IsTerminal, Write},
    mem,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SendError, Sender},
    thread,
    time::Duration,
};

use tracing::{Level, level_filters::LevelFilter};

use crate::{
    model::panics::quietly,
    os::{mutex::Mutex, sys},
};

enum Message {
    /// Something that is said once.
    Event(Box<dyn FnOnce() + Send>),
    /// The status line, which takes the place of the last one.
    Status(String),
}

/// The way to say something, in the order in which it is said.
#[derive(Default)]
pub(crate) struct LogThread {
    mode: Mutex<Mode>,
}

#[derive(Default)]
enum Mode {
    /// Whoever has something to say says it.
    #[default]
    Inline,
    /// The thread says it; there is none before there is anything to say.
    Thread(Option<Thread>),
}

struct Thread {
    messages: Sender<Message>,
    silent: Receiver<()>,
}

impl Thread {
    /// `None` where the system has no thread.
    fn start() -> Option<Self> {
        let (messages, read) = mpsc::channel::<Message>();
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
                    Message::Event(say) => {
                        quietly(say);
                    }
                    Message::Status(text) => {
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
        let thread = thread::Builder::new().name("graceful-narrator".to_owned()).spawn(narrate);
        thread.is_ok().then_some(Self { messages, silent })
    }
}

impl LogThread {
    /// From here on a thread says it, from the first line on that there is.
    pub(crate) fn start(&self) {
        let mut mode = self.mode.lock();
        if matches!(*mode, Mode::Inline) {
            *mode = Mode::Thread(None);
        }
    }

    /// Whether anybody listens to the level. That is a number, which is read without a call of the subscriber.
    pub(crate) fn is_heard(&self, level: Level) -> bool {
        level <= LevelFilter::current()
    }

    /// Says an event, if it is heard.
    pub(crate) fn event(&self, level: Level, line: impl FnOnce() + Send + 'static) {
        if self.is_heard(level) {
            self.write(line);
        }
    }

    /// Says what is not for the log alone.
    pub(crate) fn write(&self, line: impl FnOnce() + Send + 'static) {
        if let Err(Message::Event(line)) = self.give(Message::Event(Box::new(line))) {
            quietly(line);
        }
    }

    /// Shows a status line, until something else is said. Without the thread nobody is there to take it away again.
    pub(crate) fn show(&self, text: String) {
        drop(self.give(Message::Status(text)));
    }

    /// Gives the line to the thread; back where there is none, to be said by whoever has it.
    fn give(&self, line: Message) -> Result<(), Message> {
        let mut mode = self.mode.lock();
        let Mode::Thread(thread) = &mut *mode else { return Err(line) };
        if thread.is_none() {
            *thread = Thread::start();
        }
        match thread {
            Some(thread) => thread.messages.send(line).map_err(|SendError(line)| line),
            None => Err(line),
        }
    }

    /// Waits until everything was said, at most for `time`; what is said after that is said by whoever says it.
    pub(crate) fn finish(&self, time: Duration) {
        let Mode::Thread(Some(Thread { messages, silent })) = mem::take(&mut *self.mode.lock())
        else {
            return;
        };
        drop(messages);
        match silent.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

impl std::fmt::Debug for LogThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogThread").finish_non_exhaustive()
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
