//! The kernel's taint: what has happened to it since it was booted that makes its developers
//! doubt it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::net::sysctl;

/// The setting that holds it. It is the whole machine's.
const TAINTED: &str = "kernel.tainted";

/// The flags, from bit 0 on: the kernel's letter, and what it stands for
/// (`Documentation/admin-guide/tainted-kernels.rst`).
const FLAGS: [(char, &str); 20] = [
    ('P', "a proprietary module was loaded"),
    ('F', "a module was loaded by force"),
    ('S', "the hardware is out of specification"),
    ('R', "a module was unloaded by force"),
    ('M', "a machine check was reported"),
    ('B', "a page was found in a bad state"),
    ('U', "a program asked for it"),
    ('D', "it has oopsed"),
    ('A', "an ACPI table was replaced"),
    ('W', "it has warned"),
    ('C', "a staging driver was loaded"),
    ('I', "a firmware bug was worked around"),
    ('O', "a module from elsewhere was loaded"),
    ('E', "an unsigned module was loaded"),
    ('L', "a soft lockup happened"),
    ('K', "it was patched live"),
    ('X', "the distribution says so"),
    ('T', "structure randomisation is on"),
    ('N', "a test was run in it"),
    ('J', "a debug call changed firmware"),
];

/// The flag W.
const WARNED: u64 = 1 << 9;

/// A set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint(u64);

impl Taint {
    /// What the running kernel has.
    ///
    /// # Errors
    /// There is no /proc, or no such setting.
    pub fn read() -> Result<Self> {
        let value = sysctl::read(TAINTED)?;
        value.parse().map(Self).map_err(|_| Error::unreadable(TAINTED, value))
    }

    /// The flags that are set now and were not then.
    #[must_use]
    pub fn gained_since(self, earlier: Self) -> Self {
        Self(self.0 & !earlier.0)
    }

    /// The flags without W, which a warning sets.
    #[must_use]
    pub fn but_warned(self) -> Self {
        Self(self.0 & !WARNED)
    }

    /// No flag is set.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// As `W (it has warned)`; a flag that is newer than this program by its bit.
impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = |bit: u32| match FLAGS.get(bit as usize) {
            Some((letter, what)) => format!("{letter} ({what})"),
            None => format!("bit {bit}"),
        };
        let set: Vec<String> =
            (0..u64::BITS).filter(|bit| self.0 & (1 << bit) != 0).map(meaning).collect();
        f.write_str(&if set.is_empty() { "none".to_owned() } else { set.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::Taint;

    #[test]
    fn only_what_is_new_is_gained() {
        let (before, after) = (Taint(1 << 12), Taint(1 << 12 | 1 << 9 | 1 << 40));
        let gained = after.gained_since(before);
        assert_eq!(gained.to_string(), "W (it has warned), bit 40");
        assert_eq!(gained.but_warned().to_string(), "bit 40");
        assert!(before.gained_since(after).is_none());
        assert_eq!(Taint(0).to_string(), "none");
    }

    #[test]
    fn the_running_kernel_tells() {
        Taint::read().expect("kernel.tainted");
    }
}
