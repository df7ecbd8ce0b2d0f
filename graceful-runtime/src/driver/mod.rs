//! The driver: the loop that brings time and signals to the program and performs the actions that follow, and the finalizers and
//! the exit report.

pub(crate) mod abort_phase;
pub(crate) mod event_loop;
pub(crate) mod exit_report;
pub(crate) mod finalizer_runtime;
pub(crate) mod finalizers;
mod guard_clock;
pub(crate) mod outside;
pub(crate) mod progress;
mod signals;
pub(crate) mod start;
