//! What differs from system to system. The numbers that `libc` does not have are from the headers of the system.

/// The codes of a signal that a process sent, with its pid: by `kill`, by `sigqueue`, and to one thread. The other codes are the system's own,
/// as for a terminal's Ctrl+C.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) const SENT: &[libc::c_int] = &[libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL];

/// `SI_USER`, `SI_QUEUE` and `SI_LWP` of `sys/signal.h`.
#[cfg(target_os = "freebsd")]
pub(super) const SENT: &[libc::c_int] = &[0x10001, 0x10002, 0x10007];

/// The header has an `SI_USER`, but the kernel says 0 of every signal that is caught, and names as its sender the process that was running. For
/// Ctrl+C that is the process that wrote to the terminal, such as the terminal's window.
#[cfg(target_vendor = "apple")]
pub(super) const SENT: &[libc::c_int] = &[0, 0x10001];

/// Not known, so no sender is told.
#[cfg(not(any(
    target_os = "android",
    target_os = "linux",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
pub(super) const SENT: &[libc::c_int] = &[];

/// The clock that std's `Instant` has.
#[cfg(not(target_vendor = "apple"))]
pub(super) const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// The clock that std's `Instant` has: `CLOCK_MONOTONIC` goes on while the machine sleeps, this one stands still.
#[cfg(target_vendor = "apple")]
pub(super) const CLOCK: libc::clockid_t = libc::CLOCK_UPTIME_RAW;

/// `TCP_NOTSENT_LOWAT`: how much of what was written may be unsent for the socket to be writable.
#[cfg(all(feature = "http", any(target_os = "android", target_os = "linux")))]
pub(super) const UNSENT: Option<libc::c_int> = Some(libc::TCP_NOTSENT_LOWAT);

/// `TCP_NOTSENT_LOWAT` of `netinet/tcp.h`.
#[cfg(all(feature = "http", target_vendor = "apple"))]
pub(super) const UNSENT: Option<libc::c_int> = Some(0x201);

/// There is none. A socket is writable as soon as some 2 kB of its buffer are free.
#[cfg(all(
    feature = "http",
    not(any(target_os = "android", target_os = "linux", target_vendor = "apple"))
))]
pub(super) const UNSENT: Option<libc::c_int> = None;

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED` and its registration, from `linux/membarrier.h`.
pub(super) const MEMBARRIER_FENCE: libc::c_int = 1 << 3;
pub(super) const MEMBARRIER_REGISTER: libc::c_int = 1 << 4;

/// Whether the system did what `command` says, to all threads of this process.
#[cfg(target_os = "linux")]
pub(super) fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes numbers and changes nothing that this process could read.
    !cfg!(miri) && unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn membarrier(_: libc::c_int) -> bool {
    false
}
