//! The types that user code holds: the handle, tasks, guards, shields, flights and finalizers.

pub(crate) mod finalizer;
pub(crate) mod flight;
pub(crate) mod guard;
pub(crate) mod requested;
pub(crate) mod scope_ref;
pub(crate) mod shield;
pub(crate) mod shutdown;
pub(crate) mod spawn;
pub(crate) mod task;
