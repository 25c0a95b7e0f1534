//! Files of `/proc` that are read again and again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::error::{Context, Error, Result};

/// More than most files of `/proc` have, in bytes.
const BUFFER: usize = 8 * 1024;

/// A file of `/proc` that the kernel writes anew, in one piece, for whoever reads it from its
/// beginning (`single_open()`). It is opened when it is first read, and stays open: it goes on to show the network namespace in
/// which it was opened.
#[derive(Debug)]
pub(crate) struct KeptFile {
    path: &'static str,
    opened: OnceLock<File>,
}

impl KeptFile {
    pub(crate) const fn new(path: &'static str) -> Self {
        Self { path, opened: OnceLock::new() }
    }

    /// What it says now.
    ///
    /// # Errors
    /// It cannot be opened or read, or is no text.
    pub(crate) fn read(&self) -> Result<String> {
        let file = match self.opened.get() {
            Some(file) => file,
            None => {
                let opened = File::open(self.path).call(|| format!("open({})", self.path))?;
                self.opened.get_or_init(|| opened)
            }
        };
        let (mut text, mut part) = (vec![], [0; BUFFER]);
        loop {
            let got = file
                .read_at(&mut part, text.len() as u64)
                .call(|| format!("pread({})", self.path))?;
            text.extend_from_slice(&part[..got]);
            // Where it has given less than there is room for, that was all.
            if got < BUFFER {
                return String::from_utf8(text)
                    .map_err(|e| Error::unreadable(self.path, e.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_is_so_when_it_is_read() {
        let file = KeptFile::new("/proc/self/status");
        let threads = || {
            let text = file.read().expect("/proc");
            let line = text.lines().find_map(|line| line.strip_prefix("Threads:"));
            line.and_then(|count| count.trim().parse::<usize>().ok()).expect("a number of threads")
        };
        let before = threads();
        std::thread::scope(|scope| {
            let (end, ends) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || ends.recv());
            // Tests beside this one start and end threads, too.
            crate::wait::until("a thread more", || Ok((threads() != before).then_some(())))
                .expect("it is started");
            drop(end);
        });
    }
}
