//! Counts the work in flight: a few plain instructions while nobody waits for zero, exact as soon as somebody does.
//!
//! This is the kernel's `percpu_ref` in user space, without its locked instructions. Each thread has a shard of two counters, `enters` and
//! `exits`, that only this thread writes. The number in flight is the sum of all `enters` minus the sum of all `exits`. Work may end on another
//! thread than it began on, so the difference within one shard means nothing; only the sums do.
//!
//! ```text
//!  OPEN                                          AWAITED
//!  enter: shard.enters += 1  (plain store)        the same
//!  exit:  shard.exits  += 1  (plain store)        the same, then: hint -= 1; was it 1 or less?
//!         no further check                              no  → another exit will be the last
//!                                                       yes → sum exits, then enters; equal → wake, once
//!              │                                        ▲
//!              └── await_empty: set the bit, heavy fence, hint += sum ──┘
//! ```
//!
//! # Invariants
//!
//! 1. *Nothing is missed.* `enter` writes its counter, then reads the mode; `set` writes the mode, then reads the counters. Each side has a fence
//!    in between, so at least one of the two sees the other: work is refused, or it is counted. On the side of `enter` and `exit` the fence
//!    only restrains the compiler; `heavy_fence` makes every running thread execute a real one (`membarrier(2)`).
//! 2. *No false zero.* `exits` are summed before `enters`. A thread that sees an exit also sees the enter that preceded it, so the sum of enters
//!    is at least as recent as the sum of exits. If the two are equal, all work that had entered had ended.
//! 3. *The last exit wakes.* `hint` never exceeds the number of pieces that have entered and have not yet decremented it. So the last exit
//!    finds 1 or less in it and computes the exact sum; nearly no other exit has to. `hint` may be too low, because of exits that `await_empty`
//!    had counted as ended and that decrement it all the same, and because of later enters. That costs extra sums, never a wake-up.
//! 4. *Once.* The thread that sees an exact zero clears `AWAITED`; only the thread that cleared it wakes the waiter. A waiter sets the bit before
//!    each check.
//! 5. *Reopening is clearing bits.* The counters mean the same in every mode.
//! 6. *A refusal leaves no trace.* A refused `enter` decrements its counter again, so `enters` counts admitted work. In between, the sum is one too
//!    high, never too low, so 2 holds; and a refused `enter` checks whether it was the last, as an exit does.

use crate::sync::atomic::{
    AtomicIsize, AtomicUsize, Ordering, add_one, heavy_fence, light_fence, take_one,
};

/// The bits of the mode. With no bit set, the counter is open.
///
/// | bit | set by | read by |
/// |---|---|---|
/// | `REQUESTED` | the request | `enter` for work from outside: refused |
/// | `SHUT` | the start of finalization, and each attempt to start it | every `enter`: refused, or decided under a lock |
/// | `AWAITED` | a thread that waits for zero | `exit`: checks whether it was the last |
/// | `FORCED` | a force | work that ends unfinished: it is a straggler |
/// | `BY_STOP` | a force that belongs to the program's stop | a straggler: it counts for the exit status |
pub(crate) mod mode {
    pub(crate) const REQUESTED: usize = 1;
    pub(crate) const SHUT: usize = 1 << 1;
    pub(crate) const AWAITED: usize = 1 << 2;
    pub(crate) const FORCED: usize = 1 << 3;
    pub(crate) const BY_STOP: usize = 1 << 4;
}

/// How many threads have a shard of their own; all others share one, with locked instructions. This is twice the cores of a large machine, because
/// the runtime's workers and busy blocking threads are the first to get an index.
pub(crate) const SHARDS: usize = 64;

/// The counters that one thread writes. It fills two cache lines, because the prefetcher of x86-64 fetches lines in pairs.
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
    /// Written a few times in the life of a program, read by every `enter` and `exit`.
    mode: AtomicUsize,
    shards: Box<[Shard]>,
    /// For the threads that have no shard of their own.
    shared: Shard,
    hint: Hint,
}

/// Invariant 3. Every exit of a drain writes it, so it is on a cache line apart from the mode, which every `enter` reads.
#[derive(Debug)]
#[repr(align(128))]
struct Hint(AtomicIsize);

/// The error of a refused `enter`. It was counted for an instant (invariant 6), so it may have been the last that a waiter waits for.
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

    /// Counts one piece of work as begun, on the shard of this thread, unless one of the bits in `refused` is set.
    #[inline]
    pub(crate) fn enter(&self, thread: usize, refused: usize) -> Result<(), Refused> {
        // Relaxed: this check only spares a refused caller the counting; the one in `enter_unseen` decides.
        if self.mode.load(Ordering::Relaxed) & refused != 0 {
            return Err(Refused { was_last: false });
        }
        self.enter_unseen(thread, refused)
    }

    /// The same for a caller that has made the first check itself.
    #[inline]
    pub(crate) fn enter_unseen(&self, thread: usize, refused: usize) -> Result<(), Refused> {
        match self.shards.get(thread) {
            Some(shard) => add_one(&shard.enters, Ordering::Relaxed),
            // Relaxed: the fence below orders it, as it orders the plain store.
            None => drop(self.shared.enters.fetch_add(1, Ordering::Relaxed)),
        }
        light_fence();
        // Acquire: pairs with the AcqRel of `set`, so that a refused caller sees all writes before the bit was set.
        if self.mode.load(Ordering::Acquire) & refused != 0 {
            return Err(self.take_back(thread));
        }
        Ok(())
    }

    /// Undoes the count of a refused `enter`: invariant 6.
    #[cold]
    fn take_back(&self, thread: usize) -> Refused {
        match self.shards.get(thread) {
            Some(shard) => take_one(&shard.enters, Ordering::Relaxed),
            // Relaxed: as in `enter_unseen`.
            None => drop(self.shared.enters.fetch_sub(1, Ordering::Relaxed)),
        }
        light_fence();
        Refused { was_last: self.is_awaited() && self.was_last() }
    }

    /// Counts one piece of work as ended, on the shard of this thread. Returns whether it was the last one, so that the caller has to wake the waiter.
    #[inline]
    pub(crate) fn exit(&self, thread: usize) -> bool {
        match self.shards.get(thread) {
            // Release: pairs with the Acquire in `exits`: a thread that sees this exit sees the enter before it and all that the work wrote.
            Some(shard) => add_one(&shard.exits, Ordering::Release),
            // Release: as above.
            None => drop(self.shared.exits.fetch_add(1, Ordering::Release)),
        }
        light_fence();
        self.is_awaited() && self.was_last()
    }

    #[inline]
    fn is_awaited(&self) -> bool {
        // Relaxed: the fences of invariant 1 decide which of the two threads sees the other.
        self.mode.load(Ordering::Relaxed) & mode::AWAITED != 0
    }

    /// Decrements the hint, and checks the exact sum if this may be the last: invariants 3 and 4.
    #[cold]
    fn was_last(&self) -> bool {
        // AcqRel: each decrement acquires the exits of the earlier ones and releases its own to the later ones, so the last one sums all of them.
        if self.hint.0.fetch_sub(1, Ordering::AcqRel) > 1 {
            return false;
        }
        // Two threads may both sum to zero; one of them clears the bit. AcqRel: pairs with `mark` in `await_empty`, which sets the bit again before each check.
        is_empty([self])
            && self.mode.fetch_and(!mode::AWAITED, Ordering::AcqRel) & mode::AWAITED != 0
    }

    /// Sets bits. Afterwards every new `enter` sees them, and the caller sees every `enter` that did not.
    pub(crate) fn set(&self, bits: usize) {
        self.mark(bits);
        heavy_fence();
    }

    /// Sets bits without the fence, so that one `heavy_fence` of the caller serves many counters. Returns whether any of the bits is new.
    pub(crate) fn mark(&self, bits: usize) -> bool {
        // AcqRel: pairs with the Acquire in `enter_unseen` and `is`, and with the AcqRel in `was_last`.
        self.mode.fetch_or(bits, Ordering::AcqRel) & bits != bits
    }

    /// Clears bits: work that they refused is admitted again.
    pub(crate) fn clear(&self, bits: usize) {
        // AcqRel: pairs with the Acquire in `enter_unseen`: work that enters again sees all writes before the bits were cleared.
        self.mode.fetch_and(!bits, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn is(&self, bit: usize) -> bool {
        // Acquire: pairs with the AcqRel in `mark`: a thread that sees the bit sees all writes before it was set.
        self.mode.load(Ordering::Acquire) & bit != 0
    }

    /// Makes the next exit that reaches zero return `true`, once. The caller must check for zero afterwards, and call this again before each further wait.
    pub(crate) fn await_empty(&self) {
        if self.mark(mode::AWAITED) {
            heavy_fence();
            self.set_hint();
        }
    }

    /// The second half of `await_empty`: the caller has set the bit and called `heavy_fence`.
    pub(crate) fn set_hint(&self) {
        // A swap and not a store, because it must also acquire: it discards earlier decrements, and the sum below must see the exits they belong to. AcqRel: pairs with the AcqRel in `was_last`.
        self.hint.0.swap(0, Ordering::AcqRel);
        let count = self.count();
        // AcqRel: pairs with the AcqRel in `was_last`.
        self.hint.0.fetch_add(isize::try_from(count).unwrap_or(isize::MAX), Ordering::AcqRel);
    }

    /// How many pieces of work are in flight.
    pub(crate) fn count(&self) -> usize {
        let exits = self.exits();
        self.enters().wrapping_sub(exits)
    }

    /// How many pieces of work have ever entered on the shard of this thread.
    pub(crate) fn entered_on(&self, thread: usize) -> usize {
        // Relaxed: only the thread that owns the shard calls this.
        self.shards.get(thread).map_or(0, |shard| shard.enters.load(Ordering::Relaxed))
    }

    /// How many pieces of work have ever ended.
    pub(crate) fn exits(&self) -> usize {
        // Acquire: pairs with the Release in `exit`; the loads of `enters` that follow cannot move before it (invariant 2).
        let sum = |sum: usize, shard: &Shard| sum.wrapping_add(shard.exits.load(Ordering::Acquire));
        self.shards.iter().chain([&self.shared]).fold(0, sum)
    }

    /// How many pieces of work have ever been admitted, plus those that are being refused at this instant.
    pub(crate) fn enters(&self) -> usize {
        // Relaxed: the fences of invariant 1, or the Acquire loads of invariant 2, order it.
        let sum =
            |sum: usize, shard: &Shard| sum.wrapping_add(shard.enters.load(Ordering::Relaxed));
        self.shards.iter().chain([&self.shared]).fold(0, sum)
    }
}

/// Whether nothing is in flight in any of these counters. All exits are summed before all enters (invariant 2), so that work which one scope hands over to
/// another is not missed.
pub(crate) fn is_empty<'a>(all: impl IntoIterator<Item = &'a InFlight, IntoIter: Clone>) -> bool {
    let all = all.into_iter();
    let exits = all.clone().fold(0, |sum: usize, one| sum.wrapping_add(one.exits()));
    let enters = all.fold(0, |sum: usize, one| sum.wrapping_add(one.enters()));
    enters == exits
}
