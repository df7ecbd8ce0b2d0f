//! The state of one program: events come in, and what follows from them goes out.

pub(crate) mod current;
pub(crate) mod finalizer_queue;
pub(crate) mod log;
pub(crate) mod log_thread;
pub(crate) mod state;
pub(crate) mod untracked_wait;
