//! The oldest of many pieces of work.

use crate::{model::report::Straggler, sync::coarse_clock, tracking::label::Label};

/// Collects the oldest pieces of work; it never holds more than twice as many as are wanted.
pub(crate) struct Oldest {
    most: usize,
    /// At least `most` pieces began before this time, so a piece that began at it or later is not wanted.
    bound: usize,
    found: Vec<(usize, Label)>,
}

impl Oldest {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, bound: usize::MAX, found: Vec::new() }
    }

    /// Adds a piece of work. `label` is called only if the piece may be among the oldest.
    pub(crate) fn add(&mut self, since: usize, label: impl FnOnce() -> Label) {
        if since < self.bound {
            self.found.push((since, label()));
        }
        if self.found.len() >= self.most.saturating_mul(2) {
            self.keep_oldest();
            self.bound = self.found.last().map_or(0, |&(since, _)| since);
        }
    }

    fn keep_oldest(&mut self) {
        self.found.sort_by_key(|&(since, _)| since);
        self.found.truncate(self.most);
    }

    /// The oldest pieces, the oldest first. This formats names, which is user code, so the caller must hold no lock.
    pub(crate) fn finish(mut self) -> Vec<Straggler> {
        self.keep_oldest();
        self.found.iter().map(|(since, label)| label.straggler(coarse_clock::age(*since))).collect()
    }
}
