//! Fetching the packages of a listed kernel, each held against its hash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::apt::Apt;
use crate::cache::{At, Cache, CacheError, Watch, remove};
use crate::kernels::{Kernel, Package};

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
    #[error("cannot fetch {what}, the mirror failed or this machine is offline: {said}")]
    Mirror {
        /// A package, or the lists of a suite.
        what: String,
        /// apt's words.
        said: String,
    },
    /// The mirror's lists are not signed with a key that this machine trusts.
    #[error(
        "cannot fetch, as the signature of {suite} cannot be checked; \
         the package debian-archive-keyring may be too old: {said}"
    )]
    NotSigned {
        /// The suite.
        suite: String,
        /// apt's words.
        said: String,
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

/// The packages of a kernel, from the cache or else from the mirror.
///
/// # Errors
/// One of them cannot be had.
pub fn fetch(
    kernel: &Kernel,
    cache: &Cache,
    watch: Watch<'_>,
) -> Result<Vec<PathBuf>, CannotFetch> {
    let mut apt = None;
    let mut debs = Vec::new();
    for package in &kernel.packages {
        let deb = cache.packages().join(package.file_name());
        if sha256(&deb)?.as_deref() != Some(&package.sha256) {
            remove(&deb)?;
            let apt = match &mut apt {
                Some(apt) => apt,
                none => none.insert(Apt::for_suite(&kernel.suite, cache, watch)?),
            };
            download(package, &deb, apt, watch)?;
        }
        debs.push(deb);
    }
    Ok(debs)
}

fn download(
    package: &Package,
    deb: &Path,
    apt: &mut Apt,
    watch: Watch<'_>,
) -> Result<(), CannotFetch> {
    let part = part(deb);
    let mut hash = sha256(&part)?;
    // What is there already may be the start of something else: a second try is from
    // nothing.
    let tries = if hash.is_some() { 2 } else { 1 };
    for _ in 0..tries {
        if hash.as_deref() == Some(&package.sha256) {
            break;
        }
        apt.download(package, &part, watch)?;
        hash = sha256(&part)?;
        if hash.as_deref() != Some(&package.sha256) {
            remove(&part)?;
        }
    }
    if hash.as_deref() == Some(&package.sha256) {
        return Ok(fs::rename(&part, deb).at("rename", &part)?);
    }
    Err(CannotFetch::HashDiffers {
        package: package.name.clone(),
        got: hash.unwrap_or_else(|| "of nothing".into()),
        listed: package.sha256.clone(),
    })
}

/// Where a package is while it comes in.
pub fn part(deb: &Path) -> PathBuf {
    let mut part = deb.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// The SHA-256 of a file, or nothing if there is no file.
fn sha256(path: &Path) -> Result<Option<String>, CacheError> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.at("open", path)?,
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match io::Read::read(&mut file, &mut buffer).at("read", path)? {
            0 => return Ok(Some(hex(&hash.finalize()))),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
