//! What comes out of files is read up to a limit: a few bytes can unpack to any number.

use std::fmt;
use std::io::{self, Read};

/// What is read, which decides how much of it there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A kernel's ELF, without its debug information.
    Kernel,
    /// A kernel that unpacks itself.
    BzImage,
    /// A module, with its debug information if it has that.
    Module,
    /// A build's configuration, or the list of what it has built in.
    List,
    /// Everything in a package, with all its debug information.
    Package,
    /// What a package says of itself.
    Control,
    /// The path of a file in an archive.
    Name,
}

impl Content {
    /// The most that there may be, in bytes: some ten times what the largest of today has.
    pub fn most(self) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Package => 16 * 1024 * MIB,
            Self::Kernel => 512 * MIB,
            Self::BzImage | Self::Module => 128 * MIB,
            Self::List => 4 * MIB,
            Self::Control => MIB,
            Self::Name => MIB / 16,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "a kernel",
            Self::BzImage => "a bzImage",
            Self::Module => "a module",
            Self::List => "a list of options or modules",
            Self::Package => "a package",
            Self::Control => "a control file",
            Self::Name => "a path",
        })
    }
}

/// There is more of something than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct TooLarge(pub Content);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kib, mib) = (self.0.most() >> 10, self.0.most() >> 20);
        match mib {
            0 => write!(f, "{} of more than {kib} KiB", self.0),
            _ => write!(f, "{} of more than {mib} MiB", self.0),
        }
    }
}

/// A reader that has an error where there is more than there may be.
#[derive(Debug)]
pub struct Bounded<R> {
    from: R,
    content: Content,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// Of what `from` reads, no more than there may be.
    pub fn new(from: R, content: Content) -> Self {
        Self { from, content, left: content.most() }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or_else(|| io::Error::other(TooLarge(self.content)))?;
        Ok(count)
    }
}

/// All of it.
///
/// # Errors
/// [`TooLarge`], or it cannot be read.
pub fn read(from: impl Read, content: Content) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Bounded::new(from, content).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_left() {
        let error = read(io::repeat(0), Content::Control).expect_err("too large");
        assert_eq!(error.to_string(), "a control file of more than 1 MiB");
        let all = read(io::repeat(0).take(Content::Name.most()), Content::Name);
        assert_eq!(all.expect("as much as there may be").len() as u64, Content::Name.most());
    }
}
