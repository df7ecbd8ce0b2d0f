//! What is tracked, on a paused clock: one runtime a test, no real signals.

use std::{
    future::pending,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use graceful::{Builder, FinalizerEnd, Phase, Shutdown};
use graceful_tests::life::report_of;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// W15 W03 W22 B07 D05: spawned, detached or awaited: all are waited for, and only what is tracked is.
#[graceful::test]
async fn everything_spawned_is_waited_for(shutdown: Shutdown) {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = |ended: &Arc<AtomicUsize>| {
        let ended = Arc::clone(ended);
        async move {
            sleep(SECOND).await;
            ended.fetch_add(1, Ordering::Relaxed);
        }
    };
    shutdown.spawn(count(&ended));
    shutdown.task("named").spawn(count(&ended));
    tokio::spawn(shutdown.track(count(&ended)));
    let guard = shutdown.guard();
    let work = count(&ended);
    tokio::spawn(async move {
        work.await;
        drop(guard);
    });
    tokio::spawn(pending::<()>());
    assert_eq!(shutdown.in_flight(), 4);
    shutdown.finalizer("check", async move || assert_eq!(ended.load(Ordering::Relaxed), 4));
}

/// W07: work spawned by running work is let in during the drain, work from outside is not.
#[graceful::test]
async fn the_drain_takes_nothing_from_outside(shutdown: Shutdown) {
    let guard = shutdown.try_guard().expect("it runs");
    shutdown.request("enough");
    assert!(shutdown.is_requested());
    assert_eq!(shutdown.phase(), Phase::Draining);
    assert!(shutdown.try_guard().is_none());
    assert!(shutdown.guard().is_counted());
    assert!(guard.clone().is_counted());
    assert_eq!(shutdown.spawn(async { 7 }).await.expect("it is let in"), 7);
}

/// B08 B09: what comes after the end gets an error, not a hang and not a panic.
#[graceful::test]
async fn finalization_refuses_work_with_a_cancelled_handle(shutdown: Shutdown) {
    let (polled, was_polled) = oneshot::channel::<()>();
    shutdown.clone().finalizer("refused", async move || {
        let refused = shutdown.spawn(async move {
            polled.send(()).ok();
        });
        assert!(refused.await.expect_err("refused").is_cancelled());
        assert!(was_polled.await.is_err(), "it was polled");
        assert!(shutdown.spawn_blocking(|| ()).await.expect_err("refused").is_cancelled());
        assert!(
            shutdown.task("thread").spawn_thread(|| ()).await.expect_err("refused").is_cancelled()
        );
        assert!(!shutdown.guard().is_counted());
        assert_eq!(shutdown.shield(async { 3 }).await, 3);
    });
}

#[graceful::test(init = state, finalize = release)]
async fn state_goes_through_the_life(state: &Mutex<Vec<u8>>, _: Shutdown) {
    state.lock().expect("no panic").push(2);
}

async fn state() -> Mutex<Vec<u8>> {
    Mutex::new(vec![1])
}

async fn release(state: Mutex<Vec<u8>>) {
    assert_eq!(state.into_inner().expect("no panic"), [1, 2]);
}

#[graceful::test]
#[should_panic(expected = "seen outside")]
async fn a_panic_fails_the_test(_: Shutdown) {
    panic!("seen outside");
}

/// 30 s pass in no time, and the force comes after 25 of them.
#[test]
fn the_deadline_follows_the_paused_clock() {
    let report = report_of(async |shutdown| drop(shutdown.task("hangs").spawn(pending::<()>())));
    assert_eq!(report.exit_status, 1);
    assert_eq!(report.stragglers.len(), 1);
    assert_eq!(report.stragglers[0].name, "hangs");
    assert_eq!(report.stragglers[0].age.as_secs(), 25);
}

/// W10 W11 W12 W13 W14: a shield outlives its caller's abort, and the drain waits for it.
#[graceful::test]
async fn a_shield_outlives_its_caller(shutdown: Shutdown) {
    let (done, mut is_done) = oneshot::channel();
    let handle = shutdown.clone();
    let caller = tokio::spawn(async move {
        handle
            .shield(async move {
                sleep(SECOND).await;
                done.send(()).ok();
            })
            .await;
    });
    sleep(SECOND / 2).await;
    caller.abort();
    shutdown.finalizer("check", async move || {
        is_done.try_recv().expect("the shield ended before the finalizers")
    });
}

/// A task that waits in a shield at the force gets its value, and is aborted at its next await.
#[test]
fn a_force_spares_a_task_until_its_shield_has_given_its_value() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&steps);
    let status = Builder::new().test(async move |shutdown: Shutdown| {
        let handle = shutdown.clone();
        let push = move |step| seen.lock().expect("no panic").push(step);
        shutdown.task("shielded").spawn(async move {
            let value = handle
                .shield(async {
                    sleep(SECOND).await;
                    "value"
                })
                .await;
            push(value);
            sleep(SECOND).await;
            push("went on");
        });
        tokio::task::yield_now().await;
        shutdown.force("now");
        shutdown.requested().await;
        pending::<()>().await;
    });
    assert_eq!(*steps.lock().expect("no panic"), ["value"]);
    assert_eq!(status, ExitCode::from(1));
}

#[test]
fn a_task_that_ends_with_its_shield_is_no_straggler() {
    let report = report_of(async |shutdown| {
        let handle = shutdown.clone();
        shutdown.spawn(async move { handle.shield(sleep(SECOND)).await });
        tokio::task::yield_now().await;
        shutdown.request("now");
        tokio::task::yield_now().await;
        shutdown.force("really");
    });
    assert_eq!(report.exit_status, 0);
    assert!(report.stragglers.is_empty(), "{report}");
}

/// Shields get half of what is left at the force: 30 s, forced at 0, reported at 29.1 s.
#[test]
fn a_shield_that_never_ends_is_left_behind() {
    let begin = std::time::Instant::now();
    let status = Builder::new().test(async |shutdown: Shutdown| {
        let start = Instant::now();
        let handle = shutdown.clone();
        shutdown.spawn(async move { handle.shield(pending::<()>()).await });
        tokio::task::yield_now().await;
        shutdown.finalizer("check", async move || {
            let waited = start.elapsed();
            assert!(waited > 14 * SECOND && waited < 16 * SECOND, "{waited:?}");
        });
        shutdown.force("now");
    });
    assert_eq!(status, ExitCode::from(1));
    assert!(begin.elapsed() < 20 * SECOND, "the clock was not paused");
}

/// D19: a ticker stops at the drain, and never in the middle of one run.
#[graceful::test]
async fn periodic_work_stops_between_two_runs(shutdown: Shutdown) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (begun, counted) = (Arc::clone(&runs), Arc::clone(&runs));
    shutdown.every(SECOND, move || {
        let begun = Arc::clone(&begun);
        async move {
            sleep(SECOND / 4).await;
            begun.fetch_add(1, Ordering::Relaxed);
        }
    });
    sleep(2 * SECOND + SECOND / 8).await;
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    shutdown.request("enough");
    shutdown.finalizer("check", async move || assert_eq!(counted.load(Ordering::Relaxed), 3));
}

#[graceful::test]
async fn scopes_drain_in_their_order(shutdown: Shutdown) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let worker = |scope: &Shutdown, name: &'static str| {
        let (scope, order) = (scope.clone(), Arc::clone(&order));
        scope.clone().spawn(async move {
            scope.requested().await;
            sleep(SECOND).await;
            order.lock().expect("no panic").push(name);
        });
    };
    let intake = shutdown.scope("intake");
    let workers = shutdown.scope("workers").after(&intake);
    let store = shutdown.scope("store").after(&workers);
    worker(&store, "store");
    worker(&workers, "workers");
    worker(&intake, "intake");
    tokio::task::yield_now().await;
    shutdown.request("enough");
    assert!(intake.is_requested() && !workers.is_requested() && !store.is_requested());
    assert!(intake.try_guard().is_none() && workers.try_guard().is_some());
    let begin = Instant::now();
    let seen = Arc::clone(&order);
    shutdown.finalizer("check", async move || {
        assert_eq!(*seen.lock().expect("no panic"), ["intake", "workers", "store"]);
        assert_eq!(begin.elapsed().as_secs(), 3);
    });
}

#[graceful::test]
async fn one_scope_stops_alone(shutdown: Shutdown) {
    let (part, rest) = (shutdown.scope("part"), shutdown.scope("rest"));
    let token = part.token();
    let work = part.spawn(async move { token.cancelled().await });
    part.request("reconfigured");
    part.drained().await;
    assert!(work.is_finished());
    assert!(part.try_guard().is_none());
    assert!(!rest.is_requested() && !shutdown.is_requested());
    assert!(rest.try_guard().is_some() && shutdown.try_guard().is_some());
    assert_eq!(shutdown.phase(), Phase::Running);
}

#[graceful::test]
#[should_panic(expected = "circle")]
async fn a_circle_of_scopes_panics(shutdown: Shutdown) {
    let first = shutdown.scope("first");
    let second = shutdown.scope("second").after(&first);
    let _circle = first.after(&second);
}

/// B10: whoever waits is freed by the request.
#[graceful::test]
async fn a_ready_value_is_never_lost(shutdown: Shutdown) {
    shutdown.request("enough");
    assert_eq!(shutdown.until_requested(async { 1 }).await, Some(1));
    assert_eq!(shutdown.until_requested(pending::<()>()).await, None);
}

/// An exhausted coop budget is not "not ready": all that is in the channel is handed out, although it is more than one budget.
#[graceful::test]
async fn a_long_queue_is_emptied(shutdown: Shutdown) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    (0..1000).for_each(|n| sender.send(n).expect("it is open"));
    shutdown.request("enough");
    let mut taken = 0;
    while shutdown.until_requested(receiver.recv()).await.is_some() {
        taken += 1;
    }
    assert_eq!(taken, 1000);
}

#[graceful::test]
async fn a_token_is_a_child(shutdown: Shutdown) {
    shutdown.token().cancel();
    assert!(!shutdown.is_requested());
}

#[graceful::test]
async fn the_handle_is_found_without_plumbing(shutdown: Shutdown) {
    tokio::spawn(async { Shutdown::current().request("from a plain task") })
        .await
        .expect("no panic");
    assert!(shutdown.is_requested());
    let found =
        shutdown.task("thread").spawn_thread(|| assert!(Shutdown::try_current().is_some())).await;
    found.expect("no panic");
    assert!(std::thread::spawn(|| Shutdown::try_current().is_none()).join().expect("no panic"));
    let guard = shutdown.guard();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async move {
            drop(guard);
            Shutdown::try_current().is_none()
        })
    });
    assert!(elsewhere.join().expect("no panic"), "the runtime of somebody else");
    shutdown.finalizer("check", async || assert!(Shutdown::try_current().is_some()));
}

#[graceful::test]
async fn a_finalizer_can_be_taken_back_or_given_a_time(shutdown: Shutdown) {
    assert!(shutdown.finalizer("never", async || panic!("it was taken back")).cancel());
    let begin = Instant::now();
    // Left behind it would make the status 1, and the test fail.
    shutdown.finalizer("check", async move || assert_eq!(begin.elapsed(), SECOND));
    shutdown.finalizer("slow", async || sleep(SECOND).await).timeout(10 * SECOND);
}

#[graceful::test]
async fn remaining_and_cause_are_told(shutdown: Shutdown) {
    assert_eq!(shutdown.remaining(), None);
    assert!(shutdown.cause().is_none());
    shutdown.request("enough");
    assert_eq!(shutdown.remaining(), Some(25 * SECOND));
    assert_eq!(shutdown.cause().expect("requested").to_string(), "enough");
}

#[graceful::test]
async fn stragglers_have_names_ages_and_places(shutdown: Shutdown) {
    let _guard = shutdown.guard();
    sleep(SECOND).await;
    let running = shutdown.stragglers();
    assert_eq!(running[0].name, "main");
    let guard = &running[1];
    assert!(guard.location.file().ends_with("work.rs"), "{guard}");
    assert_eq!(guard.age, SECOND);
}

/// The time of a hook counts from its own begin, also where nothing else happens meanwhile.
#[test]
fn a_hook_is_left_behind_when_its_own_time_has_passed() {
    let report = report_of(async |shutdown| {
        let begin = Instant::now();
        shutdown.finalizer("check", async move || assert_eq!(begin.elapsed(), 2 * SECOND));
        shutdown.finalizer("hangs", pending::<()>).timeout(SECOND);
        shutdown.finalizer("hangs too", pending::<()>).timeout(SECOND);
    });
    assert_eq!(report.exit_status, 1, "left behind counts as forced: {report}");
    let ends: Vec<_> = report.finalizers.iter().map(|hook| hook.end).collect();
    assert_eq!(ends, [FinalizerEnd::LeftBehind, FinalizerEnd::LeftBehind, FinalizerEnd::Ended]);
}

/// Also when two ask at once: neither returns before it is so.
#[test]
fn a_request_has_taken_effect_when_it_returns() {
    for _ in 0..200 {
        let ends = Builder::new().test(async |shutdown: Shutdown| {
            let barrier = Arc::new(std::sync::Barrier::new(2));
            let ask = || {
                let (shutdown, barrier) = (shutdown.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    shutdown.request("now");
                    assert!(shutdown.is_requested() && shutdown.phase() >= Phase::Draining);
                })
            };
            for asking in [ask(), ask()] {
                asking.join().expect("it took effect");
            }
        });
        assert_eq!(ends, ExitCode::SUCCESS);
    }
}

/// The program has asked for it before the stop: listed, and no reason to leave with another status, nor a part of the drain.
#[test]
fn a_forced_scope_is_aborted_whenever_its_work_began() {
    let report = report_of(force_scope);
    assert_eq!(report.stragglers.len(), 3, "{report}");
    assert_eq!((report.exit_status, report.drained), (0, 0));
}

#[test]
fn a_scope_that_is_forced_in_the_drain_counts() {
    let report = report_of(async |shutdown: Shutdown| {
        let scope = shutdown.scope("part");
        scope.spawn(pending::<()>());
        shutdown.request("enough");
        scope.force("now");
    });
    assert_eq!((report.stragglers.len(), report.exit_status), (1, 1), "{report}");
}

/// What a scope that was forced before the stop could not end is in flight at the stop: left behind by that, it counts.
#[test]
fn what_outlives_the_force_of_its_scope_counts() {
    let report = report_of(async |shutdown: Shutdown| {
        let scope = shutdown.scope("part");
        std::mem::forget(scope.guard());
        scope.force("now");
        shutdown.spawn(sleep(SECOND));
    });
    assert_eq!(
        (report.stragglers.len(), report.exit_status, report.drained),
        (1, 1, 1),
        "{report}"
    );
}

/// What ends in the lame duck was in flight at the request.
#[test]
fn the_books_begin_with_the_request_and_not_with_the_drain() {
    let report = report_of(async |shutdown: Shutdown| {
        let before = shutdown.guard();
        drop(before);
        let held = shutdown.guard();
        shutdown.request("enough");
        drop(held);
    });
    assert_eq!(report.drained, 1, "{report}");
}

/// Scopes come and go by the thousand, in every way that they can, while the program runs and while it stops.
#[test]
fn ten_thousand_scopes_leave_nothing_in_the_way() {
    let report = report_of(async |shutdown: Shutdown| {
        for number in 0..10_000 {
            let scope = shutdown.scope("session");
            match number % 5 {
                0 => drop(scope.guard()),
                1 => drop(scope.spawn(async {})),
                2 => drop(scope.scope("below").spawn(tokio::task::yield_now())),
                3 => scope.request("over"),
                _ => drop(shutdown.scope("later").after(&scope)),
            }
        }
        let last = shutdown.scope("last");
        last.spawn(sleep(SECOND));
        shutdown.request("enough");
        last.drained().await;
        assert!(shutdown.scope("late").is_requested());
    });
    assert_eq!((report.exit_status, report.stragglers.len()), (0, 0), "{report}");
}

/// A future that was leaked leaves its waker in a scope. It is dropped when the scope is gone, and may hold the last handle of another.
#[graceful::test]
async fn a_waker_that_holds_a_scope_may_go_with_another(shutdown: Shutdown) {
    struct Holds(#[allow(dead_code, reason = "held")] Shutdown);
    impl std::task::Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    let (scope, other) = (shutdown.scope("leaves a waker"), shutdown.scope("held by it"));
    let waker = std::task::Waker::from(Arc::new(Holds(other)));
    let mut context = std::task::Context::from_waker(&waker);
    let mut requested = Box::pin(scope.requested());
    assert!(requested.as_mut().poll(&mut context).is_pending());
    std::mem::forget(requested);
    drop(waker);
    drop(scope);
    assert!(shutdown.try_guard().is_some(), "the tree of scopes is free");
}

/// A token outlives the scope that it is of, and is told with the program.
#[graceful::test]
async fn the_token_of_a_scope_that_is_gone_is_told_all_the_same(shutdown: Shutdown) {
    let token = shutdown.scope("session").token();
    let inner = shutdown.scope("outer").scope("inner").token();
    let first = shutdown.scope("first");
    let later = shutdown.scope("later").after(&first).token();
    let below = shutdown.scope("outer").after(&first).scope("inner").after(&first).token();
    let all = [token, inner, later, below];
    assert!(!all.iter().any(graceful::CancellationToken::is_cancelled));
    shutdown.request("enough");
    assert!(all.iter().all(graceful::CancellationToken::is_cancelled));
    assert!(shutdown.scope("late").token().is_cancelled());
}

async fn force_scope(shutdown: Shutdown) {
    let scope = shutdown.scope("part");
    let handle = scope.clone();
    let shielded = scope.spawn(async move {
        handle.shield(sleep(SECOND)).await;
        pending::<()>().await;
    });
    let before = scope.spawn(pending::<()>());
    tokio::task::yield_now().await;
    scope.force("now");
    let after = scope.spawn(pending::<()>());
    let begin = Instant::now();
    for aborted in [before, after, shielded] {
        assert!(aborted.await.expect_err("aborted").is_cancelled());
    }
    scope.drained().await;
    assert_eq!(begin.elapsed(), SECOND);
    assert_eq!(shutdown.phase(), Phase::Running);
}

/// Counted or not, what waits in a shield is spared.
#[test]
fn a_shield_within_a_tracked_future_is_spared() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    report_of(async move |shutdown| {
        let handle = shutdown.clone();
        shutdown.spawn(async move {
            handle.track(async { handle.shield(sleep(SECOND)).await }).await;
            count.fetch_add(1, Ordering::Relaxed);
        });
        tokio::task::yield_now().await;
        shutdown.force("now");
    });
    assert_eq!(reached.load(Ordering::Relaxed), 1);
}

/// A scope that is made while the program drains still comes after what it names.
#[graceful::test]
async fn a_late_scope_keeps_its_order(shutdown: Shutdown) {
    let intake = shutdown.scope("intake");
    let guard = intake.guard();
    shutdown.request("enough");
    let workers = shutdown.scope("workers").after(&intake);
    assert!(!workers.is_requested());
    drop(guard);
    assert!(workers.is_requested());
}

#[graceful::test]
async fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not(shutdown: Shutdown) {
    let path = std::env::temp_dir().join(format!("graceful-{}.sock", std::process::id()));
    drop(shutdown.listen_unix("first", &path).expect("it binds"));
    let live = shutdown.listen_unix("second", &path).expect("the stale one is replaced");
    let refused = shutdown.listen_unix("third", &path).expect_err("somebody listens");
    assert!(refused.to_string().contains("third"), "{refused}");
    drop(live);
    std::fs::remove_file(path).expect("it is there");
}

/// What another program of this process has counted is nothing to this one, also where it is counted at the same place.
#[test]
fn a_report_counts_what_this_program_did() {
    for _ in 0..20 {
        report_of(async |shutdown: Shutdown| {
            let part = shutdown.scope("busy");
            (0..100).for_each(|_| drop(part.guard()));
        });
        let report = report_of(async |shutdown: Shutdown| {
            shutdown.request("now");
            let _part = shutdown.scope("idle");
        });
        assert_eq!(report.drained, 0, "{report}");
    }
}

/// Also of a scope, which is told with the program: neither of two that ask returns before it is so.
#[test]
fn a_request_has_reached_the_scopes_when_it_returns() {
    for _ in 0..200 {
        let status = Builder::new().test(async |shutdown: Shutdown| {
            let scope = shutdown.scope("part");
            let barrier = Arc::new(std::sync::Barrier::new(2));
            let ask = || {
                let (shutdown, scope) = (shutdown.clone(), scope.clone());
                let barrier = Arc::clone(&barrier);
                std::thread::spawn(move || {
                    barrier.wait();
                    shutdown.request("now");
                    assert!(scope.is_requested() && scope.try_guard().is_none());
                })
            };
            for asking in [ask(), ask()] {
                asking.join().expect("it took effect");
            }
        });
        assert_eq!(status, ExitCode::SUCCESS);
    }
}

/// Whoever is refused is no straggler, however many try while the drain is ended by force.
#[test]
fn what_was_refused_is_no_straggler() {
    for _ in 0..20 {
        let report = report_of(async |shutdown: Shutdown| {
            shutdown.request("now");
            let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let tried = Arc::new(AtomicUsize::new(0));
            let tries = [(); 2].map(|()| {
                let (shutdown, over) = (shutdown.clone(), Arc::clone(&over));
                let tried = Arc::clone(&tried);
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        assert!(shutdown.try_guard().is_none());
                        tried.fetch_add(1, Ordering::Relaxed);
                    }
                })
            });
            while tried.load(Ordering::Relaxed) < 1000 {
                std::thread::yield_now();
            }
            // Left behind, so that what is left is looked for.
            std::mem::forget(shutdown.guard());
            shutdown.finalizer("over", async move || {
                over.store(true, Ordering::Relaxed);
                tries.into_iter().for_each(|tries| tries.join().expect("it was refused"));
            });
        });
        assert_eq!(report.stragglers.len(), 1, "{report}");
    }
}

/// Handles go to any thread.
#[test]
fn handles_may_be_sent_and_shared() {
    fn has_all<T: Send + Sync + Unpin>() {}
    has_all::<Shutdown>();
    has_all::<graceful::Flights>();
    has_all::<graceful::Requested<'_>>();
    has_all::<graceful::Guard>();
    has_all::<graceful::Task>();
    has_all::<graceful::Finalizer>();
    has_all::<graceful::http::Health>();
    has_all::<graceful::tower::Layer>();
}

/// Also the last one, whose time ends with the budget.
#[test]
fn a_finalizer_that_never_ends_is_dropped_at_its_time() {
    let (report, dropped) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let (seen, count) = (Arc::clone(&report), Arc::clone(&dropped));
    let status = Builder::new().timeout(2 * SECOND).test(async move |shutdown: Shutdown| {
        shutdown.at_exit(move |report| *seen.lock().unwrap() = Some(report.clone()));
        shutdown.finalizer("endless", async move || {
            let _drops = OnDrop(count);
            pending::<()>().await;
        });
    });
    assert_eq!(status, ExitCode::from(1));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    let report = report.lock().unwrap().take().expect("at_exit ran");
    assert_eq!(report.finalizers[0].end, FinalizerEnd::LeftBehind);
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
