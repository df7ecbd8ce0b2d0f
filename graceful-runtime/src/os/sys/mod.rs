//! All unsafe code and all calls of the C library, as thin safe functions. The one exception is [`crate::sync::atomic_ref`].

#![allow(unsafe_code, reason = "this module wraps the C library")]

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering, compiler_fence, fence},
    thread,
    time::Duration,
};

use signal_hook_registry::SigId;

use crate::model::signal::Signal;

mod target;

/// A signal that has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalRecord {
    pub(crate) signal: Signal,
    /// The process that sent it; `None` if the system sent it, or if the process is in another pid namespace.
    pub(crate) sender: Option<u32>,
    /// The time of its arrival, on the clock of [`now`].
    pub(crate) at: Duration,
}

/// Whether the signal is ignored: `nohup`, for example, starts a program so.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: all zeroes is a valid `sigaction`; the call only writes to it and changes no action.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal.number(), ptr::null(), &raw mut old) == 0
            && old.sa_sigaction == libc::SIG_IGN
    }
}

/// The device and inode of the file behind a descriptor; `None` if the descriptor is not open.
#[cfg(feature = "http")]
pub(crate) fn file_of(descriptor: libc::c_int) -> Option<(libc::dev_t, libc::ino_t)> {
    // SAFETY: all zeroes is a valid `stat`; the call only writes to it, and accepts any number.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let is_open = libc::fstat(descriptor, &raw mut stat) == 0;
        is_open.then_some((stat.st_dev, stat.st_ino))
    }
}

/// Calls `f` while the signals are blocked in this thread, then unblocks them, even if they were blocked when the program was started. Signals that are
/// pending by then arrive right after `f`.
///
/// `f` installs handlers. For a moment the system knows of a handler and the registry that calls it does not; a signal that arrived then would be lost.
/// Threads and children inherit the blocked signals of the thread that starts them, so this must be called before the first of them.
pub(crate) fn with_blocked<T>(signals: &[Signal], f: impl FnOnce() -> T) -> T {
    // SAFETY: the set is initialized before it is read, and outlives the calls, which change only the mask of this thread.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal.number());
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        let result = f();
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        result
    }
}

/// Installs a handler that calls `on_arrival` for each `signal` until the end of the process.
///
/// Handlers that other code has registered stay, and `tokio::signal` keeps working.
///
/// # Errors
///
/// Returns the error of `sigaction(2)`.
pub(crate) fn on_signal(
    signal: Signal,
    on_arrival: impl Fn(SignalRecord) + Send + Sync + 'static,
) -> io::Result<SigId> {
    // SAFETY: `getpid` has no preconditions.
    let program = unsafe { libc::getpid() };
    let handler = move |info: &libc::siginfo_t| {
        // SAFETY: all three are async-signal-safe. A child between `fork` and `exec` still has this handler, and must take the default action.
        unsafe {
            if libc::getpid() != program {
                libc::signal(signal.number(), libc::SIG_DFL);
                libc::raise(signal.number());
                return;
            }
        }
        // SAFETY: the system fills in `si_pid` for a signal that a process sent.
        let sender = target::SENT.contains(&info.si_code).then(|| unsafe { info.si_pid() });
        // 0 stands for a sender in another pid namespace.
        let sender = sender.and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0);
        on_arrival(SignalRecord { signal, sender, at: now() });
    };
    // SAFETY: the handler reads the clock and the callers write to a socket without blocking: both are async-signal-safe,
    // and neither allocates, locks or panics.
    unsafe { signal_hook_registry::register_sigaction(signal.number(), handler) }
}

/// The time on the clock of `Instant`, as a number that a signal handler can send.
pub(crate) fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call only writes to `time`, which outlives it; it is async-signal-safe.
    unsafe { libc::clock_gettime(target::CLOCK, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Ends the process at once: without destructors, `atexit` handlers, or anything else that could block.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Whether a read or an accept would return at once.
#[cfg(feature = "http")]
pub(crate) fn is_readable(socket: std::os::fd::BorrowedFd<'_>) -> bool {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the one entry is valid and outlives the call, which does not block.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
}

/// How many connections wait in the backlog of a listening TCP socket; `None` if the system does not tell.
#[cfg(feature = "http")]
pub(crate) fn backlog(socket: std::os::fd::BorrowedFd<'_>) -> Option<usize> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        // The start of a `tcp_info`: eight bytes, the first of which is the state, then numbers of four bytes.
        let mut info = [0_u32; 7];
        let mut size = size_of_val(&info) as libc::socklen_t;
        // SAFETY: the call writes at most `size` bytes, the size of `info`.
        let error = unsafe {
            let place = (&raw mut info).cast();
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut size)
        };
        // 10 is `TCP_LISTEN`. For a listening socket `tcpi_unacked` is the length of the backlog.
        let listens = error == 0 && info[0].to_ne_bytes()[0] == 10;
        listens.then_some(usize::try_from(info[6]).unwrap_or(usize::MAX))
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    {
        let _ = socket;
        None
    }
}

/// Limits how many written bytes the system keeps unsent before the socket stops being writable. Has no effect on systems and sockets without such a limit.
#[cfg(feature = "http")]
pub(crate) fn limit_unsent(socket: std::os::fd::BorrowedFd<'_>, bytes: u32) {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let size = size_of::<u32>() as libc::socklen_t;
    if let Some(option) = target::UNSENT {
        // SAFETY: the call reads four bytes, the size of `bytes`.
        unsafe {
            libc::setsockopt(fd, libc::IPPROTO_TCP, option, (&raw const bytes).cast(), size);
        }
    }
}

/// The width in columns of the terminal on standard error; `None` if there is no terminal, or its width is unknown.
pub(crate) fn terminal_width() -> Option<usize> {
    // SAFETY: all zeroes is a valid `winsize`; TIOCGWINSZ only writes to it.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) == 0).then_some(size)
    };
    size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Whether the system can make all threads execute a fence. Set before anything is fenced.
static HAS_MEMBARRIER: AtomicBool = AtomicBool::new(false);

/// Finds out how to fence threads. This costs a microsecond while the process has one thread, and some milliseconds later.
pub(crate) fn prepare_fences() {
    // Relaxed, both: a thread that uses a fence has received, by a path that synchronizes, an object that was made after this.
    if !HAS_MEMBARRIER.load(Ordering::Relaxed) {
        HAS_MEMBARRIER.store(target::membarrier(target::MEMBARRIER_REGISTER), Ordering::Relaxed);
    }
}

/// The fast side of a fence between two threads. Of two threads that each write, fence (one light, one heavy) and read, at least one reads the write of
/// the other.
#[inline]
pub(crate) fn light_fence() {
    // Relaxed: the value does not change while anything is fenced.
    if HAS_MEMBARRIER.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The slow side: returns when every running thread of this process has executed a fence, which takes microseconds.
pub(crate) fn heavy_fence() {
    fence(Ordering::SeqCst);
    // Relaxed: the value does not change while anything is fenced.
    if HAS_MEMBARRIER.load(Ordering::Relaxed) && !target::membarrier(target::MEMBARRIER_FENCE) {
        // A filter has forbidden the system call since the start. No processor delays a store for as long as this.
        thread::sleep(Duration::from_millis(10));
    }
    fence(Ordering::SeqCst);
}
