//! The list of cases, from which everything else is made.

use crate::case::{Case, Selected};
use crate::{
    accept_queue, accounting, again, ao, attributes, back_off, bind, child_state, copy, destroy,
    ebpf, fast_open, fast_open_child, freed, group, growth, handoff, handshake, heir, listener,
    md5, membership, mptcp, mptcp_token, order, owner, passing, quiz, request, substitute,
    syncookies, sysctl, timer, wake_up,
};

/// What the cases are about, by the first parts of their names.
pub const MECHANISMS: &[(&str, &str)] = &[
    ("quiz1", "the talk's first quiz: a child in the accept queue"),
    ("quiz2", "the talk's second quiz: a handshake in flight"),
    (
        "accept-queue",
        "every way in which a listener with children can end, and what state the children can be in",
    ),
    (
        "wake-up",
        "a thread that sleeps in epoll, poll or accept is woken for a child that migrates to its \
         listener",
    ),
    (
        "handshake",
        "what each kind of segment does to a handshake in flight whose listener has closed",
    ),
    (
        "timer",
        "the SYN+ACK timer, which moves a handshake in flight whose client is silent: whose limits \
         and headers count from then on, and the whole back-off",
    ),
    ("syncookies", "handshakes of which no listener keeps anything"),
    (
        "fast-open",
        "children of TCP Fast Open, which wait in the accept queue before their handshake is over",
    ),
    (
        "destroy",
        "sockets that somebody else destroys, by netlink: a listener, its children, its requests",
    ),
    ("md5", "handshakes that are signed with TCP-MD5"),
    ("ao", "handshakes and children that are signed with TCP-AO, and the keys of each listener"),
    (
        "mptcp",
        "listeners of Multipath TCP, and groups in which some are; those that \
         harm kernels with a bug run only by name (`sockmig run mptcp/timer`)",
    ),
    (
        "attributes",
        "socket options, saved SYNs, deferred accepts and filters: what a child has from which \
         listener",
    ),
    ("listener", "what a listener tells of its queue"),
    ("group", "connections are spread by a hash of the four-tuple, not in turn"),
    (
        "membership",
        "which listeners are one group: address, family, IPv6 alone, device; on members and on others",
    ),
    (
        "order",
        "the order in which the kernel has a group's members, and whom it chooses for children and \
         for new connections",
    ),
    ("growth", "groups past 128 and 256 members, with closed ones among them"),
    (
        "bind",
        "who may bind to one address: the option on one or both sockets, the rule of the same user",
    ),
    (
        "sysctl",
        "the setting's range, default and owner; that it is read at the close *and* at the event; \
         and whether there is any code behind it",
    ),
    (
        "handoff",
        "doing without migration: a listener goes to another process, by fork, exec or \
         `SCM_RIGHTS`, and nothing is lost; and what its owner's death is",
    ),
    ("substitute", "what is no substitute: `SO_REUSEADDR`, draining, stopping a member of a group"),
    ("passing", "rules of passing descriptors through UNIX sockets"),
    (
        "accounting",
        "after many migrations queues have the room of fresh ones, and what was closed is freed",
    ),
    (
        "ebpf",
        "programs that choose listeners, and are asked about migrations: what each answer comes \
         to on each path, and what a program is shown",
    ),
];

/// Every case, in the order in which they are told.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [
        quiz::CASES,
        accept_queue::CASES,
        child_state::CASES,
        owner::CASES,
        wake_up::CASES,
        handshake::CASES,
        heir::CASES,
        timer::CASES,
        back_off::CASES,
        copy::CASES,
        request::CASES,
        syncookies::CASES,
        fast_open::CASES,
        fast_open_child::CASES,
        destroy::CASES,
        md5::CASES,
        ao::CASES,
        mptcp::CASES,
        mptcp_token::CASES,
        attributes::CASES,
        listener::CASES,
        group::CASES,
        membership::CASES,
        order::CASES,
        again::CASES,
        growth::CASES,
        bind::CASES,
        sysctl::CASES,
        handoff::CASES,
        substitute::CASES,
        passing::CASES,
        accounting::CASES,
        freed::CASES,
    ]
    .into_iter()
    .flatten()
    .chain(ebpf::cases())
}

/// Every case in every setting.
pub fn all() -> Vec<Selected> {
    cases().flat_map(Case::selected).collect()
}

/// The cases whose ids start with one of `prefixes`; all of them if there are none.
///
/// A prefix that ends where a part of an id ends means just that part: `quiz1/v4` is not
/// `quiz1/v4-mapped`, while `quiz` is `quiz1` and `quiz2`.
///
/// # Errors
/// The first prefix that no id starts with.
pub fn select(prefixes: &[String]) -> Result<Vec<Selected>, NoSuchId> {
    let mut all = all();
    let ids: Vec<String> = all.iter().map(Selected::id).collect();
    let mut wanted = vec![prefixes.is_empty(); all.len()];
    for prefix in prefixes {
        let whole_parts = |id: &String| {
            id.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            })
        };
        let any = |id: &String| id.starts_with(prefix.as_str());
        let matches: &dyn Fn(&String) -> bool =
            if ids.iter().any(whole_parts) { &whole_parts } else { &any };
        if !ids.iter().any(matches) {
            return Err(NoSuchId { prefix: prefix.clone(), nearest: nearest(prefix, &all) });
        }
        for ((wanted, selected), id) in wanted.iter_mut().zip(&mut all).zip(&ids) {
            if matches(id) {
                *wanted = true;
                *selected = selected.named_by(prefix);
            }
        }
    }
    Ok(all.into_iter().zip(wanted).filter_map(|(s, wanted)| wanted.then_some(s)).collect())
}

/// Nothing has such an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no case has an id that starts with `{prefix}`; nearest: {}", nearest.join(", "))]
pub struct NoSuchId {
    /// What was asked for.
    pub prefix: String,
    /// The names that are least different from it, best first.
    pub nearest: Vec<String>,
}

fn nearest(wanted: &str, all: &[Selected]) -> Vec<String> {
    // Every beginning of an id, part by part.
    let mut names: Vec<String> = Vec::new();
    for id in all.iter().map(Selected::id) {
        names.extend(id.match_indices('/').map(|(end, _)| id[..end].to_owned()));
        names.push(id);
    }
    names.sort_by_cached_key(|name| (edit_distance(wanted, name), name.clone()));
    names.dedup();
    names.truncate(3);
    names
}

/// Levenshtein's distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::expectation::Expectation;
    use rstest::rstest;

    #[rstest]
    #[case("quiz3", "quiz1")]
    #[case("bind/otheruid", "bind/other-uid")]
    #[case("quiz1/v4/onn", "quiz1/v4/on")]
    #[case("bnid", "bind")]
    fn a_typing_error_is_met_with_the_nearest_id(#[case] typed: &str, #[case] meant: &str) {
        let unknown = select(&[typed.into()]).err().expect("no such id");
        assert_eq!(unknown.nearest[0], meant);
    }

    #[test]
    fn any_prefix_selects() {
        let ids = |prefix: &str| {
            let selected = select(&[prefix.into()]).expect("some cases");
            selected.iter().map(Selected::id).collect::<Vec<_>>()
        };
        assert_eq!(ids("quiz1/v6"), ["quiz1/v6/off", "quiz1/v6/on"]);
        assert_eq!(ids("quiz1/v4"), ["quiz1/v4/off", "quiz1/v4/on"]);
        assert_eq!(ids("quiz1/v4-"), ["quiz1/v4-mapped/off", "quiz1/v4-mapped/on"]);
        assert_eq!(ids("quiz").len(), 12);
    }

    #[test]
    fn every_case_says_what_it_does_must_and_who_says_so() {
        for case in cases() {
            for text in [case.does, case.must] {
                assert!(text.ends_with(['.', ')']), "{}: `{text}` is not a sentence", case.name);
            }
            assert!(!case.source.is_empty(), "{} has no source", case.name);
        }
    }

    #[test]
    #[ignore = "until the cases say it"]
    fn every_case_states_its_wire_or_says_that_any_will_do() {
        let stated =
            |must: &Expectation| [!must.wires.is_empty(), must.silent, must.any_wire.is_some()];
        let wrong: Vec<String> = all()
            .iter()
            .filter(|one| stated(&one.expectation()).into_iter().filter(|s| *s).count() != 1)
            .map(Selected::id)
            .collect();
        assert!(
            wrong.is_empty(),
            "exactly one of `wire`, `silent` and `any_wire` says what the wire may be, and not \
             in:\n{}",
            wrong.join("\n")
        );
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<String> = all().iter().map(Selected::id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
