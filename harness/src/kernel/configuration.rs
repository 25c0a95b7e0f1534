//! What the kernel was built with, where that is known.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guest::modules::CONFIGURATION;

/// The options that a skip, or an error, can be about. No others are kept.
pub const OPTIONS: [&str; 17] = [
    "CONFIG_BPF_SYSCALL",
    "CONFIG_CRYPTO_HMAC",
    "CONFIG_CRYPTO_SHA1",
    "CONFIG_FAILSLAB",
    "CONFIG_INET_DIAG",
    "CONFIG_INET_DIAG_DESTROY",
    "CONFIG_INET_TCP_DIAG",
    "CONFIG_IO_URING",
    "CONFIG_IPV6",
    "CONFIG_MPTCP",
    "CONFIG_MPTCP_IPV6",
    "CONFIG_NF_TABLES",
    "CONFIG_NF_TABLES_INET",
    "CONFIG_SYN_COOKIES",
    "CONFIG_TCP_AO",
    "CONFIG_TCP_MD5SIG",
    "CONFIG_UNIX",
];

/// How an option was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Built {
    /// It is in the kernel.
    #[serde(rename = "y", alias = "in")]
    In,
    /// It is a module, which may or may not be at hand.
    #[serde(rename = "m", alias = "module")]
    Module,
    /// It is not there.
    #[serde(rename = "n", alias = "not")]
    Not,
}

/// Those of [`OPTIONS`], as they were answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Configuration(BTreeMap<String, Built>);

impl Configuration {
    /// The running kernel's, by `release` (`uname -r`): see [`text_of`].
    pub fn of(release: &str) -> Option<Self> {
        text_of(release).and_then(|text| Self::parse(&text))
    }

    /// Reads a `.config`; nothing if the text is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut options: BTreeMap<String, Built> =
            OPTIONS.iter().map(|option| ((*option).to_owned(), Built::Not)).collect();
        let mut is_one = false;
        for line in text.lines() {
            let Some((name, answer)) = line.split_once('=') else { continue };
            is_one |= name.starts_with("CONFIG_");
            if let Some(option) = options.get_mut(name) {
                *option = match answer {
                    "y" => Built::In,
                    "m" => Built::Module,
                    _ => Built::Not,
                };
            }
        }
        is_one.then_some(Self(options))
    }

    /// How `option` was answered.
    ///
    /// # Panics
    /// It is not one of [`OPTIONS`].
    pub fn get(&self, option: &str) -> Built {
        assert!(OPTIONS.contains(&option), "{option} is not among those that are kept");
        // A document of another version may have others.
        self.0.get(option).copied().unwrap_or(Built::Not)
    }
}

/// The running kernel's configuration as text: its own (`/proc/config.gz`), the one that the host
/// of this guest put there, or the one of its package, by `release` (`uname -r`).
pub fn text_of(release: &str) -> Option<String> {
    let file = |path: String| fs::read_to_string(path).ok();
    let modules = PathBuf::from("/lib/modules").join(release);
    unpacked(Path::new("/proc/config.gz"))
        .or_else(|| file(CONFIGURATION.into()))
        .or_else(|| file(format!("/boot/config-{release}")))
        .or_else(|| fs::read_to_string(modules.join("config")).ok())
}

fn unpacked(path: &Path) -> Option<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).ok()?).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_not_mentioned_are_not_there() {
        let text = "# CONFIG_TCP_AO is not set\nCONFIG_TCP_MD5SIG=y\nCONFIG_NF_TABLES=m\n";
        let parsed = Configuration::parse(text).expect("a configuration");
        assert_eq!(parsed.get("CONFIG_TCP_MD5SIG"), Built::In);
        assert_eq!(parsed.get("CONFIG_NF_TABLES"), Built::Module);
        assert_eq!(parsed.get("CONFIG_TCP_AO"), Built::Not);
        assert_eq!(parsed.get("CONFIG_INET_DIAG_DESTROY"), Built::Not);
        assert_eq!(Configuration::parse("not=one\n"), None);
    }
}
