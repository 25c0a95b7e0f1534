//! Why a package cannot be taken apart.

use std::io;

use harness::in_words;

use crate::boot::bounded::TooLarge;
use crate::fetch::cache::CacheError;

/// A package cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum BadPackage {
    /// It cannot be read at all.
    #[error("cannot be read: {}", in_words(.0))]
    Unreadable(#[source] io::Error),
    /// It is not what its headers say.
    #[error("is truncated or damaged: {0}")]
    Damaged(String),
    /// It is whole, and in a form that is not known here.
    #[error("holds {0}, which sockmig does not read; unpack it and name the vmlinuz in it")]
    Unknown(UnknownForm),
    /// There is more of something in it than there may be.
    #[error("unpacks to {0}, which is none")]
    TooLarge(TooLarge),
    /// What is in it cannot be written.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A form of packages that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownForm {
    /// Neither gzip, xz, lzma nor zstd.
    Compression,
    /// What rpm writes for files of more than 4 GiB, and in its packages of format 6: the
    /// archive has no names.
    StrippedCpio,
}

impl std::fmt::Display for UnknownForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Compression => {
                "an archive that is compressed in another way than gzip, xz or zstd"
            }
            Self::StrippedCpio => "an archive without names (rpm's format for large files)",
        })
    }
}

/// A package that opens is at fault for whatever fails while it is read.
impl From<io::Error> for BadPackage {
    fn from(error: io::Error) -> Self {
        let too_large = error.get_ref().and_then(|inner| inner.downcast_ref::<TooLarge>());
        match (error.kind(), too_large) {
            (_, Some(too_large)) => Self::TooLarge(*too_large),
            (io::ErrorKind::UnexpectedEof, _) => Self::Damaged("it ends in the middle".into()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}
