//! The loop that brings time and signals to the program, and what is run because of it: the abort, the finalizers, the exit report.

pub(crate) mod abort_phase;
pub(crate) mod event_loop;
pub(crate) mod exit_report;
pub(crate) mod finalizer_runtime;
pub(crate) mod finalizers;
pub(crate) mod outside;
pub(crate) mod progress;
