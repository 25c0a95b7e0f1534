//! `--shard`: which part of the kernels.

use std::fmt;
use std::str::FromStr;

/// `--shard`: part `number` of `of`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

/// What `sockmig merge` can put together.
pub const MOST_SHARDS: usize = 10_000;

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
        };
        let parts = text.split_once('/').and_then(|(k, n)| Some((number(k)?, number(n)?)));
        match parts {
            Some((_, of)) if of > MOST_SHARDS => {
                Err(format!("there are no more than {MOST_SHARDS} parts"))
            }
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            Some((0, _)) => Err("the first part is 1".into()),
            Some((number, of)) => Err(format!("there is no part {number} of {of}")),
            None => Err("K/N is needed, with K from 1 to N".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("1/1", Ok(Shard { number: 1, of: 1 }))]
    #[case("5/7", Ok(Shard { number: 5, of: 7 }))]
    #[case("5/99999999999", Err("there are no more than 10000 parts"))]
    #[case("1/99999999999999999999999", Err("there are no more than 10000 parts"))]
    #[case("0/3", Err("the first part is 1"))]
    #[case("4/3", Err("there is no part 4 of 3"))]
    #[case("+1/3", Err("K/N is needed, with K from 1 to N"))]
    #[case("1", Err("K/N is needed, with K from 1 to N"))]
    #[case("/", Err("K/N is needed, with K from 1 to N"))]
    fn a_shard_that_is_none_has_its_reason(#[case] text: &str, #[case] shard: Result<Shard, &str>) {
        assert_eq!(text.parse::<Shard>(), shard.map_err(str::to_owned));
    }
}
