//! What apt's messages mean. apt has an exit code for all failures alike, so that its words,
//! in English (`LC_ALL=C`), are all there is to distinguish them; they are read here and
//! nowhere else.

use std::process::Output;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// There is no space left for what is fetched.
    DiskFull,
    /// The signature of the lists cannot be checked.
    NotSigned,
    /// The mirror has no such file.
    NotOnMirror,
    /// Anything else: the mirror failed, or is out of reach.
    Other,
}

/// What apt writes about each; the first that fits counts.
const WORDINGS: [(&str, Problem); 6] = [
    ("No space left", Problem::DiskFull),
    ("enough free space", Problem::DiskFull),
    ("GPG error", Problem::NotSigned),
    ("is not signed", Problem::NotSigned),
    ("404  Not Found", Problem::NotOnMirror),
    // A warning to apt, which would go on with old lists.
    ("Failed to fetch", Problem::Other),
];

/// What went wrong, by apt's first message and its exit code; nothing if all went well.
pub fn problem(output: &Output) -> Option<Problem> {
    let message = message(output);
    let known = WORDINGS.iter().find(|(words, _)| message.contains(words));
    match known {
        Some((_, problem)) => Some(*problem),
        None => (!output.status.success()).then_some(Problem::Other),
    }
}

/// apt's first error or warning, on one line; how it ended if it has none.
pub fn message(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let first =
        text.lines().find_map(|line| line.strip_prefix("E: ").or_else(|| line.strip_prefix("W: ")));
    match first {
        None => format!("apt ended with {}", output.status),
        Some(first) => first.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[rstest]
    #[case(0, "", None)]
    #[case(100, "", Some(Problem::Other))]
    #[case(0, "W: Some index files failed to download.", None)]
    #[case(0, "W: Failed to fetch http://a/b  Connection failed", Some(Problem::Other))]
    #[case(
        100,
        "E: Failed to fetch http://a/b  404  Not Found [IP: ::1 80]",
        Some(Problem::NotOnMirror)
    )]
    #[case(100, "E: You don't have enough free space in /x/.", Some(Problem::DiskFull))]
    #[case(
        100,
        "Reading...\nE: Write error - write (28: No space left on device)",
        Some(Problem::DiskFull)
    )]
    #[case(0, "W: GPG error: http://a b InRelease: NO_PUBKEY 0", Some(Problem::NotSigned))]
    #[case(100, "E: The repository 'http://a b Release' is not signed.", Some(Problem::NotSigned))]
    fn messages_are_classified(
        #[case] code: i32,
        #[case] stderr: &str,
        #[case] want: Option<Problem>,
    ) {
        let status = ExitStatus::from_raw(code << 8);
        let output = Output { status, stdout: vec![], stderr: stderr.into() };
        assert_eq!(problem(&output), want);
    }
}
