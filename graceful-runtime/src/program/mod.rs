//! The state that all handles of one program share: events come in, and their effects go out.

pub(crate) mod at_exit;
pub(crate) mod current;
pub(crate) mod finalizer_queue;
pub(crate) mod history;
pub(crate) mod log;
pub(crate) mod log_thread;
mod recording;
pub(crate) mod state;
mod transitions;
pub(crate) mod untracked_wait;
