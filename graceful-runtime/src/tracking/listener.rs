//! Who is notified when tracked work ends.

use std::fmt;

use crate::tracking::label::Label;

/// The program, as tracked work sees it: it is notified of each end that the program must react to or report.
pub(crate) trait Listener: fmt::Debug + Send + Sync {
    /// An essential task has ended, or a task has failed with this error.
    fn task_ended(&self, label: &Label, is_essential: bool, error: Option<String>);

    /// A task has panicked with this message.
    fn task_panicked(&self, label: &Label, is_essential: bool, message: String);
}
