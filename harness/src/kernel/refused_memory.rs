//! Memory that the kernel refuses to itself, because it was told to (`CONFIG_FAILSLAB`): what is
//! done where there is none left.
//!
//! It refuses it to the whole machine: this has a meaning only where nothing else runs
//! ([`crate::guest::is_here`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::error::{Context, Result};

/// Where the kernel shows its caches.
const CACHES: &str = "/sys/kernel/slab";

/// In which of them everything can be refused, or nothing, if the kernel can do that.
const OF_CACHE: &str = "failslab";

/// Where it is said how much is refused.
const DEBUG: &str = "/sys/kernel/debug";

/// The settings with which everything is refused that is not waited for, of such caches alone,
/// without a word in the log.
const EVERYTHING: [(&str, &str); 5] = [
    ("cache-filter", "Y"),
    ("ignore-gfp-wait", "Y"),
    ("times", "-1"),
    ("verbose", "0"),
    ("probability", "100"),
];

/// The settings with which nothing is.
const NOTHING: [(&str, &str); 1] = [("probability", "0")];

/// Whether this kernel can refuse memory to itself.
///
/// # Errors
/// ENOENT: it cannot.
pub(crate) fn probe() -> io::Result<()> {
    fs::metadata(of_cache("request_sock_TCP")).map(drop)
}

/// A cache from which the kernel gets nothing, until this is dropped.
#[derive(Debug)]
pub(crate) struct Refused {
    cache: PathBuf,
}

impl Refused {
    /// Refuses everything of the cache of this name.
    ///
    /// # Errors
    /// The kernel cannot do it, or shares the cache with others.
    pub(crate) fn all_of(cache: &str) -> Result<Self> {
        let mounted = mount(
            Some("debugfs"),
            DEBUG,
            Some("debugfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            None::<&str>,
        );
        match mounted {
            // It is there already.
            Err(Errno::EBUSY) => {}
            answer => answer.call(|| format!("mount(debugfs, {DEBUG})"))?,
        }
        let refused = Self { cache: of_cache(cache) };
        write(&refused.cache, "1")?;
        set(&EVERYTHING)?;
        Ok(refused)
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        let _ = set(&NOTHING);
        let _ = write(&self.cache, "0");
    }
}

fn of_cache(name: &str) -> PathBuf {
    Path::new(CACHES).join(name).join(OF_CACHE)
}

fn set(settings: &[(&str, &str)]) -> Result<()> {
    settings
        .iter()
        .try_for_each(|(name, value)| write(&Path::new(DEBUG).join(OF_CACHE).join(name), value))
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).call(|| format!("write({}, {value})", path.display()))
}
