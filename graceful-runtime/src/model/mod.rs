//! Values and rules: settings, the state machines, the report, and how texts are shown. Nothing here performs input, output or waiting; the only imports
//! from outside are `std`, tokio's `Instant`, and small crates without a runtime.

pub(crate) mod finalizer_turns;
pub(crate) mod lifecycle;
pub(crate) mod outcome;
pub(crate) mod panics;
pub(crate) mod report;
pub(crate) mod sanitize;
pub(crate) mod select;
pub(crate) mod settings;
pub(crate) mod signal;
