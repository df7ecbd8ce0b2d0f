//! Has many pieces of work in flight at a stop, of every kind, in every scope, polled by whatever can poll, and counts them: `books SEED PIECES`. At the end it prints
//! what it counted beside what the report says.
//!
//! Every piece ends after the request, or not at all, so all that were let in are to be in the report.
use std::{
    future::pending,
    pin::Pin,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use graceful::{Builder, CancellationToken, Flavor, Flights, Guard, Kind, Report, Shutdown};
use graceful_tests::say;
use nix::sys::signal::{Signal, raise};
use tokio::{
    sync::{oneshot, watch},
    task::LocalSet,
    time::sleep,
};

/// How many pieces were let in; not those that had ended before the request.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    let number = |at| std::env::args().nth(at).and_then(|text| text.parse().ok());
    let (seed, pieces) = (number(1).expect("a seed"), number(2).expect("a number of pieces"));
    let mut dice = Dice(seed as u64 * 0x9E37_79B9 + 1);
    let end =
        dice.pick(&[End::Itself, End::Deadline, End::SecondSignal, End::Force, End::ForcedAtOnce]);
    let flavor = dice.pick(&[Flavor::CurrentThread, Flavor::MultiThread]);
    Builder::new()
        .timeout(Duration::from_millis(400))
        .finalize_timeout(Duration::from_millis(250))
        .flavor(flavor)
        .max_blocking_threads(2 * pieces)
        .run(async move |shutdown: Shutdown| {
            shutdown.at_exit(move |report| print(end, report));
            live(shutdown, dice, end, pieces).await;
        })
}

fn print(end: End, report: &Report) {
    let is_main = |kind| matches!(kind, Kind::Main | Kind::Init);
    let early = FORCED_EARLY.load(Ordering::SeqCst);
    let fell = report.stragglers.iter().filter(|work| !is_main(work.kind)).count();
    let (counted, drained) = (COUNTED.load(Ordering::SeqCst), report.drained);
    let is_right = fell >= early && drained as usize + fell - early == counted;
    let verdict = if is_right { "balanced" } else { "OFF" };
    say(format_args!(
        "{verdict}: {end:?}, {counted} counted, {drained} drained, {fell} fell, {early} of them early"
    ));
    if !is_right {
        say(report);
    }
}

/// How the drain ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Itself,
    Deadline,
    SecondSignal,
    Force,
    /// A force while the program runs.
    ForcedAtOnce,
}

/// How a piece of work ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// As soon as it hears of the request.
    AtRequest,
    Later(u64),
    /// When `main` is gone.
    WithMain,
    Never,
}

/// What polls a future.
#[derive(Clone, Copy, Debug)]
enum By {
    Main,
    Task,
    Untracked,
    LocalSet,
    OwnRuntime,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }
}

type Piece = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All that there is to bring work into.
struct World {
    dice: Dice,
    end: End,
    scopes: Vec<Shutdown>,
    /// Closed when `main` is gone.
    main: watch::Receiver<()>,
    polled_by_main: Vec<Piece>,
    local: LocalSet,
}

async fn live(shutdown: Shutdown, dice: Dice, end: End, pieces: usize) {
    let (_main, main) = watch::channel(());
    let first = shutdown.scope("first");
    let after = shutdown.scope("after").after(&first);
    let inner = after.scope("inner");
    let scopes = vec![shutdown.clone(), first, after, inner];
    let mut world =
        World { dice, end, scopes, main, polled_by_main: Vec::new(), local: LocalSet::new() };
    if world.dice.roll(2) == 0 {
        force_early(&shutdown).await;
    }
    for _ in 0..pieces {
        world.begin_one();
    }
    let World { polled_by_main, mut local, dice, .. } = world;
    // Those in `main` begin at their first poll at the latest; the rest has begun.
    let stop = tokio::spawn(stop(shutdown.clone(), end, dice));
    let all = futures_util::future::join_all(polled_by_main);
    tokio::join!(all, async { (&mut local).await });
    if end != End::Itself {
        pending::<()>().await;
    }
    stop.await.expect("it does not panic");
}

/// How many stragglers are of a scope that was forced before the stop.
static FORCED_EARLY: AtomicUsize = AtomicUsize::new(0);

async fn force_early(shutdown: &Shutdown) {
    let scope = shutdown.scope("early");
    let (held, letting_go) = oneshot::channel::<()>();
    scope.spawn(pending::<()>());
    scope.spawn(async move {
        let _held = held;
        pending::<()>().await;
    });
    let guard = scope.guard();
    tokio::spawn(async move {
        let _guard = guard;
        drop(letting_go.await);
    });
    tokio::task::yield_now().await;
    scope.force("early");
    scope.drained().await;
    FORCED_EARLY.store(2, Ordering::SeqCst);
}

async fn stop(shutdown: Shutdown, end: End, mut dice: Dice) {
    sleep(Duration::from_millis(dice.roll(10))).await;
    match end {
        End::Itself | End::Deadline => shutdown.request("enough"),
        End::SecondSignal => {
            raise(Signal::SIGTERM).expect("it is sent");
            sleep(Duration::from_millis(101 + dice.roll(20))).await;
            raise(Signal::SIGTERM).expect("it is sent");
        }
        End::Force => {
            shutdown.request("enough");
            sleep(Duration::from_millis(dice.roll(20))).await;
            shutdown.force("now");
        }
        End::ForcedAtOnce => shutdown.force("now"),
    }
}

fn count() {
    COUNTED.fetch_add(1, Ordering::SeqCst);
}

impl World {
    fn begin_one(&mut self) {
        let shutdown = self.dice.pick(&[0, 1, 2, 3]);
        let shutdown = self.scopes[shutdown].clone();
        let late = self.dice.roll(3) == 0;
        let way = self.way();
        let wait = wait(shutdown.clone(), way, self.main.clone(), late);
        match self.dice.roll(9) {
            0 => self.poll(holding(shutdown.guard(), wait)),
            1 => self.poll(holding(shutdown.try_guard().expect("it runs"), wait)),
            2 => drop(shutdown.spawn(wait)),
            3 => self.poll(shutdown.track(wait)),
            4 => self.poll(flying(shutdown.flights("flight"), wait)),
            5 => return self.shield(shutdown, wait),
            6 => drop(shutdown.every(Duration::from_millis(5), async || ())),
            7 => drop(shutdown.clone().spawn_blocking(self.blocking(shutdown, way))),
            _ => drop(shutdown.task("thread").spawn_thread(self.blocking(shutdown, way))),
        }
        count();
    }

    fn way(&mut self) -> Way {
        let later = Way::Later(self.dice.roll(30));
        match self.end {
            End::Itself => self.dice.pick(&[Way::AtRequest, later]),
            _ => self.dice.pick(&[Way::AtRequest, later, Way::WithMain, Way::Never]),
        }
    }

    fn poll(&mut self, piece: impl Future<Output = ()> + Send + 'static) {
        let piece: Piece = Box::pin(piece);
        match self.dice.pick(&[By::Main, By::Task, By::Untracked, By::LocalSet, By::OwnRuntime]) {
            By::Main => self.polled_by_main.push(piece),
            By::Task => {
                count();
                let scope = self.dice.pick(&[0, 1, 2, 3]);
                self.scopes[scope].spawn(piece);
            }
            By::Untracked => drop(tokio::spawn(piece)),
            By::LocalSet => drop(self.local.spawn_local(piece)),
            By::OwnRuntime => drop(thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(piece);
            })),
        }
    }

    /// Two pieces: what runs in the shield, and the task that waits for it.
    fn shield(&self, shutdown: Shutdown, wait: impl Future<Output = ()> + Send + 'static) {
        count();
        let waits = shutdown.clone();
        shutdown.spawn(async move {
            let shield = waits.shield(wait);
            count();
            shield.await;
        });
    }

    fn blocking(&self, shutdown: Shutdown, way: Way) -> impl FnOnce() + Send + 'static {
        let main = self.main.clone();
        move || {
            let is_over = || match way {
                Way::AtRequest | Way::Later(_) => shutdown.is_requested(),
                Way::WithMain => main.has_changed().is_err(),
                Way::Never => false,
            };
            while !is_over() {
                thread::sleep(Duration::from_millis(1));
            }
            if let Way::Later(time) = way {
                thread::sleep(Duration::from_millis(time));
            }
        }
    }
}

/// Waits as it is told to; `late` begins more work once the stop was requested.
async fn wait(shutdown: Shutdown, way: Way, mut main: watch::Receiver<()>, late: bool) {
    let begin_late = || {
        let guard = shutdown.guard();
        if guard.is_counted() {
            count();
        }
        guard
    };
    match way {
        Way::AtRequest | Way::Later(_) => shutdown.requested().await,
        Way::WithMain => drop(main.changed().await),
        Way::Never => pending().await,
    }
    let _late = late.then(begin_late);
    if let Way::Later(time) = way {
        sleep(Duration::from_millis(time)).await;
    }
}

async fn holding(guard: Guard, wait: impl Future<Output = ()>) {
    wait.await;
    drop(guard);
}

fn flying(flights: Flights, wait: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let cut = CancellationToken::new();
    let flight = flights.begin("piece", cut.clone());
    async move {
        if cut.run_until_cancelled(wait).await.is_some() {
            flight.complete();
        }
    }
}
