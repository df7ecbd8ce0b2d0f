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

/// Asks for the file of each number that could be a descriptor, or of each descriptor that is listed in `/proc/self/fd`.
///
/// A list costs the kernel a directory entry for each descriptor, and removing thousands of those takes longer than everything else at the process's exit.
/// A number costs 0.2 µs, but the table of descriptors has the size that it had when most were open. So the list is used only if it is known to be short:
/// from Linux 6.2 on, the size of `/proc/self/fd` is the number of its entries, and 0 before.
fn count_descriptors(socket: BorrowedFd<'_>) -> Option<usize> {
    let own = file_of(socket.as_raw_fd());
    let is_same = |number: &i32| file_of(*number) == own;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let room = status.lines().find_map(|line| line.strip_prefix("FDSize:"))?.trim().parse().ok()?;
    let open = fs::metadata(LIST).ok()?.len();
    if open == 0 || u64::try_from(room).is_ok_and(|room| room / FEW <= open) {
        return Some((0..room).filter(is_same).count());
    }
    let names =
        fs::read_dir(LIST).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Some(names.filter_map(|name| name.parse().ok()).filter(is_same).count())
}

const LIST: &str = "/proc/self/fd";

/// One listed descriptor costs as much as about this many numbers, from its entry to the removal of that.
const FEW: u64 = 16;
