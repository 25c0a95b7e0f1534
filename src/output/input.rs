//! Files that a user names, read up to a limit: what is named may never end.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Why a file cannot be read.
#[derive(Debug)]
pub enum NoInput {
    /// The system refuses.
    Refused(io::Error),
    /// There is more of it than such a file has.
    TooLarge {
        /// The most that there may be, in bytes.
        most: u64,
    },
    /// It is to be text, and is not.
    NotText,
}

impl fmt::Display for NoInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(&harness::in_words(why)),
            Self::TooLarge { most } => write!(f, "it has more than {} MiB", most >> 20),
            Self::NotText => f.write_str("it is not text in UTF-8"),
        }
    }
}

impl From<io::Error> for NoInput {
    fn from(why: io::Error) -> Self {
        Self::Refused(why)
    }
}

/// All of a text.
///
/// # Errors
/// [`NoInput`].
pub fn read_text(path: &Path, most: u64) -> Result<String, NoInput> {
    String::from_utf8(read(path, most, |_| true)?).map_err(|_| NoInput::NotText)
}

/// All of a file, if it has at most `most` bytes and its first ones are as `begins` wants them:
/// those of another kind of file need not be read to their end.
///
/// # Errors
/// [`NoInput`]. A file that begins otherwise is none: its beginning is returned.
pub fn read(path: &Path, most: u64, begins: fn(&[u8]) -> bool) -> Result<Vec<u8>, NoInput> {
    read_from(File::open(path)?, most, begins)
}

/// The same of what is open already.
///
/// # Errors
/// [`NoInput`].
pub fn read_from(
    mut file: impl Read,
    most: u64,
    begins: fn(&[u8]) -> bool,
) -> Result<Vec<u8>, NoInput> {
    /// As much of the beginning as is looked at.
    const BEGINNING: u64 = 4096;
    let mut bytes = Vec::new();
    (&mut file).take(BEGINNING).read_to_end(&mut bytes)?;
    if !begins(&bytes) {
        return Ok(bytes);
    }
    file.take(most.saturating_sub(bytes.len() as u64) + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(NoInput::TooLarge { most }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_left() {
        let zero = Path::new("/dev/zero");
        let error = read(zero, 3 << 20, |_| true).expect_err("it never ends");
        assert_eq!(error.to_string(), "it has more than 3 MiB");
        assert_eq!(read(zero, 1 << 40, |_| false).expect("its beginning").len(), 4096);
    }

    #[test]
    fn a_file_of_the_largest_size_is_read() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("file");
        std::fs::write(&path, vec![b'x'; 8192]).expect("written");
        assert_eq!(read(&path, 8192, |_| true).expect("read").len(), 8192);
        assert!(matches!(read(&path, 8191, |_| true), Err(NoInput::TooLarge { .. })));
    }
}
