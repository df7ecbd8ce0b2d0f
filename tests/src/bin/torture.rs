//! Prints each step of its life, with the time, and takes in work from outside as fast as it can; the plan is in the arguments,
//! as `name=value`.
//!
//! `defect=` breaks it on purpose, so that the torture can show that it sees what is broken.
use std::{
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use graceful::{Finalizer, Guard, Report, Shutdown};
use graceful_tests::{option, step};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    time::{interval, sleep},
};

fn time(name: &str) -> Duration {
    let number = option(name).and_then(|value| value.parse().ok());
    Duration::from_millis(number.unwrap_or_default())
}

fn has_defect(name: &str) -> bool {
    option("defect").as_deref() == Some(name)
}

struct App(#[allow(dead_code, reason = "held open")] TcpListener);

async fn init(shutdown: Shutdown) -> std::io::Result<App> {
    if !has_defect("late") {
        step("init.begin");
    }
    if option("hang").as_deref() == Some("exit") {
        shutdown.at_exit(|_| thread::sleep(Duration::from_secs(60)));
    }
    shutdown.at_exit(report);
    tokio::spawn(watch(shutdown.clone()));
    let listener = shutdown.listen("torture", "127.0.0.1:0").await?;
    let socket = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd()))?;
    step(format_args!("listens {} {}", socket.display(), listener.local_addr()?));
    let mut child = child(&listener)?;
    step(format_args!("child {}", child.id()));
    finalizer(&shutdown, "child", async move {
        if !has_defect("orphan") {
            // A signal to the group may have ended it.
            drop(child.kill());
            drop(child.wait());
        }
    });
    sleep(time("init") / 2).await;
    let slow = finalizer(&shutdown, "slow", pause(30));
    slow.timeout(Duration::from_millis(200));
    sleep(time("init") / 2).await;
    step("init.end");
    Ok(App(listener))
}

/// In the program's group, so that a signal to the group reaches it as well.
fn child(listener: &TcpListener) -> std::io::Result<Child> {
    let input = if has_defect("orphan") {
        Stdio::from(listener.as_fd().try_clone_to_owned()?)
    } else {
        Stdio::null()
    };
    Command::new("sleep").arg("60").stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn finalizer(
    shutdown: &Shutdown,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) -> Finalizer {
    step(format_args!("register {name}"));
    let shown = match (name, has_defect("disorder")) {
        ("slow", true) => "child",
        ("child", true) => "slow",
        _ => name,
    };
    shutdown.finalizer(name, move || async move {
        step(format_args!("final {shown}"));
        work.await;
        step(format_args!("finalized {shown}"));
        if name == "slow" && has_defect("twice") {
            step(format_args!("final {shown}"));
        }
    })
}

async fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

async fn finalize(_: App) {
    step("final finalize");
    pause(2).await;
    step("finalized finalize");
}

/// Tells that the drain has begun, where everybody knows it.
async fn watch(shutdown: Shutdown) {
    shutdown.requested().await;
    step("drain.begin");
    if has_defect("hasty") {
        shutdown.force("hasty");
    }
}

fn report(report: &Report) {
    let mut report = report.clone();
    if has_defect("forgetful") {
        report.signals.clear();
    }
    if !has_defect("mute") {
        step(format_args!("report {}", serde_json::to_string(&report).unwrap_or_default()));
    }
}

/// The way in for work from outside.
#[derive(Clone)]
struct Intake {
    root: Shutdown,
    front: Shutdown,
    runtime: Handle,
}

impl Intake {
    /// One piece of work comes from outside; whether it was let in.
    fn knock(&self, id: u64) -> bool {
        let kind =
            ["task", "front", "shield", "busy", "blocking", "guard", "task"][id as usize % 7];
        step(format_args!("knock {id}"));
        let part = if kind == "front" { &self.front } else { &self.root };
        let guard = if has_defect("open") { Some(part.guard()) } else { part.try_guard() };
        let Some(guard) = guard else {
            step(format_args!("refused {id}"));
            return false;
        };
        self.begin(Work::new(id, kind), guard);
        true
    }

    fn begin(&self, work: Work, guard: Guard) {
        let part = if work.kind == "front" { &self.front } else { &self.root };
        let task = part.task(format!("work {}", work.id));
        match work.kind {
            "task" if has_defect("lost") => drop(self.runtime.spawn(work.run())),
            "task" if has_defect("deaf") => drop(task.spawn(part.shield(work.run()))),
            "guard" => drop(self.runtime.spawn(async move {
                work.run().await;
                drop(guard);
            })),
            "blocking" => drop(task.spawn_blocking(move || work.block())),
            "shield" => drop(task.spawn(work.run_shielded(part.clone()))),
            "busy" => drop(task.spawn(async move {
                thread::sleep(Duration::from_millis(5));
                work.run().await;
            })),
            _ => drop(task.spawn(work.run())),
        }
    }
}

/// A piece of work: it ends, or is dropped and says so.
struct Work {
    id: u64,
    kind: &'static str,
    time: Duration,
    ended: bool,
}

impl Work {
    fn new(id: u64, kind: &'static str) -> Self {
        step(format_args!("accept {id} {kind}"));
        let most = time("work").as_millis() as u64 + 1;
        Self { id, kind, time: Duration::from_millis(id * 37 % most), ended: false }
    }

    async fn run(self) {
        sleep(self.time).await;
        self.end();
    }

    async fn run_shielded(self, shutdown: Shutdown) {
        sleep(self.time / 2).await;
        let id = self.id;
        let is_bare = has_defect("bare");
        let section = async move {
            step(format_args!("shield {id}"));
            pause(if is_bare { 100 } else { 20 }).await;
            step(format_args!("shielded {id}"));
        };
        if is_bare {
            section.await
        } else {
            shutdown.shield(section).await
        }
        sleep(self.time / 2).await;
        self.end();
    }

    fn block(self) {
        thread::sleep(self.time);
        self.end();
    }

    fn end(mut self) {
        self.ended = true;
        step(format_args!("end {}", self.id));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.ended {
            step(format_args!("aborted {}", self.id));
        }
    }
}

/// Work that never ends in time, if the plan has some.
fn hang(intake: &Intake) {
    let has = |&kind: &&str| option("hang").as_deref() == Some(kind);
    let Some(kind) = ["task", "blocking", "guard"].into_iter().find(has) else { return };
    let mut work = Work::new(1, kind);
    work.time = Duration::from_millis(1500);
    intake.begin(work, intake.root.guard());
}

/// A scope that is told once `front` has drained.
fn back(intake: &Intake) {
    let back = intake.root.scope("back");
    let back = if has_defect("at-once") { back } else { back.after(&intake.front) };
    let work = Work::new(0, "back");
    let told = back.clone();
    drop(back.task("work 0").spawn(async move {
        told.requested().await;
        step("back.told");
        work.run().await;
    }));
}

/// Knocks from a thread that nothing manages, and goes on for a while after it was refused.
fn knock_on(intake: &Intake) {
    let mut refused = 0;
    for id in (3..).step_by(2) {
        refused += u32::from(!intake.knock(id));
        if refused > 4 {
            return;
        }
        thread::sleep(Duration::from_millis(3));
    }
}

mod program {
    use super::*;

    #[graceful::main(timeout = "1s", signals = [TERM, INT, HUP], init = init, finalize = finalize)]
    pub(crate) async fn main(_: &App, shutdown: Shutdown) {
        step("run.begin");
        let panics = option("panics").is_some();
        finalizer(&shutdown, "first", pause(5));
        finalizer(&shutdown, "last", async move { assert!(!panics, "as the plan says") });
        let front = shutdown.scope("front");
        let intake = Intake { front, root: shutdown.clone(), runtime: Handle::current() };
        back(&intake);
        hang(&intake);
        let outside = intake.clone();
        thread::spawn(move || knock_on(&outside));
        let (mut ticks, mut id) = (interval(Duration::from_millis(4)), 2);
        while shutdown.until_requested(ticks.tick()).await.is_some() {
            intake.knock(id);
            id += 2;
        }
        step("run.end");
    }
}

fn main() -> ExitCode {
    // What the environment says is read before `main`, and cannot be changed safely from within.
    let changed =
        [("slack", "GRACEFUL_TIMEOUT", "60s"), ("brief", "GRACEFUL_FINALIZE_TIMEOUT", "690ms")];
    for (defect, name, value) in changed {
        if has_defect(defect) && std::env::var(name).as_deref() != Ok(value) {
            let arguments = std::env::args_os().skip(1);
            let error = Command::new("/proc/self/exe").args(arguments).env(name, value).exec();
            step(format_args!("exec {error}"));
        }
    }
    if has_defect("late") {
        step("init.begin");
        thread::sleep(time("init"));
    }
    let status = program::main();
    if has_defect("status") { ExitCode::from(7) } else { status }
}
