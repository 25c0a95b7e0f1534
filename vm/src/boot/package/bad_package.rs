//! Why a package cannot be taken apart.

use std::io;

use crate::fetch::cache::CacheError;

/// A package cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum BadPackage {
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is not what its headers say.
    #[error("is truncated or damaged: {0}")]
    Damaged(String),
    /// It is whole, and in a form that is not known here.
    #[error("holds {0}, which sockmig does not read; unpack it and name the vmlinuz in it")]
    Unknown(UnknownForm),
    /// What is in it takes more room than any kernel does.
    #[error("unpacks to more than {} GiB, which no kernel does", .0 >> 30)]
    TooLarge(u64),
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

/// More came out of a package than there may be in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} bytes")]
pub struct TooLarge(pub u64);

/// A package that opens is at fault for whatever fails while it is read.
impl From<io::Error> for BadPackage {
    fn from(error: io::Error) -> Self {
        let too_large = error.get_ref().and_then(|inner| inner.downcast_ref::<TooLarge>());
        match (error.kind(), too_large) {
            (_, Some(TooLarge(most))) => Self::TooLarge(*most),
            (io::ErrorKind::UnexpectedEof, _) => Self::Damaged("it ends in the middle".into()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}
