//! sockmig's own list of known bugs, `known-bugs.toml`.

use std::sync::OnceLock;

#[cfg(test)]
use harness::kernel::base::{Base, Family, ReadFrom};

#[cfg(test)]
use crate::judge::known::Candidate;
use crate::judge::known::KnownList;
use crate::judge::known_file;

/// The list as text.
pub const TEXT: &str = include_str!("../../data/known-bugs.toml");

/// The list.
pub fn builtin() -> &'static KnownList {
    static LIST: OnceLock<KnownList> = OnceLock::new();
    LIST.get_or_init(|| {
        known_file::read(TEXT, None).unwrap_or_else(|complaints| {
            let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            panic!("known-bugs.toml, which a test reads: {}", all.join("; "))
        })
    })
}

/// What may be about a case on a kernel of this version, from kernel.org or a vendor.
#[cfg(test)]
pub(crate) fn about(id: &str, version: &str, family: Family) -> Vec<Candidate<'static>> {
    let version = version.parse().expect("a version");
    let base = Base::Known { version, family, read_from: ReadFrom::Release };
    builtin().about_base(id, &base, version)
}

#[cfg(test)]
mod tests {
    use harness::kernel::base::NoBase;
    use rstest::rstest;

    use super::*;
    use crate::judge::known::{Bug, Commit};

    #[rstest]
    #[case("6.1.174", true)]
    #[case("6.1.175", false)]
    #[case("6.12.85", true)]
    #[case("6.12.86", false)]
    #[case("6.18.44", false)]
    #[case("7.0.3", true)]
    #[case("7.1", false)]
    #[case("5.10.262", false)]
    fn the_lost_wake_up_is_known_where_it_is(#[case] version: &str, #[case] known: bool) {
        assert_eq!(!about("wake-up/epoll/v4", version, Family::KernelOrg).is_empty(), known);
    }

    #[rstest]
    #[case("handshake/reset/v4/on", true)]
    #[case("handshake/reset/v4-mapped/on", true)]
    #[case("handshake/reset/v4/off", false)]
    #[case("handshake/reset-in-window/v4/on", false)]
    #[case("handshake/reset", false)]
    fn a_row_names_whole_parts(#[case] id: &str, #[case] named: bool) {
        let mut rows = builtin().bugs.iter().flat_map(|bug| &bug.cases);
        let row = rows.find(|row| row.id == "handshake/reset/*/on").expect("a row");
        assert_eq!(row.names(id), named);
    }

    #[rstest]
    #[case("5.14.0", true)]
    #[case("6.12.0", true)]
    #[case("6.16.0", false)]
    fn a_kernel_without_a_base_has_the_features_of_its_release(
        #[case] release: &str,
        #[case] may_be: bool,
    ) {
        let base = Base::Unknown { why: NoBase::RedHat };
        let floor = release.parse().expect("a version");
        let about = builtin().about_base("passing/refused", &base, floor);
        assert_eq!(!about.is_empty(), may_be, "SO_PASSRIGHTS came with Linux 6.16");
    }

    #[test]
    fn added_rows_come_first_and_the_others_stay() {
        let own = Bug { id: "own".into(), ..builtin().bugs[0].clone() };
        let both = builtin().with(KnownList { bugs: vec![own], history: vec![] });
        assert_eq!(both.bugs[0].id, "own");
        assert_eq!(both.bugs[1..], builtin().bugs[..]);
    }

    /// What a row that is worth citing says.
    #[test]
    fn every_bug_says_who_brought_it_and_where_to_read_of_it() {
        for Bug { id, title, cause, brought_by, releases, link, fixed_by, .. } in &builtin().bugs {
            assert!(!title.ends_with('.') && title.len() < 90, "{id}: `{title}`");
            assert!(cause.ends_with('.'), "{id}: `{cause}`");
            assert!(!brought_by.is_empty() && !releases.from.is_empty(), "{id}: since when?");
            assert_eq!(fixed_by.is_empty(), releases.until.is_empty(), "{id}: fixed in which?");
            let link = link.as_deref().expect("a link");
            let mut commits = fixed_by.iter().chain(brought_by);
            let linked = commits.any(|commit| match commit {
                Commit::Hash(hash) => link.contains(hash.as_str()),
                Commit::Title(_) => false,
            });
            assert!(linked, "{id}: {link} is of none of its commits");
        }
    }
}
