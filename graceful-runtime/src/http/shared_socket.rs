//! Whether the program has a second descriptor of a listener's socket.

use std::{
    fs,
    os::fd::{AsRawFd, BorrowedFd},
};

use crate::os::sys::file_of;

/// Whether the program has another descriptor of the same socket, so that closing this one leaves the socket listening.
///
/// `false` where this cannot be found out: when no descriptor is left to read `/proc` with, and on all systems except Linux. macOS and FreeBSD list
/// descriptors in `/dev/fd`, but `fstat` reports the same device 0 and inode 0 for all their TCP sockets.
pub(super) fn is_shared(socket: BorrowedFd<'_>) -> bool {
    count_descriptors(socket).unwrap_or(1) > 1
}

/// Asks for the file of each number that could be a descriptor. Listing `/proc/self/fd` instead would be slower in total: the kernel would keep a
/// directory entry for each of maybe thousands of connections, and removing those takes longer than everything else at the process's exit.
fn count_descriptors(socket: BorrowedFd<'_>) -> Option<usize> {
    let own = file_of(socket.as_raw_fd());
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let room = status.lines().find_map(|line| line.strip_prefix("FDSize:"))?.trim().parse().ok()?;
    Some((0..room).filter(|&number| file_of(number) == own).count())
}
