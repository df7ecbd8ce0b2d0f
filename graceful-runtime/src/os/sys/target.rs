//! The differences between systems. Numbers that `libc` lacks come from the headers of the system.

/// The codes of signals that a process sent, with its pid: by `kill`, by `sigqueue`, and to one thread. The system itself sends signals with other codes,
/// for example for Ctrl+C at a terminal.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) const SENT: &[libc::c_int] = &[libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL];

/// `SI_USER`, `SI_QUEUE` and `SI_LWP` of `sys/signal.h`.
#[cfg(target_os = "freebsd")]
pub(super) const SENT: &[libc::c_int] = &[0x10001, 0x10002, 0x10007];

/// The header defines an `SI_USER`, but the kernel reports 0 for every signal that is caught, and names the process that was running as its sender. For
/// Ctrl+C that is the process that wrote to the terminal, such as the terminal emulator.
#[cfg(target_vendor = "apple")]
pub(super) const SENT: &[libc::c_int] = &[0, 0x10001];

/// The codes are not known, so no sender is reported.
#[cfg(not(any(
    target_os = "android",
    target_os = "linux",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
pub(super) const SENT: &[libc::c_int] = &[];

/// The clock of `Instant`.
#[cfg(not(target_vendor = "apple"))]
pub(super) const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// The clock of `Instant`. It stands still while the machine sleeps; `CLOCK_MONOTONIC` does not.
#[cfg(target_vendor = "apple")]
pub(super) const CLOCK: libc::clockid_t = libc::CLOCK_UPTIME_RAW;

/// `TCP_NOTSENT_LOWAT`: the number of unsent bytes below which a socket is writable.
#[cfg(all(feature = "http", any(target_os = "android", target_os = "linux")))]
pub(super) const UNSENT: Option<libc::c_int> = Some(libc::TCP_NOTSENT_LOWAT);

/// `TCP_NOTSENT_LOWAT` of `netinet/tcp.h`.
#[cfg(all(feature = "http", target_vendor = "apple"))]
pub(super) const UNSENT: Option<libc::c_int> = Some(0x201);

/// There is no such option. A socket is writable as soon as some 2 kB of its buffer are free.
#[cfg(all(
    feature = "http",
    not(any(target_os = "android", target_os = "linux", target_vendor = "apple"))
))]
pub(super) const UNSENT: Option<libc::c_int> = None;

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED` and its registration, from `linux/membarrier.h`.
pub(super) const MEMBARRIER_FENCE: libc::c_int = 1 << 3;
pub(super) const MEMBARRIER_REGISTER: libc::c_int = 1 << 4;

/// Executes a command of `membarrier(2)`. Returns whether the system supports and permits it.
#[cfg(target_os = "linux")]
pub(super) fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes numbers and changes no memory of this process.
    !cfg!(miri) && unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn membarrier(_: libc::c_int) -> bool {
    false
}
