//! One entry of the table, in 16 bytes.

use tokio::task::AbortHandle;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The way to abort the work if it is a task of tokio.
    pub(super) abort: Option<AbortHandle>,
    /// When the work began, in milliseconds on the coarse clock. Five bytes last for 34 years.
    since: u32,
    since_high: u8,
    /// The number of the chunk's site that the work comes from.
    pub(super) site: u8,
    flags: Flags,
}

/// | bits | meaning |
/// |---|---|
/// | `ABORT_KNOWN` | the way to abort the work was set, or there is none |
/// | `ENDED` | the work has ended |
/// | `ABORTED` | a force has aborted the work, or would have if there were a way |
/// | `LEFT_BEHIND` | the end of the drain left the work behind, and it is a straggler |
/// | above | the number of shields that the work waits in. The largest number stays: such work counts as shielded until it ends |
#[derive(Clone, Copy, Debug, Default)]
struct Flags(u16);

impl Flags {
    const ABORT_KNOWN: u16 = 1;
    const ENDED: u16 = 1 << 1;
    const ABORTED: u16 = 1 << 2;
    const LEFT_BEHIND: u16 = 1 << 3;
    const SHIELD: u16 = 1 << 4;
    const SHIELDS: u16 = !(Self::SHIELD - 1);

    #[inline]
    fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
}

impl Entry {
    #[inline]
    pub(super) fn new(since: usize, site: u8, is_abort_known: bool) -> Self {
        Self {
            abort: None,
            since: since as u32,
            since_high: (since as u64 >> 32) as u8,
            site,
            flags: Flags(if is_abort_known { Flags::ABORT_KNOWN } else { 0 }),
        }
    }

    #[inline]
    pub(super) fn since(&self) -> usize {
        (u64::from(self.since_high) << 32 | u64::from(self.since)) as usize
    }

    #[inline]
    pub(super) fn is_abort_known(&self) -> bool {
        self.flags.has(Flags::ABORT_KNOWN)
    }

    #[inline]
    pub(super) fn set_abort_known(&mut self) {
        self.flags.0 |= Flags::ABORT_KNOWN;
    }

    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        self.flags.has(Flags::ENDED)
    }

    #[inline]
    pub(super) fn set_ended(&mut self) {
        self.flags.0 |= Flags::ENDED;
    }

    #[inline]
    pub(super) fn is_aborted(&self) -> bool {
        self.flags.has(Flags::ABORTED)
    }

    #[inline]
    pub(super) fn set_aborted(&mut self) {
        self.flags.0 |= Flags::ABORTED;
    }

    #[inline]
    pub(super) fn is_left_behind(&self) -> bool {
        self.flags.has(Flags::LEFT_BEHIND)
    }

    /// Nothing waits for the end of the work any more, so it no longer counts as aborted.
    #[inline]
    pub(super) fn set_left_behind(&mut self) {
        self.flags.0 |= Flags::LEFT_BEHIND;
        self.flags.0 &= !Flags::ABORTED;
    }

    #[inline]
    pub(super) fn is_in_shield(&self) -> bool {
        self.flags.has(Flags::SHIELDS)
    }

    #[inline]
    pub(super) fn enter_shield(&mut self) {
        if self.counts_shields() {
            self.flags.0 += Flags::SHIELD;
        }
    }

    #[inline]
    pub(super) fn leave_shield(&mut self) {
        if self.counts_shields() {
            self.flags.0 -= Flags::SHIELD;
        }
    }

    /// `false` from the largest number of shields on.
    #[inline]
    fn counts_shields(&self) -> bool {
        self.flags.0 & Flags::SHIELDS != Flags::SHIELDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_sixteen_bytes() {
        assert_eq!(size_of::<Entry>(), 16);
    }
}
