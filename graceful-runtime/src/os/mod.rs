//! What is asked of the system: signals and the last exit, sockets, threads. All that is unsafe is in [`sys`], apart from one file of `sync`. Another
//! platform's signals and last exit would go here.

pub(crate) mod listen;
pub(crate) mod mutex;
pub(crate) mod socket_files;
pub(crate) mod supervisor;
pub(crate) mod sys;
pub(crate) mod thread_index;
