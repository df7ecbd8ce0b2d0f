//! The program on the main thread: `init`, `main` with reloads, the wait for the drain, the finalizers.

use std::{
    any::Any,
    mem,
    panic::{self, AssertUnwindSafe, Location},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use crate::{
    driver::{
        finalizer_runtime::FinalizerRuntime,
        finalizers::{self, LocalFinalizer},
        outside::outside,
    },
    handle::shutdown::Shutdown,
    launch::{
        init::Local,
        plan::{ErasedReload, Finalize, Plan},
    },
    model::{
        finalizer_turns::Runner,
        lifecycle::{Action, Event, Phase},
        outcome::Outcome,
        panics::{self, catch_unwind},
        report::{Cause, Kind},
        select::{join_with, race},
    },
    program::{finalizer_queue::Body, log, state::Program},
    tracking::{
        label::{Abort, Label, Name},
        tracked::{Job, Tracked, Weight},
        work::Work,
    },
};

pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs the program until its last phase is over. Returns the payload of a panic of `main`.
///
/// The state, and futures that were aborted, are dropped [outside](outside()) of `block_on`, where they may block.
pub(crate) async fn run_program<S: 'static, M, O>(
    program: &Arc<Program>,
    finalizers: &FinalizerRuntime,
    plan: Plan<S>,
    main: M,
    at: &'static Location<'static>,
) -> Option<Payload>
where
    M: AsyncFnOnce(&S, Shutdown) -> O,
    O: Outcome,
{
    let Plan { init, reload, mut finalize } = plan;
    let (mut main, mut panic) = (Some(main), None);
    let mut state = init_state(program, init(Shutdown::of(program)), at).await;
    if let Some(state) = &state {
        if finalize.is_some() {
            program.finalizers.push("finalize".to_owned(), Body::WithState);
        }
        panic = run_after_init(program, &mut main, reload.as_deref(), state, at).await;
    }
    program.try_finish_drain();
    let mut phases = program.phases();
    // This cannot fail: the sender is in the program, which this function borrows.
    drop(phases.wait_for(|&phase| phase >= Phase::Finalizing).await);
    let finalizer = run_finalizers(program, finalizers, &mut state, &mut finalize).await;
    program.finalizers.main_came_back();
    // Another thread may have taken over and still run a finalizer, which may use something that the state keeps open.
    program.over.cancelled().await;
    outside().await;
    if let Err(payload) = catch_drop((finalizer, main, state, reload, finalize)) {
        program.panicked("state", panics::message(&*payload), true);
        mem::forget(payload);
    }
    panic
}

/// Runs `main` and its reloads. Leaves `main` in its place, for the caller to drop, if a stop was requested during `init`. Returns
/// the payload of a panic of `main`.
async fn run_after_init<S, M, O>(
    program: &Arc<Program>,
    main: &mut Option<M>,
    reload: Option<&dyn ErasedReload<S>>,
    state: &S,
    at: &'static Location<'static>,
) -> Option<Payload>
where
    M: AsyncFnOnce(&S, Shutdown) -> O,
    O: Outcome,
{
    program.catch_up_with_signals().await;
    // Count `main` before the event: otherwise a drain that begins in between finds nothing to wait for.
    let work = program.tracker.enter(program.tracker.root(), main_label(at)).ok();
    let actions = program.on(Event::InitEnded, || Cause::MainReturned);
    let main = main.take_if(|_| actions.contains(&Action::Enter(Phase::Running)))?;
    log::running(&program.log_thread, &program.settings);
    let main = run_main(program, work, main(state, Shutdown::of(program)));
    join_with(main, reloads(program, reload, state, at)).await
}

/// Runs the finalizers, unless another thread does. Returns `Builder::finalize` if its turn did not come.
async fn run_finalizers<S: 'static>(
    program: &Arc<Program>,
    finalizers: &FinalizerRuntime,
    state: &mut Option<S>,
    finalize: &mut Option<Finalize<S>>,
) -> Option<LocalFinalizer> {
    if !program.finalizers.claim() {
        return None;
    }
    let with_state = state.take_if(|_| finalize.is_some()).zip(finalize.take());
    let mut finalizer = with_state.map(|(state, finalize)| -> LocalFinalizer {
        Box::pin(async move { finalize(state).await })
    });
    finalizers::run(program, finalizers, Runner::Main, &mut finalizer).await;
    finalizer
}

/// Runs `init`. Returns `None` if it failed, which begins the stop, or if it was cancelled.
async fn init_state<S>(
    program: &Arc<Program>,
    init: Local<'static, Result<S, String>>,
    at: &'static Location<'static>,
) -> Option<S> {
    let label = Label { kind: Kind::Init, name: Some(Name::new("init")), location: at };
    let work = program.tracker.enter(program.tracker.root(), label).ok();
    let result = local(work, init, program.cancel_init.clone()).await?;
    match result {
        Ok(Ok(state)) => return Some(state),
        Ok(Err(error)) => program.failed("init", error, true),
        Err(payload) => {
            program.panicked("init", panics::message(&*payload), true);
            mem::forget(payload);
        }
    }
    program.on(Event::InitFailed, || Cause::InitFailed);
    None
}

/// Runs `main`, whose end begins the stop. Returns the payload of its panic.
async fn run_main<O: Outcome>(
    program: &Arc<Program>,
    work: Option<Work>,
    main: impl Future<Output = O>,
) -> Option<Payload> {
    let mut panic = None;
    // `Debug` of the error is user code too, so it runs as part of `main`.
    let main = async move { main.await.into_result().map_err(|error| format!("{error:?}")) };
    match local(work, main, CancellationToken::new()).await {
        Some(Ok(Ok(code))) => program.returned(code),
        Some(Ok(Err(error))) => program.failed("main", error, true),
        Some(Err(payload)) => {
            program.panicked("main", panics::message(&*payload), true);
            panic = Some(payload);
        }
        None => {}
    }
    program.on(Event::EssentialEnded, || Cause::MainReturned);
    panic
}

/// Runs the reload closure for each reload signal, one at a time, until the stop.
async fn reloads<S>(
    program: &Arc<Program>,
    reload: Option<&dyn ErasedReload<S>>,
    state: &S,
    at: &'static Location<'static>,
) {
    let Some(reload) = reload else { return };
    let mut phases = program.phases();
    loop {
        let stop = phases.wait_for(|&phase| phase > Phase::Running);
        // The stop comes first: a reload signal that arrived with it is not handled any more.
        if race(stop, program.reload.notified()).await.is_some() {
            return;
        }
        let label = Label { kind: Kind::Reload, name: Some(Name::new("reload")), location: at };
        let work = program.tracker.enter(program.tracker.root(), label).ok();
        match local(work, reload.begin(state), CancellationToken::new()).await {
            Some(Ok(Ok(()))) => log::reloaded(&program.log_thread, None),
            Some(Ok(Err(error))) => {
                log::reloaded(&program.log_thread, Some(&error));
                program.failed("reload", error, false);
            }
            Some(Err(payload)) => {
                let message = panics::message(&*payload);
                mem::forget(payload);
                log::reloaded(&program.log_thread, Some(&message));
                program.panicked("reload", message, false);
            }
            None => {}
        }
    }
}

fn main_label(at: &'static Location<'static>) -> Label {
    Label { kind: Kind::Main, name: Some(Name::new("main")), location: at }
}

/// Runs a future on this thread as tracked work. Returns `None` if `abort`, which a force cancels, ended it.
///
/// An aborted future is dropped here. A panic of that drop is returned like a panic of the future.
async fn local<F: Future>(
    work: Option<Work>,
    future: F,
    abort: CancellationToken,
) -> Option<Result<F::Output, Payload>> {
    if let Some(work) = &work {
        work.key().set_abort(Abort::Local(abort.clone()));
    }
    let job = Job::new(work, Weight::Life);
    let mut tracked = Box::pin(catch_unwind(Tracked::new(future, job, |_| None)));
    let result = race(tracked.as_mut(), abort.cancelled()).await;
    if result.is_none() {
        outside().await;
    }
    // A panic of this drop counts as a panic of the future, even if the future had ended.
    catch_drop(tracked).map_or_else(|payload| Some(Err(payload)), |()| result)
}

/// Drops a value of the user's.
///
/// # Errors
///
/// Returns the payload if the drop panics.
fn catch_drop<T>(value: T) -> Result<(), Payload> {
    panic::catch_unwind(AssertUnwindSafe(|| drop(value)))
}
