//! `--max-fail` and `--fail-fast`: after how many failures nothing more is begun.

use std::num::NonZeroU32;
use std::str::FromStr;

use clap::Args;

/// When to stop.
#[derive(Debug, Clone, Copy, Args)]
pub struct FailureOptions {
    /// Begin no more cases when N have failed, or have broken the laboratory. What was not run is
    /// shown. `all` is no limit.
    #[arg(long, value_name = "N")]
    pub max_fail: Option<MaxFail>,

    /// The same as `--max-fail 1`.
    #[arg(long, conflicts_with = "max_fail")]
    pub fail_fast: bool,
}

/// `--max-fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxFail {
    /// After this many.
    At(NonZeroU32),
    /// Never.
    All,
}

impl FailureOptions {
    /// After how many; nothing for no limit.
    pub fn most(self) -> Option<NonZeroU32> {
        match self.max_fail {
            Some(MaxFail::At(most)) => Some(most),
            Some(MaxFail::All) => None,
            None => self.fail_fast.then_some(NonZeroU32::MIN),
        }
    }
}

impl FromStr for MaxFail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            text => match text.parse() {
                Ok(most) => Ok(Self::At(most)),
                Err(_) => Err(format!("a number from 1 to {}, or `all`, is needed", u32::MAX)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn most(number: u32) -> MaxFail {
        MaxFail::At(NonZeroU32::new(number).expect("not 0"))
    }

    #[rstest]
    #[case("1", Some(most(1)))]
    #[case("4294967295", Some(most(u32::MAX)))]
    #[case("all", Some(MaxFail::All))]
    #[case("0", None)]
    #[case("4294967296", None)]
    #[case("-1", None)]
    #[case("", None)]
    fn a_limit_is_a_number_or_all(#[case] text: &str, #[case] wanted: Option<MaxFail>) {
        assert_eq!(text.parse().ok(), wanted);
    }
}
