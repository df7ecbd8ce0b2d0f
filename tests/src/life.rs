//! A life inside of the test's own process: on a paused clock, without real signals, and any number of them side by side.
//!
//! For a test that needs no more than the handle there is `#[graceful::test]`; this is for those that look at the report or at the log.

use std::{
    io,
    process::ExitCode,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use graceful::{Builder, Report, Shutdown};
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// Lives a life with the defaults of the builder, and gives its report.
///
/// # Panics
///
/// If the exit status is another than the one in the report.
pub fn report_of(main: impl AsyncFnOnce(Shutdown)) -> Report {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let status = Builder::new().test(async move |shutdown: Shutdown| {
        shutdown.at_exit(move |report| *keep.lock().expect("no panic") = Some(report.clone()));
        main(shutdown).await;
    });
    let report = seen.lock().expect("no panic").take().expect("at_exit ran");
    assert_eq!(status, ExitCode::from(report.exit_status));
    report
}

/// What this thread logs.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what this thread logs, until the guard is dropped.
    #[must_use]
    pub fn start() -> (Self, DefaultGuard) {
        // While there is only one subscriber, `tracing` asks that of the thread which comes to a place first whether anybody wants what is
        // logged there. That may be a thread of another test, which has none; with a second subscriber it asks all of them.
        static SECOND: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
        LazyLock::force(&SECOND);
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        (log, set_default(subscriber))
    }

    /// All that was logged so far.
    ///
    /// # Panics
    ///
    /// If it is no text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("a text")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
