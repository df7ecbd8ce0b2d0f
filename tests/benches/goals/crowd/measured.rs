//! What is measured of a crowd, the same way for all.

use std::{
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use graceful_tests::say;
use tokio::time::sleep;

/// Tasks that wait to be told.
pub(super) trait Crowd: Send {
    /// Spawns one that calls [`here`] and waits.
    fn one_more(&mut self);

    fn tell(&mut self);

    /// Waits until all have ended.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
}

/// How many have begun to wait. Relaxed, because nothing hangs on it but when to look.
static HERE: AtomicUsize = AtomicUsize::new(0);

/// What the process had before the crowd, and what the crowd took, in KiB.
static MEMORY: OnceLock<(f64, f64)> = OnceLock::new();

/// How long after its first poll even the last one waits, or after its end its memory is given back.
const SETTLED: Duration = Duration::from_millis(200);

pub(super) fn here() {
    HERE.fetch_add(1, Ordering::Relaxed);
}

/// Prints what so many cost, for the parent to read.
pub(super) async fn measure(crowd: &mut impl Crowd, tasks: usize) {
    let before = resident();
    let begin = Instant::now();
    (0..tasks).for_each(|_| crowd.one_more());
    let spawned = begin.elapsed();
    while HERE.load(Ordering::Relaxed) < tasks {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(SETTLED).await;
    let taken = resident() - before;
    let begin = Instant::now();
    crowd.tell();
    let told = begin.elapsed();
    crowd.gone().await;
    let gone = begin.elapsed();
    sleep(SETTLED).await;
    let kept = resident() - before;
    give_back();
    let held = resident() - before;
    say(format_args!("spawn\t{}\tns", spawned.as_secs_f64() * 1e9 / tasks as f64));
    say(format_args!("bytes a task\t{}\tB", taken * 1024.0 / tasks as f64));
    say(format_args!("told\t{}\tms", told.as_secs_f64() * 1e3));
    say(format_args!("told and gone\t{}\tms", gone.as_secs_f64() * 1e3));
    say(format_args!("memory kept\t{}\t%", kept / taken * 100.0));
    say(format_args!("memory held\t{}\t%", held / taken * 100.0));
    MEMORY.get_or_init(|| (before, taken));
}

/// Prints what the process still has when the runtime, and with it whatever the library knew of the crowd, is gone.
pub(super) fn measure_the_end() {
    thread::sleep(SETTLED);
    give_back();
    let (before, taken) = MEMORY.get().expect("the crowd was measured");
    let held = resident() - before;
    say(format_args!("memory held at the end\t{}\t%", held / taken * 100.0));
}

/// Has the allocator give back what is free. By itself it does so only above the last piece in use, and which one that is, is chance.
#[expect(unsafe_code, reason = "the allocator is C's")]
pub(crate) fn give_back() {
    // SAFETY: it has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// The memory that the process has, in KiB.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
