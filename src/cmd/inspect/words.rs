//! The words for what was found, which texts and messages share.

use std::collections::{BTreeMap, BTreeSet};

use harness::host::holders::HolderProcess;
use harness::host::namespace::{NamespaceName, NoLook};
use harness::host::service::Service;

use crate::cmd::inspect::document::{MemberDocument, UnseenNamespace};
use crate::cmd::inspect::grouping::Difference;
use crate::cmd::inspect::surprise::Surprise;

/// How many processes of one name are listed by their ids.
const LISTED: usize = 3;

/// How many ports are listed in a sentence.
const LISTED_PORTS: usize = 8;

/// How many digits of a container's id are shown, as container tools do.
const ID_DIGITS: usize = 12;

/// What a process or a control group calls itself, without what a terminal would obey.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

/// A number and what it counts: `1 listener`, `2 listeners`.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ if what.ends_with('s') => format!("{count} {what}es"),
        _ => format!("{count} {what}s"),
    }
}

/// How a namespace is called in a sentence.
pub fn namespace(name: &NamespaceName) -> String {
    match name {
        NamespaceName::This => "this network namespace".into(),
        NamespaceName::Named { name } => format!("network namespace {}", printable(name)),
        NamespaceName::OfProcess { pid, process } => {
            format!("network namespace of process {pid} ({})", printable(process))
        }
        NamespaceName::File { path } => {
            format!("network namespace {}", printable(&path.display().to_string()))
        }
    }
}

/// Why a namespace could not be looked at.
pub fn cannot_look(unseen: &UnseenNamespace) -> String {
    format!("cannot look at {}: {}", namespace(&unseen.name), no_look(&unseen.why))
}

/// Why a namespace could not be looked at, in a clause.
pub fn no_look(why: &NoLook) -> String {
    match why {
        NoLook::NoTcpDiag => "the kernel does not list TCP listeners (CONFIG_INET_TCP_DIAG); \
                              where that is a module, `modprobe tcp_diag` as root loads it"
            .into(),
        NoLook::Refused(refusal) => refusal.to_string(),
    }
}

/// A user, by name if it has one here.
pub fn user(uid: u32, names: &BTreeMap<u32, String>) -> String {
    names.get(&uid).map_or_else(|| format!("user {uid}"), |name| printable(name))
}

/// A unit, or a container.
pub fn service(service: &Service) -> String {
    match service {
        Service::Unit { name } => printable(name),
        Service::Container { runtime, id, pod } => {
            let short: String = id.chars().take(ID_DIGITS).collect();
            let pod = if *pod { " of a pod" } else { "" };
            match runtime.as_str() {
                "container" => format!("container {}{pod}", printable(&short)),
                runtime => format!("{runtime} container {}{pod}", printable(&short)),
            }
        }
    }
}

/// The names of the processes that have a listener open; empty if none is visible.
pub fn names(holders: &[HolderProcess]) -> String {
    let names: BTreeSet<String> = holders.iter().map(|holder| printable(&holder.name)).collect();
    names.into_iter().collect::<Vec<_>>().join(" and ")
}

/// Numbers in a sentence: `1, 2 and 3`, `1, 2, 3 and 6 more`.
pub fn some(pids: &[u32]) -> String {
    let shown: Vec<String> = pids.iter().take(LISTED).map(u32::to_string).collect();
    match (pids.len() - shown.len(), shown.split_last()) {
        (0, Some((last, []))) => last.clone(),
        (0, Some((last, others))) => format!("{} and {last}", others.join(", ")),
        (more, _) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whose listeners these are, which the same processes have open.
pub fn whose(member: &MemberDocument, users: &BTreeMap<u32, String>) -> String {
    let owner = user(member.uid, users);
    let holders = &member.holders;
    if holders.is_empty() {
        return owner;
    }
    let services: BTreeSet<String> =
        holders.iter().filter_map(|holder| holder.service.as_ref()).map(service).collect();
    let pids: Vec<u32> = holders.iter().map(|holder| holder.pid).collect();
    let processes = if pids.len() == 1 { "process" } else { "processes" };
    let mut details = vec![owner];
    details.extend(services);
    details.push(format!("{processes} {}", some(&pids)));
    format!("{} ({})", names(holders), details.join(", "))
}

/// In what two groups differ, in a clause.
pub fn difference(difference: Difference) -> &'static str {
    match difference {
        Difference::Family => "one is of IPv4 (AF_INET), the other of IPv6 (AF_INET6)",
        Difference::Address => "the addresses differ, and a wildcard is no other address",
        Difference::V6Only => "one has IPV6_V6ONLY, the other does not",
        Difference::Device => "only one is bound to that device (SO_BINDTODEVICE)",
        Difference::User => "they belong to different users",
    }
}

fn values(values: &BTreeMap<String, usize>) -> String {
    let shown: Vec<String> =
        values.iter().map(|(value, count)| format!("{value} on {count}")).collect();
    shown.join(", ")
}

/// A surprise, in a sentence.
pub fn surprise(surprise: &Surprise) -> String {
    const WHOSE: &str = "A connection that waits keeps the value of the listener that closed; a \
                         handshake in flight gets the other one's.";
    match surprise {
        Surprise::FastOpen { with } => format!(
            "TCP_FASTOPEN is set on {with} of them: where it is not, a SYN with data waits for a \
             whole handshake."
        ),
        Surprise::DeferAccept { values: seen } => format!(
            "TCP_DEFER_ACCEPT differs ({}, in seconds): the target's counts for a handshake that \
             moves. With it the server sees no connection before its data, without it perhaps \
             one without data.",
            values(seen)
        ),
        Surprise::Filter { values: seen } => format!(
            "The filters of segments differ ({}): the target's filter decides what completes a \
             handshake that moves.",
            values(seen)
        ),
        Surprise::Md5Keys { with } => format!(
            "{with} of them have keys for TCP's MD5 signatures: signed segments of a connection \
             that moves to the others are refused."
        ),
        Surprise::Option { name, values: seen } if name == "SO_MARK" => format!(
            "SO_MARK differs ({}): a connection keeps that of the listener that its SYN came to.",
            values(seen)
        ),
        Surprise::Option { name, values: seen } => {
            format!("{name} differs ({}). {WHOSE}", values(seen))
        }
        Surprise::MixedMultipath { multipath } => format!(
            "{multipath} of them are of Multipath TCP, the others of TCP, in one group: what \
             speaks Multipath TCP is lost or moves as plain TCP."
        ),
        Surprise::Multipath => {
            "They are listeners of Multipath TCP: connections that speak it and \
             wait in an accept queue are reset also when migration is on."
                .into()
        }
        Surprise::FullQueues { full } => format!(
            "{}: it drops the SYNs of new clients, and the final \
             ACKs of handshakes that move there, until its server accepts.",
            match full {
                1 => "The accept queue of one member is full".to_owned(),
                full => format!("The accept queues of {full} members are full"),
            }
        ),
        Surprise::Backlogs { shortest, longest } => format!(
            "The backlogs differ (from {shortest} to {longest}). What waits moves whatever the \
             target's backlog is; over its backlog the target drops SYNs of new clients until \
             its server has accepted."
        ),
        Surprise::Users { uids } => {
            let uids: Vec<String> = uids.iter().map(u32::to_string).collect();
            format!(
                "They belong to the users {}: some were given away (fchown). Those that listened \
                 before that are one group, and who listened after it joined only listeners of \
                 the same user. The kernel does not show which it was.",
                uids.join(" and ")
            )
        }
        Surprise::Cleared { cleared } => format!(
            "SO_REUSEPORT was cleared on {cleared} of them. Those that listened before that are \
             one group, and who listened after it did not join these. The kernel does not show \
             which it was."
        ),
    }
}

/// Ports in a sentence: `port 80`, `ports 80, 443`, `ports 1, 2, 3, 4, 5, 6, 7, 8 and 92 more`.
pub fn ports_in_words(ports: &[u16]) -> String {
    let shown: Vec<String> = ports.iter().take(LISTED_PORTS).map(u16::to_string).collect();
    let word = if ports.len() == 1 { "port" } else { "ports" };
    match ports.len() - shown.len() {
        0 => format!("{word} {}", shown.join(", ")),
        more => format!("{word} {} and {more} more", shown.join(", ")),
    }
}
