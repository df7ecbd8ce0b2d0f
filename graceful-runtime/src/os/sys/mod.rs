//! All that is unsafe, and all of the C library: one thin function each.

#![allow(unsafe_code, reason = "the one place of it")]

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering, compiler_fence, fence},
    thread,
    time::Duration,
};

use signal_hook_registry::SigId;

use crate::model::signal::Signal;

mod target;

/// What the system tells of a signal as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalRecord {
    pub(crate) signal: Signal,
    /// The process that sent it, where a process did and it can be seen from here.
    pub(crate) sender: Option<u32>,
    /// On the clock of [`now`].
    pub(crate) at: Duration,
}

/// Whether the signal was ignored when the program was started, as `nohup` does.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: all zeroes is a valid `sigaction`; the call only writes to it and changes no action.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal.number(), ptr::null(), &raw mut old) == 0
            && old.sa_sigaction == libc::SIG_IGN
    }
}

/// Which file a descriptor of this process stands for, by device and inode; `None` if it is not open.
#[cfg(feature = "http")]
pub(crate) fn file_of(descriptor: libc::c_int) -> Option<(libc::dev_t, libc::ino_t)> {
    // SAFETY: all zeroes is a valid `stat`; the call only writes to it, whatever the number stands for.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let is_open = libc::fstat(descriptor, &raw mut stat) == 0;
        is_open.then_some((stat.st_dev, stat.st_ino))
    }
}

/// Runs `f` while the signals are held back from this thread, and lets them through from then on, also where whoever started the program had
/// blocked them. Those that came before or meanwhile arrive right after `f`.
///
/// `f` puts handlers in place: there is a moment in which the system knows of one and the registry that calls it does not, where a signal
/// would be lost. What a thread blocks is inherited by the threads and children that it starts, so this comes before all of these.
pub(crate) fn held_back<T>(signals: &[Signal], f: impl FnOnce() -> T) -> T {
    // SAFETY: the set is written before it is read, and outlives the calls; what is blocked is the thread's own.
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

/// Calls `on_arrival` inside the handler of `signal` until the end of the process.
///
/// The handler is added to those that others registered, and `tokio::signal` goes on working beside it.
///
/// # Errors
///
/// What `sigaction(2)` says.
pub(crate) fn on_signal(
    signal: Signal,
    on_arrival: impl Fn(SignalRecord) + Send + Sync + 'static,
) -> io::Result<SigId> {
    // SAFETY: `getpid` has no conditions.
    let program = unsafe { libc::getpid() };
    let handler = move |info: &libc::siginfo_t| {
        // SAFETY: all three are async-signal-safe. A child between `fork` and `exec` still has our handlers; the signal is its own.
        unsafe {
            if libc::getpid() != program {
                libc::signal(signal.number(), libc::SIG_DFL);
                libc::raise(signal.number());
                return;
            }
        }
        // SAFETY: for a signal that a process sent the system fills in `si_pid`.
        let sender = target::SENT.contains(&info.si_code).then(|| unsafe { info.si_pid() });
        // 0 is a sender in another pid namespace.
        let sender = sender.and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0);
        on_arrival(SignalRecord { signal, sender, at: now() });
    };
    // SAFETY: the handler reads the clock and the callers write to a socket without blocking: both are async-signal-safe,
    // and neither allocates, locks or panics.
    unsafe { signal_hook_registry::register_sigaction(signal.number(), handler) }
}

/// The clock of `Instant`, as a plain number that a signal handler can send.
pub(crate) fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call only writes to `time`, which outlives it; it is async-signal-safe.
    unsafe { libc::clock_gettime(target::CLOCK, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Ends the process now: no destructor, no handler of `atexit`, nothing that could block.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: `_exit` has no conditions.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Whether a read from it, or an accept, would give something at once.
#[cfg(feature = "http")]
pub(crate) fn is_readable(socket: std::os::fd::BorrowedFd<'_>) -> bool {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry, which outlives the call; it does not wait.
    unsafe { libc::poll(&raw mut asked, 1, 0) == 1 }
}

/// How many connections wait in the backlog of a socket of TCP that listens, where the system tells.
#[cfg(feature = "http")]
pub(crate) fn backlog(socket: std::os::fd::BorrowedFd<'_>) -> Option<usize> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        // The begin of a `tcp_info`: eight small numbers, the first of which is the state, then larger ones.
        let mut info = [0_u32; 7];
        let mut size = size_of_val(&info) as libc::socklen_t;
        // SAFETY: it writes at most `size` bytes to a place that has as many.
        let error = unsafe {
            let place = (&raw mut info).cast();
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut size)
        };
        // `TCP_LISTEN`, of which `tcpi_unacked` is the length of the backlog.
        let listens = error == 0 && info[0].to_ne_bytes()[0] == 10;
        listens.then_some(usize::try_from(info[6]).unwrap_or(usize::MAX))
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    {
        let _ = socket;
        None
    }
}

/// How much of what was written the system may keep before it sends it; beyond that the socket is not writable. Not for every kind of socket, and not every system.
#[cfg(feature = "http")]
pub(crate) fn limit_unsent(socket: std::os::fd::BorrowedFd<'_>, bytes: u32) {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let size = size_of::<u32>() as libc::socklen_t;
    if let Some(option) = target::UNSENT {
        // SAFETY: it reads four bytes from a valid place.
        unsafe {
            libc::setsockopt(fd, libc::IPPROTO_TCP, option, (&raw const bytes).cast(), size);
        }
    }
}

/// The width of the terminal on standard error in columns, if it tells one.
pub(crate) fn terminal_width() -> Option<usize> {
    // SAFETY: all zeroes is a valid `winsize`; TIOCGWINSZ only writes to it.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) == 0).then_some(size)
    };
    size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Whether the system makes all threads execute a fence when one asks for it; asked once, before there is anything to fence.
static HAS_MEMBARRIER: AtomicBool = AtomicBool::new(false);

/// Finds out how threads are fenced. Before the process has a second thread it costs a microsecond, later some milliseconds.
pub(crate) fn prepare_fences() {
    // Relaxed: whoever uses a fence has been handed what was made after this.
    if !HAS_MEMBARRIER.load(Ordering::Relaxed) {
        HAS_MEMBARRIER.store(target::membarrier(target::MEMBARRIER_REGISTER), Ordering::Relaxed);
    }
}

/// The fast side of a fence between two threads: what comes before is seen by who has called [`heavy_fence`], or the other way round.
#[inline]
pub(crate) fn light_fence() {
    // Relaxed: does not change while anything is fenced.
    if HAS_MEMBARRIER.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The slow side: returns when every thread of this process that was running has executed a fence. Microseconds.
pub(crate) fn heavy_fence() {
    fence(Ordering::SeqCst);
    // Relaxed: does not change while anything is fenced.
    if HAS_MEMBARRIER.load(Ordering::Relaxed) && !target::membarrier(target::MEMBARRIER_FENCE) {
        // Forbidden since the start, by a filter of system calls. No processor holds a store back for this long.
        thread::sleep(Duration::from_millis(10));
    }
    fence(Ordering::SeqCst);
}
