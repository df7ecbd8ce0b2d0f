//! The way from `Builder::run` to the exit status of the process.

pub mod builder;
pub mod init;
pub(crate) mod main_thread;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod runtime_end;
pub(crate) mod runtime_settings;
pub(crate) mod thread_starter;
