//! The settings of the attribute or the [`Builder`](crate::Builder), checked as a whole, and the deadlines that follow from them.

use std::{env, fmt::Debug, time::Duration};

use tokio::time::Instant;

use crate::model::{panics::quietly, sanitize, signal::Signals};

/// How a program restarts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Restart {
    /// `Exec` as PID 1, whose exit would end the container; otherwise `Handoff`. This is the default.
    #[default]
    Auto,
    /// The process executes the new program in place.
    Exec,
    /// A new process is started beside the old one, which hands its listeners over.
    Handoff,
}

/// When a program becomes ready.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Readiness {
    /// When `init` has returned. This is the default.
    #[default]
    Auto,
    /// When the program calls [`Shutdown::ready`](crate::Shutdown::ready).
    Manual,
}

/// The clock and the threads that a program uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClockMode {
    /// Real time, with threads of the library.
    Real,
    /// Tokio's paused clock; everything runs on the program's runtime.
    Paused,
}

/// The settings of a program.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) finalize_timeout: Option<Duration>,
    pub(crate) lame_duck: Duration,
    pub(crate) init_timeout: Option<Duration>,
    pub(crate) restart_timeout: Option<Duration>,
    pub(crate) signals: Signals,
    pub(crate) restart: Restart,
    pub(crate) readiness: Readiness,
    pub(crate) progress: bool,
    pub(crate) env: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            finalize_timeout: None,
            lame_duck: Duration::ZERO,
            init_timeout: None,
            restart_timeout: None,
            signals: Signals::new(),
            restart: Restart::Auto,
            readiness: Readiness::Auto,
            progress: true,
            env: Some("GRACEFUL".to_owned()),
        }
    }
}

impl Settings {
    /// Applies the environment variables.
    ///
    /// # Errors
    ///
    /// Returns a message with the variable, its value, and the accepted form.
    pub(crate) fn with_environment(mut self) -> Result<Self, String> {
        let Some(prefix) = self.env.clone() else { return Ok(self) };
        let read = |name: &str, zero| duration_from(&format!("{prefix}_{name}"), zero);
        self.timeout = read("TIMEOUT", Zero::Refused)?.unwrap_or(self.timeout);
        self.finalize_timeout = read("FINALIZE_TIMEOUT", Zero::Refused)?.or(self.finalize_timeout);
        self.lame_duck = read("LAME_DUCK", Zero::Allowed)?.unwrap_or(self.lame_duck);
        self.init_timeout = read("INIT_TIMEOUT", Zero::Refused)?.or(self.init_timeout);
        self.restart_timeout = read("RESTART_TIMEOUT", Zero::Refused)?.or(self.restart_timeout);
        Ok(self)
    }

    /// Checks each setting and their combination.
    ///
    /// # Errors
    ///
    /// Returns a message with the settings and values that are out of range or do not fit together.
    pub(crate) fn check(self) -> Result<Self, String> {
        let given = [
            ("timeout", Some(self.timeout)),
            ("finalize_timeout", self.finalize_timeout),
            ("init_timeout", self.init_timeout),
            ("restart_timeout", self.restart_timeout),
        ];
        for (name, value) in given {
            match value {
                Some(Duration::ZERO) => return Err(format!("{name} is 0s; it must be longer")),
                Some(value) if value > LONGEST => {
                    return Err(format!("{name} is {value:?}; at most 365 days are accepted"));
                }
                _ => {}
            }
        }
        let (finalize, lame_duck) = (self.finalize_timeout(), self.lame_duck);
        if lame_duck >= self.timeout || finalize >= self.timeout - lame_duck {
            return Err(format!(
                "finalize_timeout ({finalize:?}) + lame_duck ({lame_duck:?}) must be less than timeout ({:?})",
                self.timeout
            ));
        }
        Ok(self)
    }

    /// The end of the budget that is reserved for shields and finalizers.
    pub(crate) fn finalize_timeout(&self) -> Duration {
        self.finalize_timeout.unwrap_or_else(|| (self.timeout / 4).min(Duration::from_secs(5)))
    }

    /// The time from the request to the last exit.
    pub(crate) fn until_last_exit(&self) -> Duration {
        self.timeout - margin(self.timeout)
    }

    /// The deadlines of a stop that is requested at `at`.
    pub(crate) fn budget(&self, at: Instant) -> Budget {
        let margin = margin(self.timeout);
        let last_exit = at + self.until_last_exit();
        let force = at + (self.timeout - self.finalize_timeout());
        Budget { force: force.min(last_exit - margin), report: last_exit - margin / 2, last_exit }
    }

    /// The deadlines if `init` fails at `at` without a request: `finalize_timeout` is the whole budget.
    pub(crate) fn budget_after_failure(&self, at: Instant) -> Budget {
        let whole = self.finalize_timeout();
        let margin = margin(whole);
        let last_exit = at + (whole - margin);
        Budget { force: at + GRACE.min(whole / 4), report: last_exit - margin / 2, last_exit }
    }
}

/// How much earlier than the end of the budget the process exits, so that it is gone in time: 2 %, between 50 and 500 ms, because a busy machine needs that
/// to wake a thread and remove a process; at most a quarter of the budget.
fn margin(whole: Duration) -> Duration {
    (whole / 50).clamp(Duration::from_millis(50), Duration::from_millis(500)).min(whole / 4)
}

/// The deadlines of a stop, which hold whatever user code does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The drain ends by force.
    pub(crate) force: Instant,
    /// Finalizers that still run are left behind, and the report is made.
    pub(crate) report: Instant,
    /// The supervisor ends the process.
    pub(crate) last_exit: Instant,
}

/// Whether a setting may be zero.
enum Zero {
    Allowed,
    Refused,
}

/// Reads a duration from an environment variable; `None` if it is not set.
fn duration_from(variable: &str, zero: Zero) -> Result<Option<Duration>, String> {
    let Some(value) = env::var_os(variable) else { return Ok(None) };
    let expected = r#"expected a duration with a unit, such as "30s", "500ms" or "1m 30s""#;
    let given =
        |value: &dyn Debug| format!("{variable}={}", sanitize::name(format_args!("{value:?}")));
    let value =
        value.into_string().map_err(|raw| format!("{} is not text; {expected}", given(&raw)))?;
    let duration = parse_duration(&value)
        .ok_or_else(|| format!("{} is not a duration; {expected}", given(&value)))?;
    match (duration, zero) {
        (Duration::ZERO, Zero::Refused) => {
            Err(format!("{} is zero; it must be longer", given(&value)))
        }
        (d, _) if d > LONGEST => {
            Err(format!("{} is too long; at most 365 days are accepted", given(&value)))
        }
        _ => Ok(Some(duration)),
    }
}

/// The duration that a text denotes. humantime 2.4 panics if the sum of two parts overflows; such a text denotes the longest duration.
fn parse_duration(text: &str) -> Option<Duration> {
    let parsed = quietly(|| humantime::parse_duration(text).ok());
    parsed.unwrap_or(Some(Duration::MAX))
}

/// The time that a force before `Draining` grants to running work, so that the work sees the request and may end by itself. Also the time after a request in
/// which a stop signal is the same request and not a force, because a terminal and a supervisor may both signal the process group.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// How often the driver wakes up by itself during a stop, to log the progress and to check the deadlines.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// The default grace period of Kubernetes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest duration that is accepted. A longer one is a mistake, and could overflow an `Instant`.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long to wait for a thread that should return at once: a quarter of the time left, at most half a second. A thread that only waits for a processor
/// needs less than that.
pub(crate) fn patience(now: Instant, end: Instant) -> Duration {
    (end.saturating_duration_since(now) / 4).min(Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(timeout: u64, finalize: Option<u64>, lame_duck: u64) -> Settings {
        Settings {
            timeout: Duration::from_millis(timeout),
            finalize_timeout: finalize.map(Duration::from_millis),
            lame_duck: Duration::from_millis(lame_duck),
            ..Settings::default()
        }
    }

    #[test]
    fn a_sum_that_overflows_is_too_long() {
        assert_eq!(parse_duration("18446744073709551615s 1000ms"), Some(Duration::MAX));
        assert_eq!(parse_duration("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("half an hour"), None);
    }

    #[test]
    fn the_settings_must_leave_time_for_the_drain() {
        assert!(settings(1000, Some(400), 599).check().is_ok());
        for bad in [
            settings(1000, Some(400), 600),
            settings(1000, None, 2000),
            settings(1000, Some(1000), 0),
        ] {
            let message = bad.check().unwrap_err();
            assert!(
                message.contains("finalize_timeout (") && message.contains("lame_duck ("),
                "{message}"
            );
        }
    }

    #[test]
    fn the_deadlines_are_in_order_whatever_the_budget() {
        let at = Instant::now();
        for timeout in [1, 10, 99, 100, 200, 1000, 3000, 30_000, 900_000] {
            for finalize in [None, Some(1), Some(timeout / 2), Some(timeout - 1)] {
                let Ok(settings) = settings(timeout, finalize, 0).check() else { continue };
                let budget = settings.budget(at);
                assert!(at <= budget.force, "{settings:?}");
                assert!(budget.force < budget.report, "{settings:?}");
                assert!(budget.report < budget.last_exit, "{settings:?}");
                assert!(budget.last_exit < at + settings.timeout, "{settings:?}");
            }
        }
    }

    #[test]
    fn the_last_exit_is_two_percent_early() {
        let at = Instant::now();
        let margin =
            |ms| at + Duration::from_millis(ms) - settings(ms, None, 0).budget(at).last_exit;
        assert_eq!(margin(1000), Duration::from_millis(50));
        assert_eq!(margin(10_000), Duration::from_millis(200));
        assert_eq!(margin(90_000), Duration::from_millis(500));
    }
}
