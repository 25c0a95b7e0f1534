//! The sockmig that is the first process of a guest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use harness::guest::IDENTITY;
use harness::process::subprocess::THIS_PROGRAM;

use crate::architecture::Architecture;
use crate::machine::program::{self, NoProgram};

/// No sockmig is larger, in bytes, not even with all its debug information.
const LARGEST: u64 = 1 << 30;

/// A sockmig for guests: this very program, or for another architecture another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GuestProgram {
    /// This one.
    #[default]
    This,
    /// The one that a user has named.
    Named {
        /// Its file.
        path: PathBuf,
        /// Whose guests it is for.
        architecture: Architecture,
    },
}

/// A file is no sockmig for guests.
#[derive(Debug, thiserror::Error)]
pub enum NotForGuests {
    /// No guest can run it.
    #[error("{} {why}", .path.display())]
    NoProgram {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: NoProgram,
    },
    /// It would not understand this program.
    #[error(
        "{} is not a sockmig of this version ({}); build it from the same source",
        .path.display(), env!("CARGO_PKG_VERSION")
    )]
    NotSockmig {
        /// The file.
        path: PathBuf,
    },
}

/// A guest's sockmig is for another architecture than its kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherArchitecture {
    /// None was named.
    #[error(
        "the kernel is for {kernel} and this sockmig for {}; name one for {kernel} with \
         --guest-binary",
        std::env::consts::ARCH
    )]
    This {
        /// The kernel's.
        kernel: Architecture,
    },
    /// Another one was named.
    #[error("the kernel is for {kernel}, and {} for {program}", .path.display())]
    Named {
        /// The kernel's.
        kernel: Architecture,
        /// The file.
        path: PathBuf,
        /// What it is for.
        program: Architecture,
    },
}

impl GuestProgram {
    /// Looks at a file that a user has named.
    ///
    /// # Errors
    /// [`NotForGuests`].
    pub fn named(path: &Path) -> Result<Self, NotForGuests> {
        let no_program = |why| NotForGuests::NoProgram { path: path.into(), why };
        let architecture = program::architecture_of(path).map_err(no_program)?;
        let bytes = || {
            let file = File::open(path)?;
            let is_small = file.metadata()?.len() <= LARGEST;
            let mut bytes = Vec::new();
            file.take(if is_small { LARGEST } else { 0 }).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = bytes().map_err(|e: io::Error| no_program(e.into()))?;
        match bytes.windows(IDENTITY.len()).any(|part| part == IDENTITY) {
            true => Ok(Self::Named { path: path.into(), architecture }),
            false => Err(NotForGuests::NotSockmig { path: path.into() }),
        }
    }

    /// Whose guests it is for, if kernels for that can be booted.
    pub fn architecture(&self) -> Option<Architecture> {
        match self {
            Self::This => Architecture::of_this_program(),
            Self::Named { architecture, .. } => Some(*architecture),
        }
    }

    /// The file to boot a kernel of this architecture with.
    ///
    /// # Errors
    /// [`OtherArchitecture`].
    pub fn file_for(&self, kernel: Architecture) -> Result<&Path, OtherArchitecture> {
        match self {
            Self::This if self.architecture() == Some(kernel) => Ok(Path::new(THIS_PROGRAM)),
            Self::This => Err(OtherArchitecture::This { kernel }),
            Self::Named { path, architecture } if *architecture == kernel => Ok(path),
            Self::Named { path, architecture } => {
                Err(OtherArchitecture::Named { kernel, path: path.clone(), program: *architecture })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test is of the same source, and so has the identity in it.
    #[test]
    fn a_sockmig_is_known_by_what_is_in_it() {
        let this = std::env::current_exe().expect("a name");
        let named = GuestProgram::named(&this).expect("a sockmig");
        let here = Architecture::of_this_program().expect("an architecture");
        assert_eq!(named.file_for(here), Ok(&*this));
        let other = Architecture::ALL.into_iter().find(|one| *one != here).expect("another");
        let refused = named.file_for(other).expect_err("another architecture").to_string();
        assert_eq!(
            refused,
            format!("the kernel is for {other}, and {} for {here}", this.display())
        );
        let refused = GuestProgram::This.file_for(other).expect_err("another").to_string();
        let end = format!("name one for {other} with --guest-binary");
        assert!(refused.ends_with(&end), "{refused}");
    }

    #[test]
    fn another_program_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("program");
        let mut bytes = std::fs::read(std::env::current_exe().expect("a name")).expect("a file");
        while let Some(at) = bytes.windows(IDENTITY.len()).position(|part| part == IDENTITY) {
            bytes[at] ^= 1;
        }
        std::fs::write(&path, bytes).expect("written");
        let refused = GuestProgram::named(&path).expect_err("no sockmig").to_string();
        assert!(refused.contains("is not a sockmig of this version"), "{refused}");
        let absent = GuestProgram::named(&place.path().join("absent")).expect_err("no file");
        assert!(absent.to_string().contains("absent cannot be read: No such file"), "{absent}");
    }
}
