//! Which work is in flight in which scope, and how it is aborted. It knows nothing of the program, which it notifies through a [`Listener`](listener).
//!
//! # One piece of work, from `spawn` to its end
//!
//! ```text
//!  spawn ──► Tracker::enter(scope, Label)             Label: kind, name, call site
//!              │ 1. TaskTable::add ──► EntryId        the entry keeps the label, the time, and later the way to abort
//!              │ 2. Scope::enter                      the counter of the scope, or a refusal
//!              ▼
//!            Work { Key { scope, EntryId }, kind }    the right and the duty to end this work once
//!              │ moves into
//!              ▼
//!            Job { Work, weight }                     what the end means: Ordinary, Essential, or Life (`init`, `main`)
//!              │ moves into
//!              ▼
//!            Tracked { future, Job } ──► tokio        tokio owns the future; `spawn_blocking` and threads hold the Job alone
//!              │
//!            Key::set_abort(handle)                   step 3, after tokio has returned the handle
//! ```
//!
//! ```text
//!  who holds whom while the work runs ("──►" owns, "- ->" refers)
//!
//!  tokio's task ──► Tracked ──► Job ──► Work - -> Scope ('static) - -> Roster ('static) ──► TaskTable ──► Chunk ──► Entry
//!                                        └ - -> Entry (EntryId: chunk, generation, index)                            │
//!  thread-local CURRENT - -> Work (Key), while it is polled                        tokio's task <- - AbortHandle ◄───┘
//!  Roster - -> Tracker (Weak<dyn Owner>) - -> program (Weak<dyn Listener>)
//! ```
//!
//! Two ways end the [`Work`](work::Work), once; the third leaves it behind:
//!
//! * The future returns or panics: `Tracked::poll` calls `Job::ended` or `Job::panicked`. That notifies the listener of an error, a panic or an essential
//!   task, and then calls `Work::end`.
//! * The future is dropped unfinished, by an abort or by the user: the drop of the `Job` calls `Work::abandon`. After a force the work is a straggler.
//! * Finalization begins while the work still runs: `Tracker::close` leaves it behind, and it is a straggler. Its later end changes nothing in the report.
//!
//! `Work::end` ends the entry first and exits the counter last, because after the exit the scope may belong to another program. The exit that leaves a scope
//! empty during its drain calls `Owner::emptied`, which updates the [`ScopeTree`](scope_tree) and wakes the driver.
//!
//! A guard is simpler: it is a reference to a [`GuardSlot`](guard_slots) and is counted by its scope, without a table entry.

pub(crate) mod aborting;
pub(crate) mod drain_tally;
pub(crate) mod guard_slots;
pub(crate) mod label;
pub(crate) mod listener;
pub(crate) mod oldest;
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
