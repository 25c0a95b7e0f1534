//! Variables of the environment that are set, and mean nothing. What a user has set and nobody
//! reads is told, since it was set for something.

/// What sockmig reads.
const READ: [&str; 4] = ["SOCKMIG_CACHE", "SOCKMIG_GATE", "SOCKMIG_JOBS", "SOCKMIG_LONG"];

/// What its tests read, which start it with the same environment.
const READ_BY_TESTS: [&str; 4] =
    ["SOCKMIG_AXE", "SOCKMIG_BROWSER", "SOCKMIG_UML", "SOCKMIG_UPDATE_README"];

/// Nothing is waited for longer than this many times.
const MOST_SLOW: u32 = 100;

/// No more labs are at work at a time.
const MOST_JOBS: u32 = 1000;

/// What values are taken for, where not every text has a meaning.
const YES: [&str; 4] = ["yes", "y", "true", "on"];
const NO: [&str; 3] = ["no", "0", ""];

/// A sentence for each variable whose name or value says nothing.
pub fn complaints(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut complaints: Vec<String> =
        variables.filter_map(|(name, value)| one(&name, &value)).collect();
    complaints.sort();
    complaints
}

fn one(name: &str, value: &str) -> Option<String> {
    let is_known = YES.contains(&value) || NO.contains(&value);
    match name {
        "KSFT_MACHINE_SLOW" if !is_known => {
            let taken_for = match value.parse::<u32>() {
                Ok(..=MOST_SLOW) => return None,
                Ok(_) => MOST_SLOW,
                Err(_) => 3,
            };
            Some(format!(
                "KSFT_MACHINE_SLOW={value} is no number up to {MOST_SLOW}, nor yes or no; it is \
                 taken for {taken_for}"
            ))
        }
        "SOCKMIG_LONG" if !is_known && value != "1" => {
            Some(format!("SOCKMIG_LONG={value} is neither 1 nor 0, and is taken for 1"))
        }
        "SOCKMIG_JOBS"
            if !value.parse::<u32>().is_ok_and(|jobs| (1..=MOST_JOBS).contains(&jobs)) =>
        {
            Some(format!("SOCKMIG_JOBS={value} is no number from 1 to {MOST_JOBS}, and not heeded"))
        }
        name if READ.contains(&name) || READ_BY_TESTS.contains(&name) => None,
        name if name.starts_with("SOCKMIG_") => {
            let near = READ.into_iter().map(|read| (strsim::osa_distance(name, read), read));
            let near = near.min().filter(|(distance, _)| *distance <= 3);
            let hint = near.map_or_else(|| READ.join(", "), |(_, read)| format!("meant is {read}"));
            Some(format!("{name} is set, and nothing reads it: {hint}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("SOCKMIG_CACHE", "/tmp", None)]
    #[case("SOCKMIG_CAHCE", "/tmp", Some("meant is SOCKMIG_CACHE"))]
    #[case("SOCKMIG_COLOUR", "1", Some("nothing reads it: SOCKMIG_CACHE, SOCKMIG_GATE"))]
    #[case("SOCKMIG_UPDATE_README", "1", None)]
    #[case("SOCKMIG_LONG", "1", None)]
    #[case("SOCKMIG_LONG", "0", None)]
    #[case("SOCKMIG_LONG", "maybe", Some("is taken for 1"))]
    #[case("SOCKMIG_JOBS", "4", None)]
    #[case("SOCKMIG_JOBS", "x", Some("is no number from 1 to 1000"))]
    #[case("SOCKMIG_JOBS", "0", Some("is no number from 1 to 1000"))]
    #[case("KSFT_MACHINE_SLOW", "yes", None)]
    #[case("KSFT_MACHINE_SLOW", "5", None)]
    #[case("KSFT_MACHINE_SLOW", "", None)]
    #[case("KSFT_MACHINE_SLOW", "fast", Some("is taken for 3"))]
    #[case("KSFT_MACHINE_SLOW", "500", Some("is taken for 100"))]
    #[case("KSFT_MACHINE_SLOW", "-3", Some("is no number up to 100"))]
    #[case("KSFT_MACHINE_SLOW", "99999999999", Some("is no number up to 100"))]
    #[case("HOME", "SOCKMIG_X", None)]
    fn what_means_nothing_is_told(
        #[case] name: &str,
        #[case] value: &str,
        #[case] told: Option<&str>,
    ) {
        let complaints = complaints([(name.to_owned(), value.to_owned())].into_iter());
        match (complaints.as_slice(), told) {
            ([], None) => {}
            ([one], Some(part)) => assert!(one.contains(part), "{one}"),
            other => panic!("{other:?}"),
        }
    }
}
