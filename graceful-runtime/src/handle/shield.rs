//! Sections that neither signals nor a force interrupt.

use std::{
    fmt, mem, panic,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::task::JoinHandle;

use crate::{
    handle::scope_ref::ScopeRef,
    program::state::Program,
    tracking::{
        label::{Abort, Label},
        tracked::{self, Job, Tracked, Weight},
        work::Key,
    },
};

/// The future of [`Shutdown::shield`](crate::Shutdown::shield). **If it is dropped after its first poll, the shielded work goes on.**
///
/// The first poll starts the work as a task of its own; the shield then waits for its output. The drain waits for that task, and a
/// force spares it for as long as shields have time.
///
/// # Cancel safety
///
/// Dropping the shield loses only the output: the work runs to its end. A shield that is dropped before its first poll drops the
/// future, and the work never starts.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # graceful::Builder::new().test(async |shutdown| {
/// # use std::time::Duration;
/// # use tokio::time::{sleep, timeout};
/// let commit = shutdown.shield(async {
///     sleep(Duration::from_secs(2)).await;
///     println!("committed"); // printed although the caller gives up before
/// });
/// assert!(timeout(Duration::from_secs(1), commit).await.is_err());
/// # });
/// ```
#[must_use = "the shielded work does not begin until it is awaited"]
pub struct Shield<F: Future> {
    state: State<F>,
    /// The piece of work that awaits the shield, which a force spares too.
    spared: Option<SparedCaller>,
    target: ScopeRef,
    label: Label,
}

enum State<F: Future> {
    New(Pin<Box<F>>),
    Running(JoinHandle<F::Output>),
    /// Finalization has begun, so the caller is a finalizer or untracked, and a force interrupts neither.
    InPlace(Pin<Box<F>>),
    Done,
}

/// Marks a piece of work as waiting in a shield until dropped. Holds the program, because the work may belong to another scope than
/// the shield does, and that scope may be gone first.
struct SparedCaller(Key, Arc<Program>);

impl<F> Shield<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    pub(crate) fn new(target: ScopeRef, label: Label, future: F) -> Self {
        Self { state: State::New(Box::pin(future)), target, label, spared: None }
    }

    fn begin(&mut self, future: Pin<Box<F>>) -> State<F> {
        let ScopeRef { program, scope, .. } = &self.target;
        let entered = program.tracker.enter(scope, self.label.clone());
        let (Ok(work), Some(runtime)) = (entered, program.runtime.get()) else {
            return State::InPlace(future);
        };
        self.spared = tracked::current(scope).map(|key| SparedCaller::begin(key, program));
        let key = work.key();
        let job = Job::new(Some(work), Weight::Ordinary);
        let task = runtime.spawn(Tracked::new(future, job, |_| None));
        key.set_abort(Abort::Task(task.abort_handle()));
        State::Running(task)
    }
}

impl<F> Future for Shield<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            match mem::replace(&mut self.state, State::Done) {
                State::New(future) => self.state = self.begin(future),
                State::Running(mut task) => {
                    let Poll::Ready(result) = Pin::new(&mut task).poll(cx) else {
                        self.state = State::Running(task);
                        return Poll::Pending;
                    };
                    self.spared = None;
                    match result {
                        Ok(value) => return Poll::Ready(value),
                        Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                        // The task was aborted at the end of the shields' time or with the runtime. There is no output, and the
                        // caller is about to end too.
                        Err(_) => return Poll::Pending,
                    }
                }
                State::InPlace(mut future) => {
                    let poll = future.as_mut().poll(cx);
                    if poll.is_pending() {
                        self.state = State::InPlace(future);
                    }
                    return Poll::Ready(ready!(poll));
                }
                State::Done => return Poll::Pending,
            }
        }
    }
}

// The future is in a box, so moving the shield does not move it.
impl<F: Future> Unpin for Shield<F> {}

impl<F: Future> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("label", &self.label).finish_non_exhaustive()
    }
}

impl SparedCaller {
    fn begin(key: Key, program: &Arc<Program>) -> Self {
        program.tracker.shield(key);
        Self(key, Arc::clone(program))
    }
}

impl Drop for SparedCaller {
    fn drop(&mut self) {
        let Self(key, program) = self;
        program.tracker.unshield(*key);
        tracked::shield_ended();
    }
}
