//! P20. Torture: hundreds of lives that follow no script, each with one to three signals at the worst moments, judged from outside by
//! the promises alone.
//!
//! `TORTURE_PLANS` says how many, `TORTURE_SEED` which; a failure names the seed of its plan.

mod check;
mod history;
mod plan;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use check::Violation;
use graceful_tests::{HUP, INT, KILL, Program, Running, Saw, TERM, uptime as now};
use history::{History, Sent, Step};
use nix::{sys::signal::kill, unistd::Pid};
use plan::{Dice, Plan, Shot};

/// Lives that run side by side. They mostly wait.
const SIDE_BY_SIDE: usize = 5;

/// How long a program is waited for that should be gone: several times what any plan gives it.
const STUCK: Duration = Duration::from_secs(5);

/// The tests of this file measure time: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// When a thread that slept was woken late by the machine, and by how much.
#[derive(Default)]
struct Lateness(Mutex<Vec<(Duration, Duration)>>);

impl Lateness {
    /// Measures until `is_over`.
    fn measure(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let before = now();
            thread::sleep(Duration::from_millis(1));
            let late = now() - before;
            if late > Duration::from_millis(5) {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push((before, late));
            }
        }
    }

    /// The most since `from`.
    fn since(&self, from: Duration) -> Duration {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = all.iter().rev().take_while(|&&(at, late)| at + late >= from);
        recent.map(|&(_, late)| late).max().unwrap_or_default()
    }
}

/// Lives the life of the plan.
fn live(plan: &Plan, lateness: &Lateness) -> History {
    let program = Program::new("torture").args(plan.arguments());
    let set = |program: Program, (name, value): (&str, String)| program.env(name, &value);
    let mut program = plan.environment().into_iter().fold(program, set).start();
    let (pid, from) = (program.pid(), now());
    let sent = plan.shots.iter().map_while(|shot| shoot(&mut program, shot)).collect();
    if program.passes(STUCK) != Saw::End {
        program.send(KILL);
    }
    let ended = program.ends();
    let steps: Vec<_> = ended.out().into_iter().filter_map(Step::parse).collect();
    let text = ended.text();
    let mut life = History {
        sent,
        steps,
        status: ended.status,
        took: ended.took,
        lateness: lateness.since(from),
        child_left: false,
        port_open: false,
        text,
    };
    life.port_open = life.objects("listens").iter().any(|socket| is_open(socket));
    let child = life.objects("child").first().and_then(|child| child.parse().ok());
    life.child_left = child.is_some_and(|child| is_left(Pid::from_raw(child), pid));
    life
}

/// Sends a signal when its time has come; `None` if the program is gone by then.
fn shoot(program: &mut Running, shot: &Shot) -> Option<Sent> {
    if shot.line.is_some_and(|line| program.sees(line, STUCK) != Saw::Line)
        || program.passes(shot.pause) == Saw::End
    {
        return None;
    }
    let from = now();
    if shot.group {
        program.send_group(shot.signal)
    } else {
        program.send(shot.signal)
    }
    Some(Sent { signal: shot.signal, from, to: now() })
}

/// Whether somebody holds the socket that the program listened on. Its port may be another program's by now.
fn is_open(socket: &str) -> bool {
    let inode = socket.trim_start_matches("socket:[").trim_end_matches(']');
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the sockets of the machine");
    sockets.lines().any(|line| line.split_whitespace().nth(9) == Some(inode))
}

/// Whether the program's child lives; it is ended then.
fn is_left(child: Pid, group: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let words: Vec<_> = after_name.split(' ').collect();
    // State, parent, group; a zombie waits for whoever took it over.
    let is_left = words.len() > 2 && words[0] != "Z" && words[2] == group.to_string();
    if is_left {
        let _gone = kill(child, KILL);
    }
    is_left
}

/// Lives all plans, some of them side by side.
fn live_all(plans: Vec<Plan>, side_by_side: usize) -> Vec<(Plan, History)> {
    let (plans, lives) = (Mutex::new(plans), Mutex::new(Vec::new()));
    let next = || plans.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let (lateness, is_over) = (Lateness::default(), AtomicBool::new(false));
    let work = || {
        while let Some(plan) = next() {
            let life = live(&plan, &lateness);
            lives.lock().unwrap_or_else(PoisonError::into_inner).push((plan, life));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| lateness.measure(&is_over));
        let workers: Vec<_> = (0..side_by_side).map(|_| scope.spawn(work)).collect();
        let ends: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok), "a life could not be judged");
    });
    lives.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// Plans that follow from one seed; the first one has the seed itself.
fn plans(count: u64) -> Vec<Plan> {
    let seed = number("TORTURE_SEED").unwrap_or_else(|| Dice(now().as_nanos() as u64).next());
    (0..count).map(|index| Plan::new(seed.wrapping_add(index))).collect()
}

/// How often something was seen, of so many lives.
fn share(lives: &[(Plan, History)], seen: impl Fn(&Plan, &History) -> bool) -> f64 {
    let count = lives.iter().filter(|(plan, life)| seen(plan, life)).count();
    count as f64 / lives.len() as f64
}

#[test]
fn every_life_keeps_the_promises() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let lives = live_all(plans(number("TORTURE_PLANS").unwrap_or(300)), SIDE_BY_SIDE);
    let mut broken = 0;
    for (plan, life) in &lives {
        let found = check::violations(plan, life);
        if !found.is_empty() {
            broken += 1;
            let seed = plan.seed;
            eprintln!("TORTURE_SEED={seed} TORTURE_PLANS=1 {found:?}\n{plan}{life}");
        }
    }
    let early = share(&lives, |_, life| life.died_early());
    let skipped =
        share(&lives, |_, life| !life.steps.is_empty() && life.place("run.begin").is_none());
    let forced = share(&lives, |_, life| life.status > 128);
    let knocked = share(&lives, |_, life| life.place("refused").is_some());
    let late = lives.iter().map(|(plan, life)| plan.timeout.saturating_sub(life.took)).min();
    eprintln!(
        "{} lives: {early:.2} died before the first line, {skipped:.2} without main, {forced:.2} forced, {knocked:.2} refused work; \
         the closest was gone {late:?} before its timeout",
        lives.len()
    );
    assert_eq!(broken, 0, "of {} lives; see above", lives.len());
    // Too few plans say nothing about the plans.
    if lives.len() >= 300 {
        assert!(early < 0.1 && skipped > 0.1 && forced > 0.1 && knocked > 0.1, "poor plans");
    }
}

/// A program that is broken on purpose, what it breaks, and what a plan needs for it to show.
type Defect = (&'static str, &'static [Violation], fn(&mut Plan));

const DEFECTS: [Defect; 15] = [
    ("late", &[Violation::EarlyDeath], |plan| {
        plan.init = Duration::from_millis(120);
        plan.shots[0] = Shot::at(Some("init.begin"), 40, TERM);
    }),
    ("brief", &[Violation::InitCut], |plan| {
        plan.timeout = Duration::from_millis(700);
        plan.init = Duration::from_millis(200);
        plan.shots[0] = Shot::at(Some("init.begin"), 0, TERM);
    }),
    ("lost", &[Violation::WorkLost], hit_twice),
    ("open", &[Violation::WorkLetIn], hit_once),
    ("twice", &[Violation::FinalizerCount], |_| {}),
    ("disorder", &[Violation::FinalizerOrder], |_| {}),
    ("slack", &[Violation::Late], |plan| {
        plan.hang = Some("task");
        plan.shots = vec![Shot::at(Some("run.begin"), 50, INT)];
    }),
    ("hasty", &[Violation::Forced], hit_once),
    ("deaf", &[Violation::NotForced], hit_twice),
    ("bare", &[Violation::ShieldCut], hit_twice),
    ("forgetful", &[Violation::SignalMissing], |_| {}),
    ("mute", &[Violation::NoReport], |_| {}),
    ("at-once", &[Violation::ScopeOrder], hit_once),
    ("status", &[Violation::Status], |_| {}),
    ("orphan", &[Violation::ChildLeft, Violation::PortOpen], hit_once),
];

/// Long work, and a signal in the middle of it.
fn hit_once(plan: &mut Plan) {
    plan.work = Duration::from_millis(500);
    plan.shots = vec![Shot::at(Some("run.begin"), 100, TERM)];
}

/// The same, and a second signal that forces.
fn hit_twice(plan: &mut Plan) {
    hit_once(plan);
    plan.shots.push(Shot::at(None, 160, HUP));
}

/// What the torture could not find, it could not rule out.
#[test]
fn every_defect_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = |&(defect, _, adapt): &Defect| {
        plans(24).into_iter().map(move |mut plan| {
            plan.defect = defect;
            adapt(&mut plan);
            plan
        })
    };
    let lives = live_all(DEFECTS.iter().flat_map(broken).collect(), 3 * SIDE_BY_SIDE);
    for (defect, kinds, _) in DEFECTS {
        let lives: Vec<_> = lives.iter().filter(|(plan, _)| plan.defect == defect).collect();
        let found: Vec<_> =
            lives.iter().flat_map(|(plan, life)| check::violations(plan, life)).collect();
        for &kind in kinds {
            let count = found.iter().filter(|(found, _)| *found == kind).count();
            eprintln!("{defect}: {kind:?} {count} times in {} lives", lives.len());
            assert!(count > 0, "{defect}: {kind:?} not found in {} lives; {found:?}", lives.len());
        }
    }
}
