//! Regular files: anything else that can be named may keep a reader waiting, or never end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What is at a path, as far as it is of no use as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRegular {
    /// A directory.
    #[error("is a directory, not a file")]
    Directory,
    /// A pipe with a name.
    #[error("is a named pipe, not a file")]
    Fifo,
    /// A socket with a name.
    #[error("is a socket, not a file")]
    Socket,
    /// A device.
    #[error("is a device, not a file")]
    Device,
}

/// Whether there is a regular file at a path, or at the end of its links. Nothing is opened.
///
/// # Errors
/// There is nothing, or it is out of reach.
pub fn check(path: &Path) -> io::Result<Result<(), NotRegular>> {
    let kind = fs::metadata(path)?.file_type();
    Ok(if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(NotRegular::Directory)
    } else if kind.is_fifo() {
        Err(NotRegular::Fifo)
    } else if kind.is_socket() {
        Err(NotRegular::Socket)
    } else {
        Err(NotRegular::Device)
    })
}

/// Opens a regular file.
///
/// # Errors
/// As of [`File::open`]; one with [`NotRegular`] in it if it is something else.
pub fn open(path: &Path) -> io::Result<File> {
    check(path)?.map_err(io::Error::other)?;
    File::open(path)
}
