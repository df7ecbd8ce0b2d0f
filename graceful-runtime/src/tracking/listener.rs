//! Who hears of the ends of tracked work.

use std::fmt;

use crate::tracking::label::Label;

/// Hears of work that matters beyond its own end.
pub(crate) trait Listener: fmt::Debug + Send + Sync {
    /// A task has ended that is essential, or failed with this error.
    fn task_ended(&self, label: &Label, is_essential: bool, error: Option<String>);

    /// A task has panicked with this message.
    fn task_panicked(&self, label: &Label, is_essential: bool, message: String);
}
