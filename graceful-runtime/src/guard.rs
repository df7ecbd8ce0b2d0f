//! One piece of work in flight, without a task of its own.

use std::sync::Arc;

use crate::{
    parts::PartId,
    program::Program,
    tasks::{Label, Work},
};

/// One piece of work in flight, until dropped, on any thread.
///
/// The drain waits for it. A force cannot end it: one that is still there afterwards is left behind and reported.
///
/// A clone of a guard is a further piece of work; it is let in for as long as work that belongs to running work is, that is
/// until finalization begins.
#[derive(Debug)]
#[must_use = "the work counts as ended as soon as the guard is dropped"]
pub struct Guard {
    program: Arc<Program>,
    part: PartId,
    label: Label,
    /// `None`: refused, because finalization had begun.
    work: Option<Work>,
}

impl Guard {
    pub(crate) fn new(
        program: Arc<Program>,
        part: PartId,
        label: Label,
        work: Option<Work>,
    ) -> Self {
        if work.is_none() {
            let name = label.name();
            tracing::warn!(target: "graceful", guard = %name, "refused: finalization has begun");
        }
        Self { program, part, label, work }
    }

    /// Whether the guard counts: it does not if it was asked for after finalization had begun.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.work.is_some()
    }
}

impl Clone for Guard {
    fn clone(&self) -> Self {
        let work = self.program.tasks.enter(self.part, self.label.clone());
        Self::new(Arc::clone(&self.program), self.part, self.label.clone(), work)
    }
}
