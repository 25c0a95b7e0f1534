//! Which file a case is in: the path of the file is the beginning of the case's id.

use crate::case::Case;

/// The cases whose ids begin with one first part.
pub struct Prefix {
    /// The first part: `accept-queue`.
    pub id: &'static str,
    /// What the cases are about.
    pub about: &'static str,
    /// The files that have them, in the order in which they are listed.
    pub files: &'static [CaseFile],
}

/// The cases of one file.
pub struct CaseFile {
    /// The file's module: `scenarios::cases::handshake::segments`.
    pub module: &'static str,
    /// Its cases, in the order in which they are listed.
    pub cases: &'static [Case],
}

impl Prefix {
    /// Its cases, file by file.
    pub fn cases(&self) -> impl Iterator<Item = &'static Case> {
        self.files.iter().flat_map(|file| file.cases)
    }
}

/// The files of a folder, in the order in which their cases are listed.
macro_rules! case_files {
    ($($file:ident),+ $(,)?) => {
        &[$($crate::prefix::CaseFile {
            module: concat!(module_path!(), "::", stringify!($file)),
            cases: $file::CASES,
        }),+]
    };
}

pub(crate) use case_files;
