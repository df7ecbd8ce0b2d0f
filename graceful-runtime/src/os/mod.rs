//! All requests to the operating system: signals, the last exit, sockets, threads, and locks. All unsafe code is in [`sys`], apart from
//! [`crate::sync::atomic_ref`]. Support for another platform would go here.

pub(crate) mod listen;
pub(crate) mod mutex;
pub(crate) mod socket_files;
pub(crate) mod supervisor;
pub(crate) mod sys;
pub(crate) mod thread_index;
