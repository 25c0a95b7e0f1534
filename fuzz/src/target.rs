//! What is fuzzed.

use std::path::Path;

use clap::ValueEnum;

use crate::{corpus, reading};

/// A kind of input, and what reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Results in JSON, through every command that reads them.
    Documents,
    /// Kernels.
    Images,
    /// Packages with kernels.
    Packages,
    /// Files of servers (`reload --server`).
    Servers,
    /// Lists of known bugs (`--known`).
    Known,
    /// Captures: their packets as segments, traces and ladders.
    Captures,
    /// Histories (`replay`, `script`).
    Histories,
}

impl Target {
    /// What every input is made from.
    pub fn corpus(self) -> Vec<Vec<u8>> {
        match self {
            Self::Documents => corpus::documents(),
            Self::Images => corpus::images(),
            Self::Packages => corpus::packages(),
            Self::Servers => corpus::servers(),
            Self::Known => corpus::known(),
            Self::Captures => corpus::captures(),
            Self::Histories => corpus::histories(),
        }
    }

    /// Has an input read, which is in the file `path` in a directory where more can be written.
    /// Returns what came of it, without what is different each time: an input with another
    /// result has reached something new.
    pub fn read(self, input: &[u8], path: &Path) -> String {
        match self {
            Self::Documents => reading::documents(input),
            Self::Images => reading::image(input, path),
            Self::Packages => reading::package(path),
            Self::Servers => reading::server(input),
            Self::Known => reading::known(input),
            Self::Captures => reading::capture(input),
            Self::Histories => reading::history(input),
        }
    }

    /// How much address space reading may take, in bytes: what is needed for the largest that is
    /// allowed, and for a program of this size.
    pub fn address_space(self) -> u64 {
        const GIB: u64 = 1 << 30;
        match self {
            // A kernel of 512 MiB, while it grows, and the dictionary that it is unpacked with.
            Self::Images | Self::Packages => 3 * GIB,
            Self::Documents | Self::Servers | Self::Known | Self::Captures | Self::Histories => GIB,
        }
    }
}
