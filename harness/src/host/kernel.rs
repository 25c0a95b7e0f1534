//! The kernel that runs, by what it says of itself; nothing is tried.

use nix::sys::utsname::uname;

use crate::error::{Context, Error, Result};
use crate::kernel::Version;

/// The kernel that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningKernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// The upstream version whose fixes it has.
    pub base: Version,
}

impl RunningKernel {
    /// Asks it.
    ///
    /// # Errors
    /// Its version cannot be read.
    pub fn ask() -> Result<Self> {
        let uname = uname().call(|| "uname()".into())?;
        let release = uname.release().to_string_lossy().into_owned();
        let build = uname.version().to_string_lossy().into_owned();
        let base = crate::kernel::upstream_version(&release, &build)
            .ok_or_else(|| Error::unreadable("the kernel's version", &release))?;
        let machine = uname.machine().to_string_lossy().into_owned();
        Ok(Self { release, machine, base })
    }
}
