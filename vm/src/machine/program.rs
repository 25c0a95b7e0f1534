//! Files that might be programs for a guest.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use object::LittleEndian as LE;
use object::elf::{EM_X86_64, FileHeader64, PT_INTERP};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};

/// A file cannot be run in a guest.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else.
    #[error("is not a program for x86_64; a guest has no interpreter for anything else")]
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

/// Whether a guest can run this file all by itself.
///
/// # Errors
/// [`NoProgram`].
pub fn check(path: &Path) -> Result<(), NoProgram> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(NoProgram::SomethingElse);
    }
    let data = &ReadCache::new(file);
    let something_else = |_| NoProgram::SomethingElse;
    let header = FileHeader64::<LE>::parse(data).map_err(something_else)?;
    if header.e_machine(LE) != EM_X86_64 {
        return Err(NoProgram::SomethingElse);
    }
    let segments = header.program_headers(LE, data).map_err(something_else)?;
    match segments.iter().any(|segment| segment.p_type(LE) == PT_INTERP) {
        true => Err(NoProgram::Dynamic),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_more_than_itself_is_refused() {
        let why = |path: &str| check(Path::new(path)).expect_err("no program").to_string();
        assert!(check(&std::env::current_exe().expect("this program")).is_ok());
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
