//! What a word stands for that somebody wants to have explained.

use std::fmt;

use reload::strategy::Strategy;
use scenarios::case::{Case, Selected};
use scenarios::catalogue::{self, NoSuchId};
use scenarios::judge::KnownList;
use scenarios::judge::known::Bug;
use scenarios::lesson::{self, Topic};

use crate::cmd::select::selected;

/// The fewest digits of a hash that are taken for one.
const SHORTEST_HASH: usize = 7;

/// What can be explained.
pub enum Subject<'l> {
    /// Cases.
    Cases(Vec<Selected>),
    /// Known bugs, by their id or CVE.
    Bugs(Vec<&'l Bug>),
    /// A commit of the kernel.
    Commit {
        /// Its hash, as it was given.
        hash: String,
        /// The bugs that it brought or fixed.
        bugs: Vec<&'l Bug>,
        /// The cases whose source it is.
        cases: Vec<&'static Case>,
    },
    /// A function of the kernel.
    Function {
        /// Its name.
        name: &'static str,
        /// What it does, if that is known.
        does: Option<&'static str>,
        /// The cases whose source it is.
        cases: Vec<&'static Case>,
    },
    /// A setting, a counter, an option.
    Topic(&'static Topic),
    /// A server that reloads are measured of.
    Server {
        /// Its name.
        name: String,
        /// The ways of reloading it.
        strategies: Vec<Strategy>,
    },
}

/// Nothing is called so.
#[derive(Debug)]
pub enum NothingCalledSo {
    /// A hash that neither a bug nor a case names.
    Commit(String),
    /// A number that no known bug has.
    Cve(String),
    /// Anything else.
    Word(NoSuchId),
}

/// Finds out what `word` stands for.
///
/// # Errors
/// Nothing is called so.
pub fn lookup<'l>(word: &str, known: &'l KnownList) -> Result<Subject<'l>, NothingCalledSo> {
    let unknown = match selected(std::slice::from_ref(&word.to_owned())) {
        Ok(cases) => return Ok(Subject::Cases(cases)),
        Err(unknown) => unknown,
    };
    if is_cve(word) {
        let has = |bug: &&Bug| bug.cve.as_ref().is_some_and(|cve| cve.eq_ignore_ascii_case(word));
        let bugs: Vec<&Bug> = known.bugs.iter().filter(has).collect();
        return match bugs.is_empty() {
            true => Err(NothingCalledSo::Cve(word.to_owned())),
            false => Ok(Subject::Bugs(bugs)),
        };
    }
    let bugs: Vec<&Bug> = known.bugs.iter().filter(|bug| bug.id == word).collect();
    if !bugs.is_empty() {
        return Ok(Subject::Bugs(bugs));
    }
    if is_hash(word) {
        return commit(word, known);
    }
    let dotted = setting(word);
    let called_so = |topic: &&Topic| topic.names.contains(&dotted);
    if let Some(topic) = lesson::topics().iter().find(called_so) {
        return Ok(Subject::Topic(topic));
    }
    function(word).or_else(|| server(word)).ok_or(NothingCalledSo::Word(unknown))
}

fn is_cve(word: &str) -> bool {
    word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("CVE-"))
}

fn is_hash(word: &str) -> bool {
    (SHORTEST_HASH..=40).contains(&word.len()) && word.bytes().all(|c| c.is_ascii_hexdigit())
}

fn commit<'l>(hash: &str, known: &'l KnownList) -> Result<Subject<'l>, NothingCalledSo> {
    let hash = hash.to_ascii_lowercase();
    let bugs: Vec<&Bug> = known.bugs.iter().filter(|bug| bug.has_commit(&hash)).collect();
    let is = |own: &&str| own.starts_with(hash.as_str()) || hash.starts_with(own);
    let cites = |case: &&Case| lesson::commits(case).iter().any(is);
    let cases: Vec<&Case> = catalogue::cases().filter(cites).collect();
    match bugs.is_empty() && cases.is_empty() {
        true => Err(NothingCalledSo::Commit(hash)),
        false => Ok(Subject::Commit { hash, bugs, cases }),
    }
}

fn function<'l>(word: &str) -> Option<Subject<'l>> {
    let word = word.trim_end_matches("()");
    let mut found = None;
    let mut cases = Vec::new();
    for case in catalogue::cases() {
        let functions = lesson::functions(case);
        if let Some(function) = functions.into_iter().find(|(name, _)| *name == word) {
            cases.push(case);
            found = Some(function);
        }
    }
    found.map(|(name, does)| Subject::Function { name, does, cases })
}

/// A setting's name as `sysctl` shows it, if it was written as the path of its file.
fn setting(word: &str) -> String {
    let path = word.strip_prefix("/proc/sys/").unwrap_or(word);
    if path.starts_with("net/") { path.replace('/', ".") } else { path.to_owned() }
}

/// A server, or one way of reloading it.
fn server<'l>(word: &str) -> Option<Subject<'l>> {
    let name = word.to_ascii_lowercase();
    let one = reload::catalogue::by_id(&name).map(|strategy| vec![strategy]);
    let all = || reload::catalogue::select(&[format!("{name}/")]).ok();
    let strategies = one.or_else(all)?;
    Some(Subject::Server { name, strategies })
}

impl fmt::Display for NothingCalledSo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(hash) => {
                write!(f, "no known bug and no case names a commit whose hash begins with {hash}")
            }
            Self::Cve(number) => write!(f, "no known bug has the number {number}"),
            Self::Word(unknown) => write!(
                f,
                "{unknown}; nor is a known bug, a setting, a function of the kernel or a server \
                 called so"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use scenarios::judge::builtin::builtin;

    use super::*;

    fn found(word: &str) -> String {
        let ids = |bugs: &[&Bug]| bugs.iter().map(|bug| &bug.id[..]).collect::<Vec<_>>().join(" ");
        match lookup(word, builtin()) {
            Ok(Subject::Cases(cases)) => format!("cases {}", cases[0].case.name),
            Ok(Subject::Bugs(bugs)) => format!("bugs {}", ids(&bugs)),
            Ok(Subject::Commit { bugs, cases, .. }) => {
                let names: Vec<&str> = cases.iter().map(|case| case.name).take(1).collect();
                format!("commit {} {}", ids(&bugs), names.join(""))
            }
            Ok(Subject::Function { name, .. }) => format!("function {name}"),
            Ok(Subject::Topic(topic)) => format!("topic {}", topic.names[0]),
            Ok(Subject::Server { strategies, .. }) => format!("server {}", strategies[0].id),
            Err(unknown) => unknown.to_string(),
        }
    }

    #[rstest]
    #[case("quiz1/v4", "cases quiz1")]
    #[case("CVE-2026-46015", "bugs lost-wake-up")]
    #[case("cve-2024-50154", "bugs syn-ack-timer-uses-freed-request")]
    #[case("lost-wake-up", "bugs lost-wake-up")]
    #[case("3864c6b", "commit lost-wake-up ")]
    #[case("3864C6BA1E04", "commit lost-wake-up ")]
    #[case("3864c6ba1e041bc75342353a70fa2a2c6f909923", "commit lost-wake-up ")]
    #[case("f9ac779f881c", "commit  sysctl/")]
    #[case("tcp_migrate_req", "topic tcp_migrate_req")]
    #[case("net.ipv4.tcp_migrate_req", "topic tcp_migrate_req")]
    #[case("SO_INCOMING_CPU", "topic SO_INCOMING_CPU")]
    #[case("inet_csk_listen_stop", "function inet_csk_listen_stop")]
    #[case("reqsk_timer_handler()", "function reqsk_timer_handler")]
    #[case("nginx", "server nginx/")]
    #[case("HAProxy", "server haproxy/")]
    #[case("haproxy/x", "server haproxy/x")]
    #[case("own/naive", "server own/naive")]
    #[case("net/ipv4/tcp_migrate_req", "topic tcp_migrate_req")]
    #[case("/proc/sys/net/ipv4/tcp_migrate_req", "topic tcp_migrate_req")]
    #[case("quiz1/v4/off/", "cases quiz1")]
    #[case("CVE-1999-0001", "no known bug has the number CVE-1999-0001")]
    #[case("0123456789ab", "no known bug and no case names a commit whose hash begins with 0123")]
    #[case("quiz3", "no case has an id that starts with `quiz3`; nearest: quiz1")]
    fn a_word_leads_somewhere(#[case] word: &str, #[case] to: &str) {
        let found = found(word);
        assert!(found.starts_with(to), "{word}: {found}");
    }

    #[test]
    fn every_server_that_reloads_are_measured_of_can_be_explained() {
        for strategy in reload::catalogue::all() {
            let (name, _) = strategy.id.split_once('/').expect("a server and a way");
            assert!(server(name).is_some(), "{name}");
        }
    }
}
