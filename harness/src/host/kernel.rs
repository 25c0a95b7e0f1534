//! The kernel that runs, by what it says of itself; nothing is tried.

use nix::sys::utsname::uname;

use crate::error::{Context, Result};
use crate::kernel::base::Base;
use crate::kernel::identity::Identity;

/// The kernel that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningKernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// The upstream version whose fixes it has, as far as that is known.
    pub base: Base,
}

impl RunningKernel {
    /// Asks it.
    ///
    /// # Errors
    /// `uname()` fails.
    pub fn ask() -> Result<Self> {
        let uname = uname().call(|| "uname()".into())?;
        let release = uname.release().to_string_lossy().into_owned();
        let build = uname.version().to_string_lossy().into_owned();
        let base = Identity::here(&release, &build).base();
        let machine = uname.machine().to_string_lossy().into_owned();
        Ok(Self { release, machine, base })
    }
}
