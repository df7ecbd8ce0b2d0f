//! Recording errors and panics, and reporting them.

use std::process::ExitCode;

use tokio::time::Instant;
use tracing::Level;

use crate::{
    model::{
        lifecycle::Event,
        report::{Cause, FinalizerEnd, Report, Verdict},
        sanitize,
    },
    program::{history::Ends, state::Program},
    tracking::{label::Label, listener::Listener},
};

impl Program {
    /// Records an error. It makes the exit status 1 if it `counts`.
    pub(crate) fn failed(&self, name: &str, error: String, counts: bool) {
        self.life.lock().history.failed(name, error, counts);
        self.publish_status();
    }

    /// Records a panic. It makes the exit status 101 if it `counts`.
    pub(crate) fn panicked(&self, name: &str, message: String, counts: bool) {
        self.life.lock().history.panicked(name, message, counts);
        self.publish_status();
    }

    /// Records the exit code that `main` returned.
    pub(crate) fn returned(&self, code: ExitCode) {
        self.life.lock().history.verdict.code = Some(code);
    }

    /// Records that the deadline of a request dropped `init`. That counts as forced even if nothing else was left behind.
    pub(crate) fn forced(&self) {
        self.life.lock().history.verdict.forced = true;
    }

    /// Gives the supervisor the exit status to use if it has to end the process now. Ending early leaves work unfinished, so the
    /// status is that of a forced stop.
    pub(crate) fn publish_status(&self) {
        let life = self.life.lock();
        let verdict = Verdict { forced: true, ..life.history.verdict };
        let is_final = life.history.is_reported;
        if let (Some(_), false, Some(supervisor)) = (&life.stop, is_final, self.supervisor.get()) {
            supervisor.status(verdict.status());
        }
    }

    /// Gives the supervisor the final exit status, that of the exit report.
    pub(crate) fn leaves_with(&self, status: u8) {
        let mut life = self.life.lock();
        life.history.is_reported = true;
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.status(status);
        }
    }

    /// The report as of now.
    pub(crate) fn report(&self) -> Report {
        let ends = Ends {
            finalizers: self.finalizers.reports(),
            stragglers: self.tracker.stragglers(),
            drained: self.tracker.drained(),
            is_forced: self.tracker.is_forced(),
        };
        let life = self.life.lock();
        let cause = life.stop.as_ref().map_or(Cause::MainReturned, |stop| stop.cause.clone());
        let report = life.history.report(cause, ends, Instant::now());
        drop(life);
        report.shown()
    }

    /// The `Debug` texts of the errors that make the exit status 1.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures: Vec<_> = self.life.lock().history.failures().map(str::to_owned).collect();
        let finalizers = self.finalizers.reports().into_iter();
        let failed = finalizers.filter(|finalizer| finalizer.end == FinalizerEnd::Failed);
        failures.extend(failed.filter_map(|finalizer| finalizer.error));
        failures
    }

    fn essential_ended(&self, name: String) {
        self.on(Event::EssentialEnded, || Cause::EssentialEnded(name));
    }
}

impl Listener for Program {
    fn task_ended(&self, label: &Label, is_essential: bool, error: Option<String>) {
        let name = label.name();
        if let Some(error) = &error {
            self.failed(&name, error.clone(), is_essential);
        }
        if is_essential {
            self.essential_ended(name.clone());
        }
        if let Some(error) = error {
            let (location, error) = (label.location, sanitize::message(error));
            self.log_thread.event(Level::ERROR, move || {
                tracing::error!(target: "graceful", task = %name, %location, %error, "task failed");
            });
        }
    }

    fn task_panicked(&self, label: &Label, is_essential: bool, message: String) {
        let name = label.name();
        self.panicked(&name, message.clone(), is_essential);
        if is_essential {
            self.essential_ended(name.clone());
        }
        let (location, message) = (label.location, sanitize::message(message));
        self.log_thread.event(Level::ERROR, move || {
            tracing::error!(target: "graceful", task = %name, %location, %message, "task panicked");
        });
    }
}
