//! Files of results, which may not be writable. What could not be written is reported at
//! the end and spoils no verdict.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file that appears under its name only when it is whole.
pub struct WholeFile {
    path: PathBuf,
    /// What is written meanwhile, and renamed at the end. None for a device or a pipe,
    /// which is no file to replace.
    temporary: Option<PathBuf>,
    file: BufWriter<File>,
}

impl WholeFile {
    /// Starts to write the file at `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let special = fs::metadata(path).is_ok_and(|there| !there.is_file());
        let temporary = (!special).then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(".partial");
            PathBuf::from(name)
        });
        let file = File::create(temporary.as_deref().unwrap_or(path))
            .with_context(|| cannot_write(path))?;
        Ok(Self { path: path.to_owned(), temporary, file: BufWriter::new(file) })
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().with_context(|| cannot_write(&self.path))?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path).with_context(|| cannot_write(&self.path))?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file that appears under its name only when it is whole.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes).with_context(|| cannot_write(path))?;
    file.finish()
}

/// Whether a file could be written there: its directory exists, and lets one be made. Nothing
/// is left of the try.
///
/// # Errors
/// The reason why not.
pub fn check(path: &Path) -> Result<()> {
    // Who reads from a pipe would take the try for all there is.
    match fs::metadata(path) {
        Ok(there) if !there.is_file() && !there.is_dir() => Ok(()),
        _ => WholeFile::create(path).map(drop),
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// The file with what a machine's console has printed.
const CONSOLE: &str = "console.log";

/// Where captures, and `run.json`, are kept.
pub struct OutDirectory {
    path: PathBuf,
}

impl OutDirectory {
    /// Makes the directory if only it is missing, and its parents are there.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            fs::create_dir(path)
                .with_context(|| format!("cannot make the directory {}", path.display()))?;
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Makes a directory among the machine's temporary ones, which stays when sockmig has
    /// ended. Nobody can know its name before it is there, and only its owner reads it:
    /// captures are written by root, and other users can write where it is made.
    pub fn temporary() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("sockmig-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot make a temporary directory")?;
        Ok(Self { path: directory.keep() })
    }

    /// A directory in it, without what an earlier run has left there: its captures must
    /// not pass for this one's.
    pub fn subdirectory(&self, name: &str) -> Result<Self> {
        let directory = Self::open(&self.path.join(name))?;
        let left = fs::read_dir(&directory.path).into_iter().flatten().flatten();
        for path in left.map(|entry| entry.path()) {
            let ours = path.extension().is_some_and(|extension| extension == "pcapng")
                || path.file_name().is_some_and(|name| name == CONSOLE);
            if ours {
                fs::remove_file(&path).with_context(|| cannot_write(&path))?;
            }
        }
        Ok(directory)
    }

    /// Keeps what a console has printed, after what it printed before.
    pub fn keep_console(&self, printed: &[u8]) -> Result<()> {
        let path = self.file(CONSOLE);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(printed)).with_context(|| cannot_write(&path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps a capture, and says where.
    pub fn keep_capture(&self, title: &str, pcapng: &[u8]) -> Result<PathBuf> {
        let name = title.replace(['/', ' '], "-");
        let path = self.file(&format!("{name}.pcapng"));
        let mut file = WholeFile::create(&path)?;
        file.write_all(pcapng).with_context(|| cannot_write(&path))?;
        file.finish()?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another user can do in /tmp: name a directory after a process, and point it
    /// elsewhere.
    #[test]
    fn a_temporary_directory_has_a_name_that_nobody_knows_and_is_its_owners_alone() {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let guessed = std::env::temp_dir().join(format!("sockmig-{}", std::process::id()));
        std::os::unix::fs::symlink(elsewhere.path(), &guessed).expect("a planted link");
        let made = [OutDirectory::temporary(), OutDirectory::temporary()];
        let [one, other] = made.map(|made| made.expect("a directory"));
        let kept = one.keep_capture("quiz1/v4/off", b"pcapng").expect("written");
        fs::remove_file(&guessed).expect("it is still a link");
        assert_ne!(one.path, other.path);
        assert_eq!(kept, one.path.join("quiz1-v4-off.pcapng"));
        assert_eq!(fs::read_dir(elsewhere.path()).expect("a directory").count(), 0);
        for directory in [one, other] {
            let status = fs::symlink_metadata(&directory.path).expect("it stays");
            assert!(status.is_dir());
            assert_eq!(status.permissions().mode() & 0o777, 0o700);
            fs::remove_dir_all(&directory.path).expect("removed");
        }
    }
}
