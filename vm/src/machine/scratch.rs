//! Directories for what is needed while a process lives, however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use harness::process::afterwards::RemovedAfterwards;
use tempfile::TempDir;

/// How the names of all of them begin.
const PREFIX: &str = "sockmig-machine-";
/// The file that is locked for as long as somebody needs the directory.
const LOCK: &str = "in-use";

/// A directory that goes with the value, and when this process is killed. One that was left even
/// so, as after a power cut, goes when the next one is made.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    _lock: File,
    /// Nothing where there is no room for a process.
    _afterwards: Option<RemovedAfterwards>,
}

impl Scratch {
    /// Makes one in the directory `parent`.
    ///
    /// # Errors
    /// There is no room, or no permission.
    pub fn make(parent: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // It gets its name once it is locked: nobody must find it unlocked before.
        let unnamed = directory.path().join("in-use.new");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, directory.path().join(LOCK))?;
        let afterwards = RemovedAfterwards::new(directory.path()).ok();
        let scratch = Self { directory, _lock: lock, _afterwards: afterwards };
        scratch.remove_abandoned(parent);
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes this user's directories that nobody holds any more. What cannot be removed
    /// stays.
    fn remove_abandoned(&self, parent: &Path) {
        let Ok(mine) = fs::metadata(self.path()) else { return };
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
                && entry.metadata().is_ok_and(|there| there.is_dir() && there.uid() == mine.uid());
            if !ours {
                continue;
            }
            let lock = File::open(entry.path().join(LOCK));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_and_what_was_abandoned_goes() {
        let parent = tempfile::tempdir().expect("a directory");
        let first = Scratch::make(parent.path()).expect("room");
        fs::write(first.path().join("initramfs"), "large").expect("written");
        let second = Scratch::make(parent.path()).expect("room");
        assert!(first.path().join("initramfs").exists(), "it is in use");

        // As after a power cut: the lock is gone, and the directory is not.
        let abandoned = first.path().to_owned();
        let Scratch { directory, _lock, _afterwards } = first;
        let _ = directory.keep();
        drop(_lock);
        std::mem::forget(_afterwards);
        let others = parent.path().join("sockmig-machine-of-the-user");
        fs::create_dir(&others).expect("mkdir");
        let third = Scratch::make(parent.path()).expect("room");
        assert!(!abandoned.exists(), "nobody needs it");
        assert!(others.exists(), "nobody made it with a lock");
        assert!(second.path().exists() && third.path().exists());

        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());

        // As after SIGKILL: nothing was dropped, and the process is gone.
        let path = third.path().to_owned();
        let Scratch { directory, _lock, _afterwards } = third;
        let _ = directory.keep();
        assert!(path.exists());
        drop(_afterwards);
        assert!(!path.exists());
    }
}
