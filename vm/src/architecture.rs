//! The architectures whose kernels can be booted.

use std::fmt;

use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, Machine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An architecture, named as the kernel's own source or Debian names it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Little-endian, with pages of 4 KiB.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Little-endian, with pages of 4, 16 or 64 KiB.
    Arm64,
    /// Big-endian, with pages of 4 KiB.
    S390x,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Arm64, Self::S390x];

    /// That of this program, if kernels of it can be booted.
    pub fn of_this_program() -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.of_rust() == std::env::consts::ARCH)
    }

    /// Its name, as `--arch` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::S390x => "s390x",
        }
    }

    /// The name of its packages in Debian.
    pub fn of_debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
            Self::S390x => "s390x",
        }
    }

    /// The beginning of its targets' names in Rust.
    pub fn of_rust(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
            Self::S390x => "s390x",
        }
    }

    /// The architecture of an ELF file by its `e_machine`; the name of one that cannot be booted
    /// is the error, as far as it is known.
    ///
    /// # Errors
    /// No kernel of it can be booted.
    pub fn of_elf(machine: Machine) -> Result<Self, &'static str> {
        match machine {
            EM_X86_64 => Ok(Self::X86_64),
            EM_AARCH64 => Ok(Self::Arm64),
            EM_S390 => Ok(Self::S390x),
            EM_386 => Err("i386"),
            EM_ARM => Err("32-bit ARM"),
            EM_PPC64 => Err("ppc64"),
            EM_RISCV => Err("riscv"),
            _ => Err("another architecture"),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_shown() {
        for architecture in Architecture::ALL {
            let written = serde_json::to_string(&architecture).expect("JSON");
            assert_eq!(written, format!("\"{architecture}\""));
            assert_eq!(serde_json::from_str::<Architecture>(&written).ok(), Some(architecture));
        }
    }

    #[test]
    fn this_program_has_one_of_them() {
        let here = Architecture::of_this_program().map(Architecture::of_rust);
        assert_eq!(here, Some(std::env::consts::ARCH));
    }
}
