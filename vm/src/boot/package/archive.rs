//! The archives in packages, read from their start to their end and never as a whole.

use std::io::{self, BufRead, Read};
use std::path::Path;

use cpio::NewcReader;

use crate::boot::compression::Compression;
use crate::boot::package::bad_package::{BadPackage, TooLarge, UnknownForm};

/// More than the largest package with a kernel has, with all its debug symbols. What unpacks
/// to more was made to.
const LARGEST: u64 = 16 << 30;

/// Takes each regular file of a package, with the path that it has in it.
pub type Visit<'a> = &'a mut dyn FnMut(&Path, &mut dyn Read) -> Result<(), BadPackage>;

/// What `input` is when decompressed, if it is compressed, up to a limit.
///
/// # Errors
/// It cannot be read.
pub fn decompressed<'a>(mut input: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, BadPackage> {
    let compression = Compression::of(input.fill_buf()?);
    let reader: Box<dyn Read> = match compression {
        Some(compression) => compression.open(input)?,
        None => Box::new(input),
    };
    Ok(Box::new(Bounded { inner: reader, left: LARGEST }))
}

/// Visits the files of a tar archive.
///
/// # Errors
/// It is damaged, or `visit` has an error.
pub fn tar(input: impl Read, visit: Visit<'_>) -> Result<(), BadPackage> {
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.into_owned();
            visit(&path, &mut entry)?;
        }
    }
    drain(archive.into_inner())
}

/// Visits the files of a cpio archive in the `newc` format. Of files that are one by hard
/// links, all but the last are empty.
///
/// # Errors
/// It is damaged, or `visit` has an error.
pub fn cpio(mut input: impl Read, visit: Visit<'_>) -> Result<(), BadPackage> {
    const REGULAR: u32 = 0o100_000;
    const TYPE: u32 = 0o170_000;
    let mut magic = [0; 6];
    input.read_exact(&mut magic)?;
    match &magic {
        b"070701" | b"070702" => {}
        b"07070X" => return Err(BadPackage::Unknown(UnknownForm::StrippedCpio)),
        _ => return Err(BadPackage::Unknown(UnknownForm::Compression)),
    }
    let mut input = magic.as_slice().chain(input);
    loop {
        let mut entry = NewcReader::new(&mut input)?;
        if entry.entry().is_trailer() {
            break;
        }
        if entry.entry().mode() & TYPE == REGULAR && entry.entry().file_size() > 0 {
            let path = entry.entry().name().to_owned();
            visit(Path::new(&path), &mut entry)?;
        }
        entry.finish()?;
    }
    drain(input)
}

/// Reads what is left, so that the checksum at the end is looked at.
fn drain(mut rest: impl Read) -> Result<(), BadPackage> {
    io::copy(&mut rest, &mut io::sink())?;
    Ok(())
}

/// A reader that has an error where there is more than there may be.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(TooLarge(LARGEST))),
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_never_ends_is_left() {
        let mut bounded = Bounded { inner: io::repeat(0), left: 100 };
        let error = io::copy(&mut bounded, &mut io::sink()).expect_err("too large");
        let sentence = BadPackage::from(error).to_string();
        assert_eq!(sentence, "unpacks to more than 16 GiB, which no kernel does");
    }
}
