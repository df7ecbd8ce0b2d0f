//! The ticks of the guards' coarse clock.

use tokio::time::Instant;

use crate::{
    program::state::Program,
    sync::coarse_clock::{self, MANY},
};

/// Ticks the coarse clock while many guards enter, and stops it otherwise, so that an idle program does not wake up.
#[derive(Default)]
pub(super) struct GuardClock {
    /// When the next tick is due, and how many guards had entered at the last one. `None` while the clock stands still.
    next: Option<(Instant, usize)>,
}

impl GuardClock {
    /// When the next tick is due, while the clock runs.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// Ticks if a tick is due. Stops the clock if few guards have entered since the last tick.
    pub(super) fn tick(&mut self, program: &Program) {
        if !program.tracker.is_clock_wound() {
            return;
        }
        let now = Instant::now();
        if self.next.is_some_and(|(at, _)| at > now) {
            return;
        }
        let entered = program.tracker.tick();
        let are_many = self.next.is_none_or(|(_, before)| entered.wrapping_sub(before) >= MANY);
        self.next = are_many.then(|| (now + coarse_clock::TICK, entered));
        if !are_many {
            program.tracker.stop_clock();
        }
    }
}
