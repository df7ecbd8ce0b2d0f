//! The life as the main thread lives it: init, main with reloads, the wait for the drain, the finalizers.

use std::{
    any::Any,
    future::poll_fn,
    mem,
    panic::{self, AssertUnwindSafe, Location},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use tokio_util::sync::CancellationToken;

use crate::{
    driver::{
        finalizer_runtime::FinalizerRuntime,
        finalizers::{self, LocalFinalizer},
        outside::outside,
    },
    handle::shutdown::Shutdown,
    launch::init::{Local, Reload},
    model::finalizer_turns::Runner,
    model::{
        lifecycle::{Action, Event, Phase},
        outcome::Outcome,
        panics::{self, catch_unwind},
        report::{Cause, Kind},
    },
    program::{finalizer_queue::Body, log, state::Program},
    tracking::{
        label::{Abort, Label, Name},
        tracked::{Job, Tracked, Weight},
        work::Work,
    },
};

pub(crate) type Payload = Box<dyn Any + Send>;

/// The steps of a life that the user gave.
pub(crate) struct Plan<S> {
    pub(crate) init: Box<dyn FnOnce(Shutdown) -> Local<'static, Result<S, String>>>,
    pub(crate) reload: Option<Box<dyn ErasedReload<S>>>,
    pub(crate) finalize: Option<Finalize<S>>,
}

/// `finalize`, to be given the state.
pub(crate) type Finalize<S> = Box<dyn FnOnce(S) -> LocalFinalizer>;

/// [`Reload`] without the type that names its form.
pub(crate) trait ErasedReload<S> {
    fn begin<'a>(&'a self, state: &'a S) -> Local<'a, Result<(), String>>;
}

pub(crate) struct Erased<R, Form>(pub(crate) R, pub(crate) std::marker::PhantomData<Form>);

impl<S, R: Reload<S, Form>, Form> ErasedReload<S> for Erased<R, Form> {
    fn begin<'a>(&'a self, state: &'a S) -> Local<'a, Result<(), String>> {
        self.0.begin(state)
    }
}

/// Lives the life of the program until its last phase is over. Returns what `main` panicked with, if it did.
///
/// The state, and what was cut, are dropped [outside](outside()) of the runtime.
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
    let shutdown = Shutdown::of(program);
    let mut state = init_state(program, init(shutdown.clone()), at).await;
    if let Some(state) = &state {
        if finalize.is_some() {
            program.finalizers.push("finalize".to_owned(), Body::WithState);
        }
        program.catch_up_with_signals().await;
        // Before the event, so that no drain can begin in between and find nothing to wait for.
        let work = program.tracker.enter(program.tracker.root(), main_label(at)).ok();
        let follows = program.on(Event::InitEnded, || Cause::MainReturned);
        if let Some(main) = main.take_if(|_| follows.contains(&Action::Enter(Phase::Running))) {
            log::running(&program.log_thread, &program.settings);
            let main = run_main(program, work, main(state, shutdown));
            panic = both(main, reloads(program, reload.as_deref(), state, at)).await;
        }
    }
    program.try_finish_drain();
    let mut phases = program.phases();
    // The sender is in the program, which this function holds.
    drop(phases.wait_for(|&phase| phase >= Phase::Finalizing).await);
    let hook = run_hooks(program, finalizers, &mut state, &mut finalize).await;
    program.finalizers.main_came_back();
    // Another thread may have taken the hooks over, and still run one that uses what the state keeps open.
    program.over.cancelled().await;
    outside().await;
    if let Err(payload) = dropped((hook, main, state, reload, finalize)) {
        program.panicked("state", panics::message(&*payload), true);
        mem::forget(payload);
    }
    panic
}

/// Runs the finalizers, unless a thread of ours does. Gives `finalize` back if its turn did not come.
async fn run_hooks<S: 'static>(
    program: &Arc<Program>,
    finalizers: &FinalizerRuntime,
    state: &mut Option<S>,
    finalize: &mut Option<Finalize<S>>,
) -> Option<LocalFinalizer> {
    if !program.finalizers.claim() {
        return None;
    }
    let with_state = state.take_if(|_| finalize.is_some()).zip(finalize.take());
    let mut hook = with_state.map(|(state, finalize)| -> LocalFinalizer {
        Box::pin(async move { finalize(state).await })
    });
    finalizers::run(program, finalizers, Runner::Main, &mut hook).await;
    hook
}

/// Runs `init`, unless it is cut; its failure begins the stop.
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

/// Runs `main`; its end begins the stop.
async fn run_main<O: Outcome>(
    program: &Arc<Program>,
    work: Option<Work>,
    main: impl Future<Output = O>,
) -> Option<Payload> {
    let mut panic = None;
    // What shows the error is user code as well, so it is part of `main`.
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
    program.on(Event::PartEnded, || Cause::MainReturned);
    panic
}

/// Runs the reload hook for each reload signal, one at a time, until the stop.
async fn reloads<S>(
    program: &Arc<Program>,
    reload: Option<&dyn ErasedReload<S>>,
    state: &S,
    at: &'static Location<'static>,
) {
    let Some(reload) = reload else { return };
    let mut phases = program.phases();
    loop {
        let mut stop = pin!(phases.wait_for(|&phase| phase > Phase::Running));
        let mut signal = pin!(program.reload.notified());
        let asked = poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            signal.as_mut().poll(cx).map(|()| true)
        });
        if !asked.await {
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

/// Polls a future as tracked work on this thread, until it ends or is dropped because `abort` was cancelled, by the force or otherwise.
/// A panic of that drop is one of the work.
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
    let result = first(tracked.as_mut(), &abort).await;
    if result.is_none() {
        outside().await;
    }
    // Of one that has ended nothing is left that could panic.
    dropped(tracked).map_or_else(|payload| Some(Err(payload)), |()| result)
}

/// What `future` gives, unless it is not ready once `abort` is cancelled.
async fn first<F: Future>(mut future: Pin<&mut F>, abort: &CancellationToken) -> Option<F::Output> {
    let mut aborted = pin!(abort.cancelled());
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => aborted.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Both to their ends; gives what `main` gives.
async fn both<T>(main: impl Future<Output = T>, other: impl Future<Output = ()>) -> T {
    let (mut main, mut other) = (pin!(main), pin!(other));
    let (mut result, mut other_ended) = (None, false);
    poll_fn(|cx| {
        if result.is_none() {
            if let Poll::Ready(value) = main.as_mut().poll(cx) {
                result = Some(value);
            }
        }
        other_ended = other_ended || other.as_mut().poll(cx).is_ready();
        match (&result, other_ended) {
            (Some(_), true) => result.take().map_or(Poll::Pending, Poll::Ready),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Drops a value of the user's, or gives what that panicked with.
fn dropped<T>(value: T) -> Result<(), Payload> {
    panic::catch_unwind(AssertUnwindSafe(|| drop(value)))
}
