//! Counting what is in flight: a few plain instructions while nobody asks, exact from the moment that somebody does.
//!
//! This is the kernel's `percpu_ref` in user space, without its locked instructions. Each thread has a shard of its own with two
//! counters that only it writes, `enters` and `exits`; what is in flight is the sum of the one minus the sum of the other. A piece of
//! work may end on another thread than it began on: each shard alone may say anything, the sum is right.
//!
//! ```text
//!  OPEN                                          AWAITED
//!  enter: shard.enters += 1  (plain store)        the same
//!  exit:  shard.exits  += 1  (plain store)        the same, then: hint -= 1; at most 0 left?
//!         nobody looks                                  no  → somebody else is the last
//!                                                       yes → sum of exits, sum of enters; equal → tell, once
//!              │                                        ▲
//!              └── await_empty: set the bit, heavy fence, hint += sum ──┘
//! ```
//!
//! # Invariants
//!
//! 1. *Nothing is missed.* `enter` writes its counter, then looks at the mode; `set` writes the mode, then looks at the counters. Between
//!    the two there is a fence on either side, so at least one of them sees the other: a piece of work is refused, or it is counted.
//!    The fence of `enter` and `exit` is one for the compiler alone: `heavy_fence` makes every running thread execute
//!    a real one (`membarrier(2)`), at a moment that the fast side need not know of.
//! 2. *No false zero.* `exits` are summed before `enters`. Whoever sees an exit sees the enter that came before it, so the sum of enters
//!    is at least as new as that of exits, and where they are equal, everything that had entered had ended.
//! 3. *The last one tells.* `hint` is never more than what is in flight and has still to take its one off. So the last exit finds at most 1
//!    in it and pays for the exact sum; of the others, nearly none does. It may be less: exits that `await_empty` had counted as ended and
//!    that take theirs off all the same, and what entered since. That costs sums, never a wake.
//! 4. *Once.* Who finds the exact zero takes the `AWAITED` bit away, and tells only if it was there. Who waits sets it before each look.
//! 5. *Reopening is clearing bits.* The counters mean the same in every mode.
//! 6. *What was refused leaves no trace.* It counts its `enter` back, so `enters` is what was let in, and for the instant in between what is in
//!    flight is one more, never one less: 2 holds, and who counts back looks whether it was the last, as an exit does.

use crate::sync::atomic::{
    AtomicIsize, AtomicUsize, Ordering, add_one, heavy_fence, light_fence, take_one,
};

/// What the mode says; no bit: open.
///
/// | bit | set by | read by |
/// |---|---|---|
/// | `REQUESTED` | the request | `enter` from outside: refused |
/// | `SHUT` | the begin of finalization, and the attempt at it | every `enter`: refused, or asks under a lock |
/// | `AWAITED` | who waits for empty | `exit`: looks whether it was the last |
/// | `FORCED` | a force | what ends unfinished: a straggler |
/// | `BY_STOP` | a force that belongs to the program's stop | whether a straggler counts for the exit status |
pub(crate) mod mode {
    pub(crate) const REQUESTED: usize = 1;
    pub(crate) const SHUT: usize = 1 << 1;
    pub(crate) const AWAITED: usize = 1 << 2;
    pub(crate) const FORCED: usize = 1 << 3;
    pub(crate) const BY_STOP: usize = 1 << 4;
}

/// How many threads have a shard of their own; those beyond share one, with locked instructions. Twice the cores of a large machine,
/// because workers and busy blocking threads are the first to get a number.
pub(crate) const SHARDS: usize = 64;

/// What one thread writes. Two cache lines: the prefetcher of x86-64 fetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    enters: AtomicUsize,
    exits: AtomicUsize,
}

impl Shard {
    fn new() -> Self {
        Self { enters: AtomicUsize::new(0), exits: AtomicUsize::new(0) }
    }
}

/// See the [module](self).
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct InFlight {
    /// Written a few times in a life, read by everybody.
    mode: AtomicUsize,
    shards: Box<[Shard]>,
    /// Of the threads that have no shard.
    shared: Shard,
    hint: Hint,
}

/// Written by every exit of a drain, so away from what everybody reads.
#[derive(Debug)]
#[repr(align(128))]
struct Hint(AtomicIsize);

/// `enter` was refused. It had been counted for an instant, and something may wait for its end.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) was_last: bool,
}

impl InFlight {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            mode: AtomicUsize::new(0),
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shared: Shard::new(),
            hint: Hint(AtomicIsize::new(0)),
        }
    }

    /// Counts one more, on the shard of this thread, unless one of the bits `refused` is set.
    #[inline]
    pub(crate) fn enter(&self, thread: usize, refused: usize) -> Result<(), Refused> {
        // Relaxed: only saves the way back; what counts is the second look.
        if self.mode.load(Ordering::Relaxed) & refused != 0 {
            return Err(Refused { was_last: false });
        }
        self.enter_unseen(thread, refused)
    }

    /// The same without the first look, which the caller has had.
    #[inline]
    pub(crate) fn enter_unseen(&self, thread: usize, refused: usize) -> Result<(), Refused> {
        match self.shards.get(thread) {
            Some(shard) => add_one(&shard.enters, Ordering::Relaxed),
            // Relaxed: like the plain store, it is ordered by the fence below.
            None => drop(self.shared.enters.fetch_add(1, Ordering::Relaxed)),
        }
        light_fence();
        // Acquire: pairs with the AcqRel of `set`, so that who is refused sees what was done before.
        if self.mode.load(Ordering::Acquire) & refused != 0 {
            return Err(self.take_back(thread));
        }
        Ok(())
    }

    /// Uncounts what was refused, so that `enters` has only what was let in.
    #[cold]
    fn take_back(&self, thread: usize) -> Refused {
        match self.shards.get(thread) {
            Some(shard) => take_one(&shard.enters, Ordering::Relaxed),
            // Relaxed: as in `enter`.
            None => drop(self.shared.enters.fetch_sub(1, Ordering::Relaxed)),
        }
        light_fence();
        Refused { was_last: self.is_awaited() && self.was_last() }
    }

    /// Counts one as ended, on the shard of this thread. Returns whether it was the last one that somebody waits for.
    #[inline]
    pub(crate) fn exit(&self, thread: usize) -> bool {
        match self.shards.get(thread) {
            // Release: pairs with the Acquire in `exits`, so that what the work did is seen by who finds it ended, its enter first.
            Some(shard) => add_one(&shard.exits, Ordering::Release),
            // Release: as above.
            None => drop(self.shared.exits.fetch_add(1, Ordering::Release)),
        }
        light_fence();
        self.is_awaited() && self.was_last()
    }

    #[inline]
    fn is_awaited(&self) -> bool {
        // Relaxed: the fences decide which thread sees the other.
        self.mode.load(Ordering::Relaxed) & mode::AWAITED != 0
    }

    #[cold]
    fn was_last(&self) -> bool {
        // AcqRel: each that takes its one off sees the exits of those before it, and shows its own to those after it.
        if self.hint.0.fetch_sub(1, Ordering::AcqRel) > 1 {
            return false;
        }
        // Two sums may both find zero; the bit goes to one. AcqRel: pairs with `await_empty`, which sets it anew before it looks.
        is_empty([self])
            && self.mode.fetch_and(!mode::AWAITED, Ordering::AcqRel) & mode::AWAITED != 0
    }

    /// Sets bits. After it, every `enter` sees them, and every earlier entry is seen.
    pub(crate) fn set(&self, bits: usize) {
        self.mark(bits);
        heavy_fence();
    }

    /// Sets bits without the fence, which one call of `heavy_fence` then gives to many counters at once. Returns whether any of the bits is new.
    pub(crate) fn mark(&self, bits: usize) -> bool {
        // AcqRel: pairs with the looks of `enter` and `exit`.
        self.mode.fetch_or(bits, Ordering::AcqRel) & bits != bits
    }

    /// Clears bits: what they refused is let in again.
    pub(crate) fn clear(&self, bits: usize) {
        // AcqRel: who enters by it sees what was done before.
        self.mode.fetch_and(!bits, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn is(&self, bit: usize) -> bool {
        // Acquire: pairs with `set`, so that who sees the bit sees what was done before it.
        self.mode.load(Ordering::Acquire) & bit != 0
    }

    /// From here on the exit that leaves nothing behind says so, once; then this has to be called again. To be followed by a look.
    pub(crate) fn await_empty(&self) {
        if self.mark(mode::AWAITED) {
            heavy_fence();
            self.set_hint();
        }
    }

    /// The second half of `await_empty`, after the fence.
    pub(crate) fn set_hint(&self) {
        // Not a store: whatever was taken off before is taken back by this, so the sum below must see it as ended. AcqRel: for that.
        self.hint.0.swap(0, Ordering::AcqRel);
        let count = self.count();
        // AcqRel: pairs with the one in `was_last`.
        self.hint.0.fetch_add(isize::try_from(count).unwrap_or(isize::MAX), Ordering::AcqRel);
    }

    /// How many are in flight.
    pub(crate) fn count(&self) -> usize {
        let exits = self.exits();
        self.enters().wrapping_sub(exits)
    }

    /// How many have entered on the shard of a thread, ever.
    pub(crate) fn entered_on(&self, thread: usize) -> usize {
        // Relaxed: asked by that thread.
        self.shards.get(thread).map_or(0, |shard| shard.enters.load(Ordering::Relaxed))
    }

    /// How many have ended, ever.
    pub(crate) fn exits(&self) -> usize {
        // Acquire: pairs with the Release of `exit`; and whatever is read next is read after it.
        let sum = |sum: usize, shard: &Shard| sum.wrapping_add(shard.exits.load(Ordering::Acquire));
        self.shards.iter().chain([&self.shared]).fold(0, sum)
    }

    /// How many were let in, ever; for an instant, one more for each that is just being refused.
    pub(crate) fn enters(&self) -> usize {
        // Relaxed: invariant 1 or 2 says what this sees.
        let sum =
            |sum: usize, shard: &Shard| sum.wrapping_add(shard.enters.load(Ordering::Relaxed));
        self.shards.iter().chain([&self.shared]).fold(0, sum)
    }
}

/// Whether nothing at all is in flight: all exits are summed before all enters, so that work which one part hands on to another is not missed.
pub(crate) fn is_empty<'a>(all: impl IntoIterator<Item = &'a InFlight, IntoIter: Clone>) -> bool {
    let all = all.into_iter();
    let exits = all.clone().fold(0, |sum: usize, one| sum.wrapping_add(one.exits()));
    let enters = all.fold(0, |sum: usize, one| sum.wrapping_add(one.enters()));
    enters == exits
}
