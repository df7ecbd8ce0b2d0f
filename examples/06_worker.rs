//! A worker without HTTP: jobs come in, are checked on a processor each, and are written down. Nothing that was taken is lost.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 06_worker
//! job 1: 6 prime numbers below 16
//! job 2: 11 prime numbers below 32
//! ^C
//! 2 jobs are done, and 0 wait
//! saved 2 results
//! ```
//!
//! Two scopes drain one after the other: `workers` comes after `intake`, so the workers go on until no job can come any more. Then the finalizer
//! saves what they have found. With `WORKER_LOG=file` the log goes to that file, by a thread that `at_exit` waits for.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{
    env, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use graceful::Shutdown;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// What the workers have found: the job, and how many prime numbers.
type Results = Arc<Mutex<Vec<(u64, usize)>>>;

/// How many jobs wait at most; more are not taken.
const WAITING: usize = 16;

#[graceful::main(timeout = "30s")]
async fn main(shutdown: Shutdown) -> io::Result<()> {
    log_to_file(&shutdown)?;
    let results = Results::default();
    save_at_the_end(&shutdown, &results);
    let intake = shutdown.scope("intake");
    let workers = shutdown.scope("workers").after(&intake);
    let (sender, jobs) = channel(WAITING);
    take_jobs(&intake, sender);
    work(&workers, jobs, results);
    shutdown.requested().await;
    Ok(())
}

/// Takes a job every 200 ms, until the stop. A run that is under way then is waited for.
fn take_jobs(intake: &Shutdown, sender: Sender<u64>) {
    let mut number = 0;
    intake.every(Duration::from_millis(200), move || {
        number += 1;
        let (sender, job) = (sender.clone(), number);
        // An error says that the worker has ended, which stops the program.
        async move { _ = sender.send(job).await }
    });
}

/// Does one job after the other. `workers` is asked to stop when `intake` has drained; by then every job is in the channel, and the loop ends when it is
/// empty.
fn work(workers: &Shutdown, mut jobs: Receiver<u64>, results: Results) {
    let scope = workers.clone();
    workers.task("worker").essential().spawn(async move {
        let mut done = 0;
        while let Some(Some(job)) = scope.until_requested(jobs.recv()).await {
            // A thread of the blocking pool, so that the tasks of the runtime go on meanwhile. The drain waits for it.
            let bound = 8 << job.min(20);
            let found = scope.spawn_blocking(move || primes_below(bound)).await.unwrap_or_default();
            println!("job {job}: {found} prime numbers below {bound}");
            results.lock().expect("nobody panics with it").push((job, found));
            done += 1;
        }
        println!("{done} jobs are done, and {} wait", jobs.len());
    });
}

fn primes_below(bound: u64) -> usize {
    (2..bound).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

/// Runs when the drain is over, whatever has ended it.
fn save_at_the_end(shutdown: &Shutdown, results: &Results) {
    let results = Arc::clone(results);
    shutdown.finalizer("save", async move || {
        let results = results.lock().expect("nobody panics with it").len();
        println!("saved {results} results");
    });
}

/// A log guard belongs to `at_exit`: then the log has the report as well.
fn log_to_file(shutdown: &Shutdown) -> io::Result<()> {
    let Some(path) = env::var_os("WORKER_LOG") else {
        tracing_subscriber::fmt().with_writer(io::stderr).init();
        return Ok(());
    };
    let file = Arc::new(std::fs::File::create(path)?);
    tracing_subscriber::fmt().with_writer(Arc::clone(&file)).with_ansi(false).init();
    shutdown.at_exit(move |_report| drop(file.sync_all()));
    Ok(())
}
