//! The archives in packages, read from their start to their end and never as a whole.

use std::io::{self, BufRead, Read};
use std::path::Path;

use cpio::NewcReader;

use crate::boot::bounded::{Bounded, Content, TooLarge};
use crate::boot::compression::Compression;
use crate::boot::package::bad_package::{BadPackage, UnknownForm};
use crate::boot::tar_files;

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
    Ok(Box::new(Bounded::new(reader, Content::Package)))
}

/// Visits the files of a tar archive.
///
/// # Errors
/// It is damaged, or `visit` has an error.
pub fn tar(input: impl Read, visit: Visit<'_>) -> Result<(), BadPackage> {
    let mut archive = tar::Archive::new(input);
    tar_files::visit(&mut archive, visit)?;
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
    /// Six digits, and thirteen numbers of eight, the last but one of which is the length of
    /// the name.
    const HEADER: usize = 6 + 13 * 8;
    const NAME: std::ops::Range<usize> = HEADER - 16..HEADER - 8;
    loop {
        let mut header = [0; HEADER];
        input.read_exact(&mut header)?;
        match &header[..6] {
            b"070701" | b"070702" => {}
            b"07070X" => return Err(BadPackage::Unknown(UnknownForm::StrippedCpio)),
            _ => return Err(BadPackage::Unknown(UnknownForm::Compression)),
        }
        let name = std::str::from_utf8(&header[NAME]).ok();
        let name = name.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        if name.is_some_and(|length| length > Content::Name.most()) {
            return Err(BadPackage::TooLarge(TooLarge(Content::Name)));
        }
        let mut entry = NewcReader::new(header.as_slice().chain(&mut input))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::bounded;

    #[test]
    fn a_package_that_never_ends_is_left() {
        let error = bounded::read(io::repeat(0), Content::Control).expect_err("too large");
        let sentence = BadPackage::from(error).to_string();
        assert_eq!(sentence, "unpacks to a control file of more than 1 MiB, which is none");
    }

    #[test]
    fn a_name_that_never_ends_is_left() {
        // The last field but one is the length of a name, here of 4 GiB.
        let header = ["070701", &"0".repeat(11 * 8), "fffffff0", "00000000"].concat();
        let input = header.as_bytes().chain(io::repeat(b'a'));
        let error = cpio(input, &mut |_, _| Ok(())).expect_err("it is too long");
        assert_eq!(error.to_string(), "unpacks to a path of more than 64 KiB, which is none");
    }
}
