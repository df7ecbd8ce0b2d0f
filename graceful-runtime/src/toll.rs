//! What a drain has come to: how much ended by itself, and what did not.

use std::time::Duration;

use crate::{clock, label::Label, report::Straggler};

/// What a drain has come to.
#[derive(Debug, Default)]
pub(crate) struct Toll {
    /// How much had ended at the request; `None` before it.
    before: Option<usize>,
    /// How much has ended by itself since then; `None` before finalization.
    drained: Option<u64>,
    /// How many stragglers have ended.
    fallen: usize,
    /// Spelled out when they are asked for: there may be a million.
    stragglers: Vec<(Label, Duration)>,
}

impl Toll {
    /// The request: so much had ended before it.
    pub(crate) fn begin(&mut self, ended: usize) {
        self.before.get_or_insert(ended);
    }

    /// How much has ended by itself since the request.
    pub(crate) fn drained(&self, ended: usize) -> u64 {
        let now = self.before.map_or(0, |before| ended.wrapping_sub(before));
        self.drained.unwrap_or_else(|| now.saturating_sub(self.fallen) as u64)
    }

    /// The end of the drain.
    pub(crate) fn close(&mut self, ended: usize) {
        self.drained = Some(self.drained(ended));
    }

    /// The end of the drain, with what is left of it.
    pub(crate) fn leave_behind(
        &mut self,
        ended: usize,
        left: impl Iterator<Item = (Label, usize)>,
    ) {
        self.close(ended);
        self.stragglers.extend(left.map(|(label, since)| (label, clock::age(since))));
    }

    /// To be spelled out by [`Label::straggler`], which is not for a lock.
    pub(crate) fn stragglers(&self) -> Vec<(Label, Duration)> {
        self.stragglers.clone()
    }

    /// Work that was aborted has ended.
    pub(crate) fn fall(&mut self, label: Label, since: usize) {
        self.fallen += usize::from(self.drained.is_none());
        self.stragglers.push((label, clock::age(since)));
    }
}

/// The oldest of many, without keeping them all.
pub(crate) struct Oldest {
    most: usize,
    /// Those that began then or later are not among them.
    bound: usize,
    found: Vec<(usize, Label)>,
}

impl Oldest {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, bound: usize::MAX, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, since: usize, label: impl FnOnce() -> Label) {
        if since < self.bound {
            self.found.push((since, label()));
        }
        if self.found.len() >= self.most.saturating_mul(2) {
            self.cut();
            self.bound = self.found.last().map_or(0, |&(since, _)| since);
        }
    }

    fn cut(&mut self) {
        self.found.sort_by_key(|&(since, _)| since);
        self.found.truncate(self.most);
    }

    pub(crate) fn finish(mut self) -> Vec<Straggler> {
        self.cut();
        self.found.iter().map(|(since, label)| label.straggler(clock::age(*since))).collect()
    }
}
