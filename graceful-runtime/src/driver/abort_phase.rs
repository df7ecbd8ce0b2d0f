//! The wait for aborted and shielded work after a force.

use std::mem;

use tokio::time::Instant;

use crate::{model::settings::patience, program::state::Program};

/// What a force waits for after it has aborted the tracked work, and until when.
#[derive(Clone, Copy)]
pub(crate) struct AbortPhase {
    /// Deadline for aborted work. The work is dropped at its next `.await`, which a blocked worker may never reach.
    aborted: Instant,
    /// Deadline for shielded work: half of the budget that was left at the force. The other half is for the finalizers.
    shielded: Instant,
    /// Some work was shielded when [`Self::is_over`] was last called.
    was_shielded: bool,
    /// The deadline for shielded work has passed, and that work was aborted too.
    shields_are_over: bool,
}

impl AbortPhase {
    pub(crate) fn begin(program: &Program) -> Self {
        let now = Instant::now();
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        let half = end.saturating_duration_since(now) / 2;
        Self {
            aborted: now + patience(now, end),
            shielded: now + half,
            was_shielded: false,
            shields_are_over: false,
        }
    }

    /// The times at which [`Self::is_over`] may become true without any other event.
    pub(crate) fn next_times(&self) -> [Option<Instant>; 3] {
        [Some(self.aborted), (!self.shields_are_over).then_some(self.shielded), None]
    }

    pub(crate) fn is_over(&mut self, program: &Program, now: Instant) -> bool {
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        let awaited = program.tracker.awaited();
        let is_shielded = awaited.shielded > 0 && !self.shields_are_over;
        if mem::replace(&mut self.was_shielded, is_shielded) || is_shielded {
            // Work that leaves its shield is aborted then, and gets as much time to end as work that was aborted at the force.
            self.aborted = now + patience(now, end);
        }
        if is_shielded {
            if self.shielded > now {
                return false;
            }
            self.shields_are_over = true;
            program.tracker.force_shields();
        }
        program.tracker.awaited().aborting == 0 || self.aborted <= now
    }
}
