//! A job service with axum and an SQLite file. When it stops, it loses no job that it has acknowledged.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 01_quickstart
//! listening on http://127.0.0.1:8080
//! ```
//!
//! `QUICKSTART_ADDRESS` sets another address, and `QUICKSTART_DB` a file other than `quickstart.db` in the temporary folder. In a second terminal, type
//!
//! ```text
//! $ curl -i -X PUT -d 'water the plants' 127.0.0.1:8080/jobs/1             # 200: it is in the file
//! $ curl -i -X PUT -d 'feed the cat' 127.0.0.1:8080/jobs/2/later/60000     # 202: it will be in a minute
//! $ curl -i 127.0.0.1:8080/readyz                                          # 200: the check of a balancer
//! $ curl -i -X PUT -d 'bake the bread' 127.0.0.1:8080/jobs/3/slow/5000     # 200, after five seconds
//! ```
//!
//! and press Ctrl+C in the first terminal while the last `curl` waits. From then on new connections are refused. Job 2 is written at once, the `curl` gets
//! its 200, the store is closed, and the exit status is 0. The log, shortened:
//!
//! ```text
//! ^C signal received signal=INT
//! draining cause=signal INT left=2 remaining=7.5s
//! waiting for http 127.0.0.1:51234 PUT /jobs/3/slow/5000 (3.0s), main (9.6s) remaining=6.5s
//! finalizing left=0
//! closed the store with 3 jobs in it
//! stopped: signal INT; drained 4 in 3.0s, finalized in 16ms, exit status 0
//! ```
//!
//! The four pieces of work that were drained are job 2, the last `curl`, and their two writes. If you press Ctrl+C once more during the drain, or let `slow`
//! take a minute, the `curl` is cut and job 3 is never acknowledged. The store is closed all the same, and the exit status is 130.

use std::{env, io, io::Write, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, put},
};
use graceful::Shutdown;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::{sync::Mutex, time::sleep};

/// The state that the handlers share. The store is `None` once it is closed.
#[derive(Clone)]
struct App {
    store: Arc<Mutex<Option<Connection>>>,
}

async fn init() -> anyhow::Result<App> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let path = env::var_os("QUICKSTART_DB")
        .map_or_else(|| env::temp_dir().join("quickstart.db"), Into::into);
    let store =
        Connection::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    store.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL; -- what is committed is on the disk
         CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, body TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS log (job TEXT NOT NULL, at TEXT DEFAULT CURRENT_TIMESTAMP);",
    )?;
    Ok(App { store: Arc::new(Mutex::new(Some(store))) })
}

#[graceful::main(timeout = "10s", signals = [TERM, INT, HUP], init = init, finalize = finalize)]
async fn main(app: &App, shutdown: Shutdown) -> anyhow::Result<()> {
    let address = env::var("QUICKSTART_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = shutdown.listen("http", address).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let health = graceful::http::health(&shutdown);
    let routes = Router::new()
        .route_service("/livez", health.clone())
        .route_service("/readyz", health)
        .route("/jobs", get(count))
        .route("/jobs/{id}", get(read).put(write))
        .route("/jobs/{id}/slow/{ms}", put(write_slowly))
        .route("/jobs/{id}/later/{ms}", put(write_later))
        .with_state(app.clone());
    // Returns when all connections have ended. Each request is work in flight that the drain waits for and the log names.
    graceful::http::serve(listener, routes, &shutdown).await?;
    Ok(())
}

/// Runs after the drain, when no handler writes any more.
async fn finalize(app: App) -> anyhow::Result<()> {
    let store = app.store.lock().await.take().context("the store is closed already")?;
    store.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let jobs: u64 = store.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))?;
    store.close().map_err(|(_, error)| error)?;
    writeln!(io::stderr(), "closed the store with {jobs} jobs in it")?;
    Ok(())
}

/// Answers 200 once the job is committed.
async fn write(State(app): State<App>, Path(id): Path<String>, body: String) -> Answer {
    app.write(id, body).await
}

/// A request that is in flight for `ms`.
async fn write_slowly(
    State(app): State<App>,
    Path((id, ms)): Path<(String, u64)>,
    body: String,
) -> Answer {
    sleep(Duration::from_millis(ms)).await;
    app.write(id, body).await
}

/// Answers 202: the job is accepted, and the program does not stop before it is written.
async fn write_later(
    State(app): State<App>,
    Path((id, ms)): Path<(String, u64)>,
    body: String,
) -> StatusCode {
    let shutdown = Shutdown::current();
    // The guard is held until the task is counted, so that there is no moment in which the drain could miss the job.
    let Some(_guard) = shutdown.try_guard() else { return StatusCode::SERVICE_UNAVAILABLE };
    shutdown.task(format!("write job {id}")).spawn(async move {
        // The drain waits for the write, but not for the rest of the delay.
        Shutdown::current().until_requested(sleep(Duration::from_millis(ms))).await;
        app.write(id, body).await
    });
    StatusCode::ACCEPTED
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Answer<(StatusCode, String)> {
    let select = "SELECT body FROM jobs WHERE id = ?1";
    let body = app
        .with_store(move |store| store.query_row(select, [id], |row| row.get(0)).optional())
        .await?;
    Ok(body.map_or_else(|| (StatusCode::NOT_FOUND, String::new()), |body| (StatusCode::OK, body)))
}

async fn count(State(app): State<App>) -> Answer<String> {
    let count: u64 = app
        .with_store(|store| store.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)))
        .await?;
    Ok(count.to_string())
}

/// The answer of a handler: 200, or 500 with the error.
type Answer<T = ()> = Result<T, (StatusCode, String)>;

impl App {
    /// Writes the job and its log entry, or neither.
    async fn write(&self, id: String, body: String) -> Answer {
        self.with_store(move |store| {
            let transaction = store.transaction()?;
            transaction.execute(
                "INSERT OR REPLACE INTO jobs (id, body) VALUES (?1, ?2)",
                params![id, body],
            )?;
            transaction.execute("INSERT INTO log (job) VALUES (?1)", [id])?;
            transaction.commit()
        })
        .await
    }

    /// Runs `f` outside of the async threads, because SQLite blocks. It is tracked, so that it runs to its end even if the client has hung up.
    async fn with_store<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        let work = move || {
            let mut store = store.blocking_lock();
            Ok(work(store.as_mut().context("the store is closed")?)?)
        };
        let done = Shutdown::current().spawn_blocking(work).await;
        let done: anyhow::Result<T> = done.unwrap_or_else(|error| Err(error.into()));
        done.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))
    }
}
