//! x
use graceful::{Builder, Shutdown};
use std::time::Instant;
fn rss() -> f64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
fn main() {
    let _ = Builder::new().run(async |shutdown: Shutdown| {
        for _ in 0..3 {
            let b = Instant::now();
            for _ in 0..200_000 {
                let s = shutdown.scope("session");
                drop(s.guard());
            }
            println!("scope: {:.0} ns", b.elapsed().as_nanos() as f64 / 200_000.0);
            let b = Instant::now();
            for _ in 0..20_000 {
                let s = shutdown.scope("session");
                let t = s.spawn(async {});
                drop(s);
                t.await.unwrap();
            }
            println!(
                "scope with a task, handle dropped first: {:.0} ns",
                b.elapsed().as_nanos() as f64 / 20_000.0
            );
            let b = Instant::now();
            for _ in 0..20_000 {
                let t = shutdown.spawn(async {});
                t.await.unwrap();
            }
            println!("task only: {:.0} ns", b.elapsed().as_nanos() as f64 / 20_000.0);
            let b = Instant::now();
            for _ in 0..20_000 {
                let s = shutdown.scope("session");
                s.request("x");
                s.drained().await;
            }
            println!(
                "scope requested, drained: {:.0} ns",
                b.elapsed().as_nanos() as f64 / 20_000.0
            );
        }
        for _ in 0..3 {
            let a = rss();
            let scopes: Vec<_> = (0..20_000)
                .map(|_| {
                    let s = shutdown.scope("session");
                    drop(s.guard());
                    s
                })
                .collect();
            println!("living scope: {:.0} B", (rss() - a) * 1024.0 / 20_000.0);
            drop(scopes);
        }
        let scopes: Vec<_> = (0..20_000).map(|_| shutdown.scope("session")).collect();
        let guards: Vec<_> = scopes.iter().map(|s| s.guard()).collect();
        let b = Instant::now();
        shutdown.request("x");
        println!("request of 20,000: {:?}", b.elapsed());
        let b = Instant::now();
        drop(guards);
        println!("drain of 20,000: {:?}", b.elapsed());
        drop(scopes);
        // on another thread
    });
    let _ = shutdown_other();
}
fn shutdown_other() {}
