//! The end of a force: what is waited for after everything was aborted, and for how long.

use std::mem;

use tokio::time::Instant;

use crate::{model::settings::patience, program::state::Program};

/// The end of a force: until when it waits for what.
#[derive(Clone, Copy)]
pub(crate) struct AbortPhase {
    /// What was aborted is dropped at its next await, which a blocked worker may never reach.
    aborted: Instant,
    /// Shields get half of the budget that is left at the force; the other half is for the finalizers.
    shielded: Instant,
    /// At the last look something was shielded.
    was_shielded: bool,
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

    /// When [`Self::is_over`] may have become true by time alone.
    pub(crate) fn next_times(&self) -> [Option<Instant>; 3] {
        [Some(self.aborted), (!self.shields_are_over).then_some(self.shielded), None]
    }

    pub(crate) fn is_over(&mut self, program: &Program, now: Instant) -> bool {
        let end = program.stop().map_or(now, |stop| stop.budget.report);
        let awaited = program.tracker.awaited();
        let is_shielded = awaited.shielded > 0 && !self.shields_are_over;
        if mem::replace(&mut self.was_shielded, is_shielded) || is_shielded {
            // What leaves its shield is aborted then, and may take as long to end as what was aborted at first.
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
