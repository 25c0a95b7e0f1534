//! Numbers on the command line.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Reads a whole number of this range.
///
/// # Errors
///
/// What is needed, if it is no number or another one.
pub fn between<N>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("a number from {} to {} is needed", range.start(), range.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("1", Ok(1))]
    #[case("8", Ok(8))]
    #[case("0", Err("a number from 1 to 8 is needed"))]
    #[case("9", Err("a number from 1 to 8 is needed"))]
    #[case("-1", Err("a number from 1 to 8 is needed"))]
    #[case("99999999999999999999999", Err("a number from 1 to 8 is needed"))]
    #[case("", Err("a number from 1 to 8 is needed"))]
    #[case("two", Err("a number from 1 to 8 is needed"))]
    fn a_number_of_the_range_or_what_is_needed(
        #[case] text: &str,
        #[case] read: Result<u32, &str>,
    ) {
        assert_eq!(between(1..=8)(text), read.map_err(str::to_owned));
    }
}
