//! Files that might be programs for a guest.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use harness::in_words;
use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::architecture::Architecture;
use crate::boot::regular;

/// A file cannot be run in a guest.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// It cannot be read.
    #[error("cannot be read: {}", in_words(.0))]
    Unreadable(#[from] io::Error),
    /// It is something else.
    #[error(
        "is not a program for {}; a guest has no interpreter for anything else",
        Architecture::ALL.map(Architecture::name).join(" or ")
    )]
    SomethingElse,
    /// Its libraries would be missing.
    #[error(
        "is linked dynamically, and a guest has no libraries; \
         build it with RUSTFLAGS='-C target-feature=+crt-static', or cc -static"
    )]
    Dynamic,
}

/// The absolute path by which a guest will know a file or directory.
///
/// # Errors
/// It has to be looked up, and is not there.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    // A guest has no links of the host's that `..` could be the other side of.
    match path.components().any(|part| part == Component::ParentDir) {
        true => fs::canonicalize(path),
        false => std::path::absolute(path),
    }
}

/// Which guests can run this file all by itself.
///
/// # Errors
/// [`NoProgram`].
pub fn architecture_of(path: &Path) -> Result<Architecture, NoProgram> {
    // Before it is opened: a pipe would wait for somebody who writes to it.
    regular::check(path)?.map_err(|_| NoProgram::SomethingElse)?;
    let file = File::open(path)?;
    let data = &ReadCache::new(file);
    let something_else = |_| NoProgram::SomethingElse;
    let header = FileHeader64::<Endianness>::parse(data).map_err(something_else)?;
    let order = header.endian().map_err(something_else)?;
    let architecture = Architecture::of_elf(header.e_machine(order));
    let architecture = architecture.map_err(|_| NoProgram::SomethingElse)?;
    let segments = header.program_headers(order, data).map_err(something_else)?;
    match segments.iter().any(|segment| segment.p_type(order) == PT_INTERP) {
        true => Err(NoProgram::Dynamic),
        false => Ok(architecture),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_more_than_itself_is_refused() {
        let why =
            |path: &str| architecture_of(Path::new(path)).expect_err("no program").to_string();
        let this = architecture_of(&std::env::current_exe().expect("this program"));
        assert_eq!(this.ok(), Architecture::of_this_program());
        assert!(why("/").starts_with("is not a program"));
        assert!(why("/proc/self/status").starts_with("is not a program"));
        assert!(why("/no/such/program").starts_with("cannot be read: No such file"));
    }

    #[test]
    fn a_path_leads_to_the_same_place_in_the_guest() {
        let found = absolute(Path::new("/proc/../proc/./self")).expect("it is there");
        assert!(found.starts_with("/proc/") && found.ends_with(std::process::id().to_string()));
        assert_eq!(absolute(Path::new("/a/./b")).expect("no look-up"), Path::new("/a/b"));
    }
}
