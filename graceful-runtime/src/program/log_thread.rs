//! The thread that writes while the program stops: `tracing` events, and the status line on a terminal.
//!
//! A subscriber is user code and standard error may be a full pipe, so either may block. From the request on, a thread of
//! its own does all of this writing. Only the exit report waits for it, and for a limited time. The thread starts with the first
//! message; a stop that writes nothing has none.

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
    /// Writes one event.
    Event(Box<dyn FnOnce() + Send>),
    /// Replaces the status line.
    Status(String),
}

/// Writes messages in the order in which they were sent.
#[derive(Default)]
pub(crate) struct LogThread {
    mode: Mutex<Mode>,
}

#[derive(Default)]
enum Mode {
    /// Each caller writes its own messages.
    #[default]
    Inline,
    /// The thread writes all messages. It starts with the first one.
    Thread(Option<Thread>),
}

struct Thread {
    messages: Sender<Message>,
    /// Disconnected when the thread has written everything.
    finished: Receiver<()>,
}

impl Thread {
    /// Returns `None` if the system cannot start a thread.
    fn start() -> Option<Self> {
        let (messages, read) = mpsc::channel::<Message>();
        let (end, finished) = mpsc::channel();
        let write_all = move || {
            let mut shown = false;
            for message in read {
                // Events usually go to the same terminal, so the status line makes room for them.
                if mem::take(&mut shown) {
                    clear();
                }
                match message {
                    // The panic hook has printed the panic of a subscriber, which must not end the messages that follow.
                    Message::Event(write) => {
                        quietly(write);
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
        let thread = thread::Builder::new().name("graceful-log".to_owned()).spawn(write_all);
        thread.is_ok().then_some(Self { messages, finished })
    }
}

impl LogThread {
    /// From now on a thread writes the messages.
    pub(crate) fn start(&self) {
        let mut mode = self.mode.lock();
        if matches!(*mode, Mode::Inline) {
            *mode = Mode::Thread(None);
        }
    }

    /// Whether a subscriber may be interested in the level. This reads a number and does not call the subscriber.
    pub(crate) fn is_enabled(&self, level: Level) -> bool {
        level <= LevelFilter::current()
    }

    /// Writes an event if its level is enabled.
    pub(crate) fn event(&self, level: Level, write: impl FnOnce() + Send + 'static) {
        if self.is_enabled(level) {
            self.write(write);
        }
    }

    /// Writes something that goes to standard error too, whatever level is enabled.
    pub(crate) fn write(&self, write: impl FnOnce() + Send + 'static) {
        if let Err(Message::Event(write)) = self.send(Message::Event(Box::new(write))) {
            quietly(write);
        }
    }

    /// Shows a status line until the next message. Does nothing without the thread, because only the thread clears the line.
    pub(crate) fn show(&self, text: String) {
        drop(self.send(Message::Status(text)));
    }

    /// Sends a message to the thread. Returns the message if there is no thread, for the caller to write.
    fn send(&self, message: Message) -> Result<(), Message> {
        let mut mode = self.mode.lock();
        let Mode::Thread(thread) = &mut *mode else { return Err(message) };
        if thread.is_none() {
            *thread = Thread::start();
        }
        match thread {
            Some(thread) => thread.messages.send(message).map_err(|SendError(message)| message),
            None => Err(message),
        }
    }

    /// Waits until all messages are written, for at most `time`. After that each caller writes its own messages.
    pub(crate) fn finish(&self, time: Duration) {
        let Mode::Thread(Some(Thread { messages, finished })) = mem::take(&mut *self.mode.lock())
        else {
            return;
        };
        drop(messages);
        match finished.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

impl std::fmt::Debug for LogThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogThread").finish_non_exhaustive()
    }
}

/// Whether standard error is a terminal, which can show a status line.
pub(crate) fn has_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Replaces the status line by `text`, truncated to the width of the terminal so that it stays one line.
fn show(text: &str) {
    let width = sys::terminal_width().unwrap_or(80).saturating_sub(1);
    let text: String = text.chars().take(width).collect();
    // A closed terminal does not matter to the stop.
    drop(write!(io::stderr(), "\r\x1b[K{text}"));
}

/// Clears the status line.
fn clear() {
    drop(write!(io::stderr(), "\r\x1b[K"));
}
