//! Who is in flight, in which scope, and how it is aborted. It knows nothing of the program: it asks its `Listener`.

pub(crate) mod aborting;
pub(crate) mod drain_tally;
pub(crate) mod guard_slots;
pub(crate) mod label;
pub(crate) mod listener;
pub(crate) mod roster;
pub(crate) mod scope;
pub(crate) mod scope_id;
pub(crate) mod scope_pool;
pub(crate) mod scope_tree;
pub(crate) mod task_table;
pub(crate) mod tracked;
pub(crate) mod tracker;
pub(crate) mod work;

#[cfg(test)]
mod stress;
