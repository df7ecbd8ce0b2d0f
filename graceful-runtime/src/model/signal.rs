//! Signals and their roles.

use std::fmt;

/// A signal that a process can catch, named as in the shell without `SIG`.
///
/// `KILL` and `STOP` cannot be caught and have no name here. Neither have the signals of program faults (`SEGV`, `BUS`, `FPE`, `ILL`, `ABRT`, `TRAP`,
/// `SYS`), nor `CHLD`, which tokio uses for child processes. A signal has a name here if the target system has it.
///
/// # Example
///
/// ```
/// use graceful::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "TERM");
/// assert_eq!(Signal::TERM.number(), 15);
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Signal(i32);

macro_rules! signals {
    ($($(#[$condition:meta])? $name:ident = $number:ident, $doc:literal;)*) => {
        #[allow(missing_docs, reason = "each has a doc; the lint does not see it through the macro")]
        impl Signal {
            $($(#[$condition])? #[doc = $doc] pub const $name: Self = Self(libc::$number);)*
        }

        const NAMES: &[(Signal, &str)] =
            &[$($(#[$condition])? (Signal::$name, stringify!($name)),)*];
    };
}

signals! {
    ALRM = SIGALRM, "The timer of `alarm(2)` has expired.";
    CONT = SIGCONT, "Continues a stopped process.";
    HUP = SIGHUP, "The terminal was closed. By convention a request to reload.";
    INT = SIGINT, "Ctrl+C.";
    IO = SIGIO, "A file descriptor is ready.";
    PIPE = SIGPIPE, "A write to a pipe without a reader. std ignores it at startup, so it never arrives.";
    PROF = SIGPROF, "The profiling timer has expired.";
    #[cfg(any(target_os = "android", target_os = "linux"))]
    PWR = SIGPWR, "A power failure. Only Linux and Android have this signal.";
    QUIT = SIGQUIT, "Ctrl+\\.";
    TERM = SIGTERM, "The request to stop that `kill`, systemd, Docker and Kubernetes send.";
    TSTP = SIGTSTP, "Ctrl+Z.";
    TTIN = SIGTTIN, "A background process reads from the terminal.";
    TTOU = SIGTTOU, "A background process writes to the terminal.";
    URG = SIGURG, "Urgent data on a socket.";
    USR1 = SIGUSR1, "Free for the program.";
    USR2 = SIGUSR2, "Free for the program.";
    VTALRM = SIGVTALRM, "The virtual timer has expired.";
    WINCH = SIGWINCH, "The size of the terminal has changed. By Apache's convention a request to stop.";
    XCPU = SIGXCPU, "The limit on processor time is near.";
    XFSZ = SIGXFSZ, "The limit on the size of a file was exceeded.";
}

impl Signal {
    /// Returns the number of the signal on this system.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// The exit status that a shell reports for a process that this signal ended: 128 + number.
    pub(crate) fn status(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(signal, _)| signal == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a signal makes the program do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// Request a stop; a second one forces.
    Stop,
    /// Request a stop and end the drain at once.
    Force,
    /// Exit at once, in every phase.
    Exit,
    /// Run the reload hook.
    Reload,
}

/// The roles of signals: stop, force, exit or reload.
///
/// A role that is not set keeps its default:
///
/// | role | default |
/// |---|---|
/// | [`stop`](Self::stop) | [`TERM`](Signal::TERM) and [`INT`](Signal::INT), unless they have another role |
/// | [`force`](Self::force) | none |
/// | [`exit`](Self::exit) | none |
/// | [`reload`](Self::reload) | [`HUP`](Signal::HUP), if the program has a reload hook |
///
/// A signal without a role keeps the system's default action. A signal that was ignored when the program was started stays ignored. A signal that was
/// blocked then is unblocked if it has a role.
///
/// Each signal may have one role. If a signal has two, or if there are reload signals but no reload hook, the program does not start: it prints a message
/// and exits with status 2.
///
/// An array converts into signals that stop the program: `[Signal::TERM, Signal::INT].into()`.
///
/// # Example
///
/// ```
/// use graceful::{Signal, Signals};
///
/// let like_nginx = Signals::new().stop([Signal::QUIT]).force([Signal::TERM, Signal::INT]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Signals {
    stop: Option<Vec<Signal>>,
    force: Vec<Signal>,
    exit: Vec<Signal>,
    reload: Option<Vec<Signal>>,
}

impl Signals {
    /// Returns the default roles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the roles for Docker, where `TERM` and `INT` stop the program and the engine kills it after its grace period.
    #[must_use]
    pub fn docker() -> Self {
        Self::from([Signal::TERM, Signal::INT])
    }

    /// Sets the signals that request a stop. A stop signal that arrives 100 ms or more after the request, whatever its cause, forces.
    ///
    /// Defaults to [`TERM`](Signal::TERM) and [`INT`](Signal::INT), unless they have another role.
    ///
    /// # Example
    ///
    /// ```
    /// use graceful::{Signal, Signals};
    ///
    /// let signals = Signals::new().stop([Signal::TERM, Signal::QUIT]);
    /// ```
    #[must_use]
    pub fn stop(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.stop = Some(signals.into_iter().collect());
        self
    }

    /// Sets the signals that end the drain now. Each is a request and a force in one. Defaults to none.
    ///
    /// # Example
    ///
    /// ```
    /// use graceful::{Signal, Signals};
    ///
    /// // `INT` defaults to stopping the program, and here it forces.
    /// let signals = Signals::new().force([Signal::INT]);
    /// ```
    #[must_use]
    pub fn force(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.force = signals.into_iter().collect();
        self
    }

    /// Sets the signals that end the process at once, in every phase, with the exit status 128 + number. There is no drain, no finalizer and no report.
    /// Defaults to none.
    ///
    /// # Example
    ///
    /// ```
    /// use graceful::{Signal, Signals};
    ///
    /// let signals = Signals::new().exit([Signal::QUIT]);
    /// ```
    #[must_use]
    pub fn exit(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.exit = signals.into_iter().collect();
        self
    }

    /// Sets the signals that run the reload hook of [`Builder::reload`](crate::Builder::reload).
    ///
    /// Defaults to [`HUP`](Signal::HUP) if the program has a reload hook, otherwise to none.
    ///
    /// # Example
    ///
    /// ```
    /// use graceful::{Signal, Signals};
    ///
    /// let signals = Signals::new().reload([Signal::USR1]);
    /// ```
    #[must_use]
    pub fn reload(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.reload = Some(signals.into_iter().collect());
        self
    }

    /// The role of each signal that has one.
    ///
    /// # Errors
    ///
    /// Returns a message that names a signal with two roles, or reload signals without a hook.
    pub(crate) fn roles(&self, has_reload: bool) -> Result<Vec<(Signal, Role)>, String> {
        let mut roles = self.explicit_roles()?;
        if self.stop.is_none() {
            for signal in [Signal::TERM, Signal::INT] {
                if is_free(signal, &roles) {
                    roles.push((signal, Role::Stop));
                }
            }
        }
        match (&self.reload, has_reload) {
            (Some(signals), false) if !signals.is_empty() => {
                Err("there are reload signals, but no reload hook".to_owned())
            }
            (None, true) if !is_free(Signal::HUP, &roles) => {
                Err("HUP, the default reload signal, has another role; name the reload signals"
                    .to_owned())
            }
            (None, true) => {
                roles.push((Signal::HUP, Role::Reload));
                Ok(roles)
            }
            _ => Ok(roles),
        }
    }

    fn explicit_roles(&self) -> Result<Vec<(Signal, Role)>, String> {
        let Self { stop, force, exit, reload } = self;
        let explicit = [
            (Role::Stop, stop.as_deref().unwrap_or_default()),
            (Role::Force, force),
            (Role::Exit, exit),
            (Role::Reload, reload.as_deref().unwrap_or_default()),
        ];
        let mut roles = Vec::new();
        for (role, signals) in explicit {
            for &signal in signals {
                if !is_free(signal, &roles) {
                    return Err(format!(
                        "the signal {signal} is listed twice; give each signal one role"
                    ));
                }
                roles.push((signal, role));
            }
        }
        Ok(roles)
    }
}

fn is_free(signal: Signal, roles: &[(Signal, Role)]) -> bool {
    !roles.iter().any(|&(other, _)| other == signal)
}

impl<const N: usize> From<[Signal; N]> for Signals {
    fn from(stop: [Signal; N]) -> Self {
        Self::new().stop(stop)
    }
}

impl From<Vec<Signal>> for Signals {
    fn from(stop: Vec<Signal>) -> Self {
        Self::new().stop(stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_term_and_int() {
        let roles = Signals::new().roles(false).unwrap();
        assert_eq!(roles, [(Signal::TERM, Role::Stop), (Signal::INT, Role::Stop)]);
    }

    #[test]
    fn hup_reloads_where_there_is_a_hook() {
        let roles = Signals::new().force([Signal::INT]).roles(true).unwrap();
        assert_eq!(
            roles,
            [(Signal::INT, Role::Force), (Signal::TERM, Role::Stop), (Signal::HUP, Role::Reload)]
        );
        let listed = Signals::from([Signal::HUP]).roles(true).unwrap_err();
        assert!(listed.contains("HUP"), "{listed}");
    }

    #[test]
    fn a_signal_has_one_role() {
        let twice = Signals::from([Signal::TERM]).exit([Signal::TERM]).roles(false).unwrap_err();
        assert!(twice.contains("TERM"), "{twice}");
    }
}
