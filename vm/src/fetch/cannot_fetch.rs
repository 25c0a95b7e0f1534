//! Why the packages of a kernel cannot be had.

use crate::fetch::cache::CacheError;

/// The packages of a kernel cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CannotFetch {
    /// There is no apt on this machine.
    #[error("there is no apt here to fetch it with; give the kernel's file with --kernel PATH")]
    NoApt,
    /// apt is there and knows nothing of Debian's archive.
    #[error(
        "apt has no Debian archive among its sources; \
         add one, or give the kernel's file with --kernel PATH"
    )]
    NoArchive,
    /// The mirror has newer versions only.
    #[error("cannot fetch: the mirror no longer has {package} {version} in {suite}")]
    Gone {
        /// The package's name.
        package: String,
        /// The version of the table.
        version: String,
        /// Where it was.
        suite: String,
    },
    /// The mirror cannot be reached, or failed in the middle. What has come in so far is
    /// kept for the next time.
    #[error("cannot fetch {what}, the mirror failed or this machine is offline: {message}")]
    Mirror {
        /// A package, or the lists of a suite.
        what: String,
        /// apt's own message.
        message: String,
    },
    /// The mirror's lists are not signed with a key that this machine trusts.
    #[error(
        "cannot fetch, as the signature of {suite} cannot be checked; \
         the package debian-archive-keyring may be too old: {message}"
    )]
    NotSigned {
        /// The suite.
        suite: String,
        /// apt's own message.
        message: String,
    },
    /// The mirror has something else under that name and version.
    #[error(
        "{package} from the mirror is not what vm/kernels.toml lists: \
         SHA-256 {got} and not {listed}; it was thrown away"
    )]
    HashDiffers {
        /// The package's name.
        package: String,
        /// The hash of what came.
        got: String,
        /// The hash of the table.
        listed: String,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}
