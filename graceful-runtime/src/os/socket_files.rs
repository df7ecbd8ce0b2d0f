//! The files of the Unix sockets that the program has bound: they outlive the sockets, and are removed when the program leaves for good.
//!
//! # Invariants
//!
//! 1. What is removed was made by this program, and nobody has put another file in its place.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf, absolute},
    time::SystemTime,
};

use crate::os::mutex::Mutex;

/// The files that are to be removed.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles(Mutex<Vec<SocketFile>>);

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Which file it is. A file system gives the number of a file that is gone to the next one, but not its time of birth, which some do not know.
#[derive(Debug, Eq, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl SocketFiles {
    /// The program has just bound `path`. A name that is not in the file system, as Linux has them, leaves nothing behind.
    pub(crate) fn bound(&self, path: &Path) {
        // The program may be in another folder when it leaves.
        let path = absolute(path).unwrap_or_else(|_| path.to_owned());
        let Some(identity) = Identity::of(&path) else { return };
        let mut files = self.0.lock();
        if files.len() == files.capacity() {
            // A program that binds a socket for each session does not grow by those that it has removed itself.
            files.retain(SocketFile::is_there);
        }
        files.push(SocketFile { path, identity });
    }

    /// Removes them; gives those that cannot be.
    pub(crate) fn remove(&self) -> Vec<(PathBuf, io::Error)> {
        let files = std::mem::take(&mut *self.0.lock()).into_iter();
        let ours = files.filter(SocketFile::is_there).map(|file| file.path);
        ours.filter_map(|path| fs::remove_file(&path).err().map(|error| (path, error))).collect()
    }
}

impl SocketFile {
    fn is_there(&self) -> bool {
        Identity::of(&self.path).as_ref() == Some(&self.identity)
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        // Not through a link: it would not be the link that was bound.
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    /// A session for each of a million clients leaves nothing behind.
    #[test]
    fn what_the_program_has_removed_itself_is_forgotten() {
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
