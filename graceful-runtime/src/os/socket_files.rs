//! The files of the Unix sockets that the program has bound. They outlive the sockets, so the program removes them when it exits.
//!
//! # Invariants
//!
//! 1. A file is removed only if this program made it and no other file has replaced it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf, absolute},
    time::SystemTime,
};

use crate::os::mutex::Mutex;

/// The files to remove.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles(Mutex<Vec<SocketFile>>);

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// The identity of a file. A file system reuses the inode number of a removed file, but not its time of birth, which some file systems do not have.
#[derive(Debug, Eq, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl SocketFiles {
    /// Adds a file that the program has just bound. An abstract name of Linux has no file, and is ignored.
    pub(crate) fn bound(&self, path: &Path) {
        // The working directory may be another one when the program exits.
        let path = absolute(path).unwrap_or_else(|_| path.to_owned());
        let Some(identity) = Identity::of(&path) else { return };
        let mut files = self.0.lock();
        if files.len() == files.capacity() {
            // Before the list grows, forget files that the program has removed itself: it may bind a socket for each session.
            files.retain(SocketFile::is_there);
        }
        files.push(SocketFile { path, identity });
    }

    /// Removes the files. Returns the ones that could not be removed, with the errors.
    pub(crate) fn remove(&self) -> Vec<(PathBuf, io::Error)> {
        let files = std::mem::take(&mut *self.0.lock()).into_iter();
        let ours = files.filter(SocketFile::is_there).map(|file| file.path);
        ours.filter_map(|path| fs::remove_file(&path).err().map(|error| (path, error))).collect()
    }
}

impl SocketFile {
    /// Whether the file still exists and is the same: invariant 1.
    fn is_there(&self) -> bool {
        Identity::of(&self.path).as_ref() == Some(&self.identity)
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        // Links are not followed, because a bound file is never a link.
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    /// A program may bind a socket for each of a million sessions.
    #[test]
    fn files_that_the_program_has_removed_itself_are_forgotten() {
        let files = SocketFiles::default();
        let path = std::env::temp_dir().join(format!("graceful-session-{}", std::process::id()));
        for _ in 0..1000 {
            drop(UnixListener::bind(&path).unwrap());
            files.bound(&path);
            fs::remove_file(&path).unwrap();
        }
        assert!(files.0.lock().len() <= 4, "{}", files.0.lock().len());
    }

    #[test]
    fn a_name_without_a_file_is_not_kept() {
        let files = SocketFiles::default();
        files.bound(Path::new("\0abstract"));
        assert!(files.0.lock().is_empty());
    }
}
