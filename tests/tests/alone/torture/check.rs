//! The promises, as far as they can be checked from outside: a life and its plan go in, what was broken comes out.
//!
//! Wherever it takes the machine's time to tell what was right (two signals about 100 ms apart, one that is sent as init ends),
//! both are.

use std::time::Duration;

use serde_json::Value;

use crate::{
    history::{History, Sent, Step},
    plan::Plan,
};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// 1: a signal, or nothing at all, ended the program after it had begun.
    EarlyDeath,
    /// 2: init did not come to its end before what follows it.
    InitCut,
    /// 3: work that began neither ended nor was reported.
    WorkLost,
    /// 4: work from outside was let in after the drain began.
    WorkLetIn,
    /// 5: a finalizer did not run, or ran more than once, or not to its end.
    FinalizerCount,
    /// 5: the finalizers ran in another order.
    FinalizerOrder,
    /// 1, 6: it was there for too long, perhaps because it never heard of the signal.
    Late,
    /// 7: the drain was ended by force, though nothing allowed it.
    Forced,
    /// 7: the drain was not ended by a second signal.
    NotForced,
    /// 7: a shield was cut.
    ShieldCut,
    /// 7: the report does not name a signal that came.
    SignalMissing,
    /// 8: there is no report.
    NoReport,
    /// 9: a scope was told before what it comes after had drained.
    ScopeOrder,
    /// The exit status is none that the table allows.
    Status,
    /// The program's child lives on.
    ChildLeft,
    /// The program's port is open.
    PortOpen,
}

/// How late a signal may be seen, and how much the clocks of two processes may be read apart.
const SLACK: Duration = Duration::from_millis(30);

/// How close a stop signal may be to the first and still be the same wish.
const SAME_WISH: Duration = Duration::from_millis(100);

/// How long a task may take to be aborted by a force on a busy machine.
const ABORT: Duration = Duration::from_millis(150);

/// Everything that was broken.
pub(crate) fn violations(plan: &Plan, life: &History) -> Vec<(Violation, String)> {
    let mut found = Vec::new();
    if life.died_early() {
        return found;
    }
    if life.sent.is_empty() {
        return vec![(Violation::EarlyDeath, "ended by itself".to_owned())];
    }
    if life.took >= plan.timeout + life.lateness {
        found.push((Violation::Late, format!("{:?} of {:?}", life.took, plan.timeout)));
    } else if life.status < 0 {
        found.push((Violation::EarlyDeath, format!("ended by signal {}", -life.status)));
    }
    if life.status < 0 {
        return found;
    }
    if life.child_left {
        found.push((Violation::ChildLeft, String::new()));
    }
    if life.port_open {
        found.push((Violation::PortOpen, String::new()));
    }
    init(life, &mut found);
    finalizers(plan, life, &mut found);
    intake(life, &mut found);
    sections(life, &mut found);
    match life.report() {
        Some(report) => told(plan, life, &report, &mut found),
        None => found.push((Violation::NoReport, String::new())),
    }
    not_forced(life, &mut found);
    found
}

type Found = Vec<(Violation, String)>;

fn init(life: &History, found: &mut Found) {
    let (begin, end) = (life.all("init.begin").count(), life.place("init.end"));
    let follows = life.place("final").or_else(|| life.place("run.begin"));
    if begin != 1 || end.is_none() || end > follows {
        found.push((Violation::InitCut, format!("begun {begin} times, ended at {end:?}")));
    }
}

fn finalizers(plan: &Plan, life: &History, found: &mut Found) {
    let mut expected = life.objects("register");
    // Registered as init ends, before `main` can register any.
    let before_main = expected.iter().filter(|name| ["child", "slow"].contains(name)).count();
    if life.place("init.end").is_some() {
        expected.insert(before_main, "finalize");
    }
    expected.reverse();
    let (begun, ended) = (life.objects("final"), life.objects("finalized"));
    let to_end: Vec<_> =
        expected.iter().copied().filter(|&name| name != "last" || !plan.panics).collect();
    let counts = |names: &[&str]| {
        let mut names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        names.sort();
        names
    };
    if counts(&begun) != counts(&expected) || counts(&ended) != counts(&to_end) {
        let message = format!("expected {expected:?}, begun {begun:?}, ended {ended:?}");
        found.push((Violation::FinalizerCount, message));
    }
    if counts(&begun) == counts(&expected) && begun != expected {
        found.push((Violation::FinalizerOrder, format!("{begun:?} instead of {expected:?}")));
    }
}

/// What knocks after the program has said that it drains is refused.
fn intake(life: &History, found: &mut Found) {
    let drain = life.place("drain.begin").unwrap_or(life.steps.len());
    let late = life.steps[drain..].iter().filter(|step| step.text.starts_with("knock "));
    for knock in late.filter(|knock| life.has("accept", knock.object())) {
        found.push((Violation::WorkLetIn, knock.text.clone()));
    }
}

/// Shields and scopes.
fn sections(life: &History, found: &mut Found) {
    for shield in life.all("shield").filter(|step| !life.has("shielded", step.object())) {
        found.push((Violation::ShieldCut, shield.text.clone()));
    }
    let Some(told) = life.place("back.told") else { return };
    let (before, after) = life.steps.split_at(told);
    let is_over = |id: &str| {
        before.iter().any(|step| {
            step.object() == id
                && (step.text.starts_with("end ") || step.text.starts_with("aborted "))
        })
    };
    let front = life.all("accept").filter(|step| step.text.ends_with(" front"));
    for work in front.filter(|work| !is_over(work.object())) {
        let message = format!("{} of {} steps later", work.text, after.len());
        found.push((Violation::ScopeOrder, message));
    }
}

/// What the report and the exit status say of the work and the signals.
fn told(plan: &Plan, life: &History, report: &Value, found: &mut Found) {
    let stragglers = report["stragglers"].as_array().map(Vec::as_slice).unwrap_or_default();
    lost(life, stragglers, found);
    signals(life, report, found);
    let left_behind = |hook: &Value| hook["end"] == "LeftBehind";
    if report["finalizers"].as_array().is_none_or(|hooks| hooks.iter().any(left_behind)) {
        found.push((Violation::FinalizerCount, report["finalizers"].to_string()));
    }
    let forced = !stragglers.is_empty();
    let runs_main = life.place("run.begin").is_some();
    if forced && !may_be_forced(plan, life) {
        found.push((Violation::Forced, report["stragglers"].to_string()));
    }
    let first = life.sent.iter().filter(|sent| sent.from <= life.sent[0].to + SLACK);
    let allowed: Vec<_> = match (plan.panics && runs_main, forced) {
        (true, _) => vec![101],
        (false, true) => first.map(|sent| 128 + sent.signal as i32).collect(),
        (false, false) => vec![0],
    };
    if !allowed.contains(&life.status) || report["exit_status"] != life.status {
        let message = format!("{} instead of {allowed:?}", life.status);
        found.push((Violation::Status, message));
    }
}

/// Work that has no end is in the report: under its name, or as the guard or the closure that was left behind.
fn lost(life: &History, stragglers: &[Value], found: &mut Found) {
    let named = |id: &str| stragglers.iter().any(|it| it["name"] == format!("work {id}"));
    let guards = stragglers.iter().filter(|it| it["kind"] == "Guard").count();
    let accepted = life.all("accept").map(Step::object);
    let lost: Vec<_> = accepted.filter(|id| !life.has("end", id) && !named(id)).collect();
    if lost.len() > guards {
        let message = format!("work {lost:?}, but {guards} guards are reported");
        found.push((Violation::WorkLost, message));
    }
}

/// What came in time is in the report, and nothing else.
fn signals(life: &History, report: &Value, found: &mut Found) {
    let told = report["signals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told: Vec<_> = told.iter().map(|it| it["signal"].to_string()).collect();
    let name = |sent: &Sent| format!("{:?}", sent.signal.as_str().trim_start_matches("SIG"));
    let over = life.all("finalized").last().map(|step| step.at).unwrap_or_default();
    let in_time = life.sent.iter().filter(|sent| sent.to + SLACK < over);
    let missing: Vec<_> = in_time.map(name).filter(|name| !told.contains(name)).collect();
    let known: Vec<_> = life.sent.iter().map(name).collect();
    if !missing.is_empty() || told.iter().any(|name| !known.contains(name)) {
        found.push((Violation::SignalMissing, format!("{missing:?} of {known:?} in {told:?}")));
    }
}

/// By the deadline, or by a stop signal after init, and not right after the first.
fn may_be_forced(plan: &Plan, life: &History) -> bool {
    let first = &life.sent[0];
    let init = life.time("init.end").unwrap_or_default();
    let over = life.time("final").unwrap_or(Duration::MAX);
    let again = |sent: &Sent| {
        sent.from + SLACK >= first.from + SAME_WISH && sent.from + SLACK >= init && sent.from < over
    };
    over >= first.from + plan.drain || life.sent[1..].iter().any(again)
}

/// A second stop signal, beyond doubt, ends what can be aborted.
fn not_forced(life: &History, found: &mut Found) {
    let first = &life.sent[0];
    let init = life.time("init.end").unwrap_or(Duration::MAX);
    let beyond_doubt = |sent: &&Sent| {
        sent.from >= first.to + SAME_WISH + SLACK && sent.from >= init.saturating_add(SLACK)
    };
    let Some(second) = life.sent[1..].iter().find(beyond_doubt) else { return };
    let abortable = |id: &str| {
        let accept = life.all("accept").find(|step| step.object() == id);
        accept
            .is_some_and(|it| ["task", "front", "busy"].iter().any(|kind| it.text.ends_with(kind)))
    };
    let ends = life.all("end").chain(life.all("aborted"));
    for late in ends.filter(|it| it.at > second.to + ABORT && abortable(it.object())) {
        found
            .push((Violation::NotForced, format!("{} {:?} later", late.text, late.at - second.to)));
    }
}
