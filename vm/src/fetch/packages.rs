//! Fetching the packages of a listed kernel, each held against its hash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fetch::apt::Apt;
use crate::fetch::cache::{At, Cache, CacheError, Watch, remove};
use crate::fetch::cannot_fetch::CannotFetch;
use crate::fetch::kernels::{Kernel, Package};

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
                none => none.insert(Apt::for_index(kernel.index(), cache, watch)?),
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
pub(crate) fn sha256(path: &Path) -> Result<Option<String>, CacheError> {
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
