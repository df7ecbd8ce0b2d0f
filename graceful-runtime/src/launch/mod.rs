//! From `Builder::run` to the exit status of the process.

pub mod builder;
pub mod init;
pub(crate) mod main_thread;
pub(crate) mod run;
pub(crate) mod runtime_end;
