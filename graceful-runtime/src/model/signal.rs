//! Signals by their names, and what each of them asks for.

use std::fmt;

/// A signal that a process can catch, spelled as in the shell without `SIG`.
///
/// ```
/// use graceful::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "TERM");
/// assert_eq!(Signal::TERM.number(), 15);
/// ```
///
/// `KILL` and `STOP` cannot be caught and have no name here; neither have the faults of a program
/// (`SEGV`, `BUS`, `FPE`, `ILL`, `ABRT`, `TRAP`, `SYS`), nor `CHLD`, which tokio's processes live on. There is a name for each signal
/// that the system has for which the program is built.
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
    ALRM = SIGALRM, "The timer of `alarm(2)` has run out.";
    CONT = SIGCONT, "Goes on after a stop.";
    HUP = SIGHUP, "The terminal was closed; by convention: reload.";
    INT = SIGINT, "Ctrl+C.";
    IO = SIGIO, "A descriptor is ready.";
    PIPE = SIGPIPE, "A pipe has no reader; std ignores it at start, so that it never comes.";
    PROF = SIGPROF, "The profiling timer has run out.";
    #[cfg(any(target_os = "android", target_os = "linux"))]
    PWR = SIGPWR, "The power fails. Linux and Android have this signal, other systems do not.";
    QUIT = SIGQUIT, "Ctrl+\\.";
    TERM = SIGTERM, "The request to stop of `kill`, systemd, Docker and Kubernetes.";
    TSTP = SIGTSTP, "Ctrl+Z.";
    TTIN = SIGTTIN, "Reads from the terminal in the background.";
    TTOU = SIGTTOU, "Writes to the terminal in the background.";
    URG = SIGURG, "Urgent data on a socket.";
    USR1 = SIGUSR1, "Free for the program.";
    USR2 = SIGUSR2, "Free for the program.";
    VTALRM = SIGVTALRM, "The virtual timer has run out.";
    WINCH = SIGWINCH, "The terminal's size changed; by Apache's convention: stop.";
    XCPU = SIGXCPU, "The limit on processor time is near.";
    XFSZ = SIGXFSZ, "The limit on a file's size was met.";
}

impl Signal {
    /// The number that this system gives the signal.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// What a shell reports of a process that the signal ended: 128 + number.
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

/// What a signal asks the program for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// Request a stop; the second one forces.
    Stop,
    /// Request a stop and end the drain at once.
    Force,
    /// Leave at once, whatever runs.
    Exit,
    /// Run the reload hook.
    Reload,
}

/// Which signals ask for what.
///
/// A role that is not set keeps its default: [`TERM`](Signal::TERM) and [`INT`](Signal::INT) stop the program,
/// as far as they have no other role; [`HUP`](Signal::HUP) reloads it where there is a reload hook and `HUP` has no other
/// role; nothing forces or exits. A signal that has no role keeps what the system does with it. One that was ignored when the program was
/// started stays ignored; one that was blocked is let through if it has a role.
///
/// An array of signals is the short form for signals that stop: `[Signal::TERM, Signal::INT].into()`.
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
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The convention of Docker: `TERM` and `INT` stop, the engine kills.
    #[must_use]
    pub fn docker() -> Self {
        Self::from([Signal::TERM, Signal::INT])
    }

    /// Signals that request a stop; one that comes 100 ms or more after the request, whoever made that, forces.
    #[must_use]
    pub fn stop(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.stop = Some(signals.into_iter().collect());
        self
    }

    /// Signals that end the drain now; each is a request and a force in one.
    #[must_use]
    pub fn force(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.force = signals.into_iter().collect();
        self
    }

    /// Signals that end the process at once, in every phase, with 128 + their number.
    #[must_use]
    pub fn exit(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.exit = signals.into_iter().collect();
        self
    }

    /// Signals that run the reload hook.
    #[must_use]
    pub fn reload(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.reload = Some(signals.into_iter().collect());
        self
    }

    /// The role of each signal that has one.
    ///
    /// # Errors
    ///
    /// A message that names the signal with two roles, or the reload signal without a hook.
    pub(crate) fn roles(&self, has_reload: bool) -> Result<Vec<(Signal, Role)>, String> {
        let mut roles = Vec::new();
        let explicit = [
            (Role::Stop, self.stop.as_deref().unwrap_or_default()),
            (Role::Force, &self.force),
            (Role::Exit, &self.exit),
            (Role::Reload, self.reload.as_deref().unwrap_or_default()),
        ];
        for (role, signals) in explicit {
            for &signal in signals {
                if roles.iter().any(|&(other, _)| other == signal) {
                    return Err(format!(
                        "the signal {signal} is listed twice; give each signal one role"
                    ));
                }
                roles.push((signal, role));
            }
        }
        let free = |signal: Signal, roles: &[_]| !roles.iter().any(|&(s, _)| s == signal);
        if self.stop.is_none() {
            let default = [Signal::TERM, Signal::INT].into_iter().filter(|&s| free(s, &roles));
            roles.extend(default.map(|s| (s, Role::Stop)).collect::<Vec<_>>());
        }
        match (&self.reload, has_reload) {
            (Some(signals), false) if !signals.is_empty() => {
                Err("there are reload signals, but no reload hook".to_owned())
            }
            (None, true) if !free(Signal::HUP, &roles) => {
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
