//! Values and rules: what happens on which event, what things are called, and how they are shown. Nothing here does anything: only `std` and the
//! `Instant` of tokio are used.

pub(crate) mod finalizer_turns;
pub(crate) mod lifecycle;
pub(crate) mod outcome;
pub(crate) mod panics;
pub(crate) mod report;
pub(crate) mod sanitize;
pub(crate) mod select;
pub(crate) mod settings;
pub(crate) mod signal;
