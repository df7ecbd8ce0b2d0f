//! The concurrent core: counters, lists and pools that scale with the number of threads, checked by a model checker. It knows nothing of tasks.

pub(crate) mod atomic;
pub(crate) mod atomic_ref;
pub(crate) mod coarse_clock;
pub(crate) mod in_flight;
pub(crate) mod pool;
pub(crate) mod wait_list;
