//! What the concurrent core stands on. The model checker compiles the same core on its own atomics, by putting another module in
//! this place; see `tests/tests/loom.rs`.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering, fence};

pub(crate) use crate::{
    lock::Mutex,
    sys::{AtomicRef, heavy_fence, light_fence},
};
