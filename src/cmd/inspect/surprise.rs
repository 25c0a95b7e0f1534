//! What would surprise a connection that changes listeners within a group.
//!
//! A child that waits keeps the options of the listener that it was made from; a handshake in
//! flight becomes a child of its new listener and has that one's, but for `SO_MARK`.

use std::collections::{BTreeMap, BTreeSet};

use harness::host::listeners::ListenerEntry;
use harness::host::options::{FILTER, ListenerOptions};
use schemars::JsonSchema;
use serde::Serialize;

/// Something in which the members of a group differ, or that moves badly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Surprise {
    /// Some have `TCP_FASTOPEN`.
    FastOpen {
        /// How many have it.
        with: usize,
    },
    /// Some have `TCP_DEFER_ACCEPT`, or they wait for data for different times.
    DeferAccept {
        /// The options' values, in seconds, with how many have each.
        values: BTreeMap<String, usize>,
    },
    /// The filters of segments differ.
    Filter {
        /// The filters, with how many have each.
        values: BTreeMap<String, usize>,
    },
    /// Some have keys for MD5 signatures.
    Md5Keys {
        /// How many have them.
        with: usize,
    },
    /// An option that connections have from their listener differs.
    Option {
        /// Its name in the C library.
        name: String,
        /// The values, with how many have each.
        values: BTreeMap<String, usize>,
    },
    /// Some are listeners of Multipath TCP, and some of TCP.
    MixedMultipath {
        /// How many are of Multipath TCP.
        multipath: usize,
    },
    /// All are listeners of Multipath TCP.
    Multipath,
    /// The accept queues of some are full: nothing can move to these.
    FullQueues {
        /// How many are full.
        full: usize,
    },
    /// What may wait in one queue may be more than another one has room for.
    Backlogs {
        /// The shortest.
        shortest: u32,
        /// The longest.
        longest: u32,
    },
    /// They belong to different users: some were given away (`fchown`). Those who listened
    /// before that are one group; who listened after it joined only its own user's.
    Users {
        /// The users.
        uids: BTreeSet<u32>,
    },
    /// `SO_REUSEPORT` was cleared on some. Those who listened before that are one group; who
    /// listened after it did not join theirs.
    Cleared {
        /// On how many.
        cleared: usize,
    },
}

/// What a surprise is about: it decides what is advised, and what a check reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// An accept queue is full: new clients are turned away already.
    FullQueue,
    /// Members that are set differently, so that a connection changes when it moves.
    Options,
    /// Members that have room for different numbers of connections.
    Backlogs,
    /// Multipath TCP, which does not move.
    Multipath,
    /// Whether the members are one group at all, which the kernel does not show.
    Membership,
}

impl Surprise {
    /// What it is about.
    pub fn concerns(&self) -> &'static [Concern] {
        match self {
            Self::FullQueues { .. } => &[Concern::FullQueue],
            Self::FastOpen { .. }
            | Self::DeferAccept { .. }
            | Self::Filter { .. }
            | Self::Md5Keys { .. }
            | Self::Option { .. } => &[Concern::Options],
            Self::MixedMultipath { .. } => &[Concern::Options, Concern::Multipath],
            Self::Backlogs { .. } => &[Concern::Backlogs],
            Self::Multipath => &[Concern::Multipath],
            Self::Users { .. } | Self::Cleared { .. } => &[Concern::Membership],
        }
    }
}

/// What has a sentence of its own, or says nothing of connections.
const NOT_INHERITED: [&str; 6] =
    ["TCP_FASTOPEN", "TCP_DEFER_ACCEPT", FILTER, "SO_REUSEPORT", "SO_PROTOCOL", "SO_INCOMING_CPU"];

/// `SO_PROTOCOL` of a listener of Multipath TCP.
const IPPROTO_MPTCP: &str = "262";

/// Whether a listener is of Multipath TCP, as sock_diag or its options show it.
pub fn is_multipath(member: &ListenerEntry, options: Option<&ListenerOptions>) -> Option<bool> {
    let by_options = || Some(options?.get("SO_PROTOCOL")? == IPPROTO_MPTCP);
    member.multipath.or_else(by_options)
}

/// Whether a listener's accept queue is full, by the kernel's own rule: it takes one more than
/// the backlog.
pub fn is_full(member: &ListenerEntry) -> bool {
    member.waiting > member.backlog
}

/// All that a group has of it, as far as the options of its members are known.
pub fn surprises(members: &[(&ListenerEntry, Option<&ListenerOptions>)]) -> Vec<Surprise> {
    if members.len() < 2 {
        return vec![];
    }
    let mut found = Vec::new();
    found.extend(multipath(members));
    let options: Vec<&ListenerOptions> =
        members.iter().filter_map(|(_, options)| *options).collect();
    found.extend(of_options(&options));
    let listeners = || members.iter().map(|(listener, _)| *listener);
    match listeners().filter(|listener| listener.md5_keys == Some(true)).count() {
        with if (1..members.len()).contains(&with) => found.push(Surprise::Md5Keys { with }),
        _ => {}
    }
    match listeners().filter(|listener| is_full(listener)).count() {
        0 => {}
        full => found.push(Surprise::FullQueues { full }),
    }
    let backlogs = || listeners().map(|listener| listener.backlog);
    match (backlogs().min(), backlogs().max()) {
        (Some(shortest), Some(longest)) if shortest < longest => {
            found.push(Surprise::Backlogs { shortest, longest });
        }
        _ => {}
    }
    let uids: BTreeSet<u32> = listeners().map(|listener| listener.uid).collect();
    if uids.len() > 1 {
        found.push(Surprise::Users { uids });
    }
    found
}

fn multipath(members: &[(&ListenerEntry, Option<&ListenerOptions>)]) -> Option<Surprise> {
    let known: Vec<bool> =
        members.iter().filter_map(|(member, options)| is_multipath(member, *options)).collect();
    match known.iter().filter(|is| **is).count() {
        0 => None,
        all if all == members.len() => Some(Surprise::Multipath),
        multipath if known.len() == members.len() => Some(Surprise::MixedMultipath { multipath }),
        // Of some nothing is known.
        _ => None,
    }
}

/// How many have each value of an option; nothing if all have the same.
fn different(options: &[&ListenerOptions], name: &str) -> Option<BTreeMap<String, usize>> {
    let mut values: BTreeMap<String, usize> = BTreeMap::new();
    for value in options.iter().filter_map(|options| options.get(name)) {
        *values.entry(value.to_owned()).or_default() += 1;
    }
    (values.len() > 1).then_some(values)
}

fn of_options(options: &[&ListenerOptions]) -> Vec<Surprise> {
    let mut found = Vec::new();
    if let Some(values) = different(options, "TCP_FASTOPEN") {
        let without = values.get("0").copied().unwrap_or_default();
        let with = values.values().sum::<usize>() - without;
        // Only queues of different lengths say nothing of connections.
        found.extend((without > 0).then_some(Surprise::FastOpen { with }));
    }
    found.extend(
        different(options, "TCP_DEFER_ACCEPT").map(|values| Surprise::DeferAccept { values }),
    );
    found.extend(different(options, FILTER).map(|values| Surprise::Filter { values }));
    if let Some(values) = different(options, "SO_REUSEPORT") {
        let cleared = values.get("0").copied().unwrap_or_default();
        found.push(Surprise::Cleared { cleared });
    }
    let names: BTreeSet<&String> = options.iter().flat_map(|options| options.0.keys()).collect();
    for name in names.into_iter().filter(|name| !NOT_INHERITED.contains(&name.as_str())) {
        let values = different(options, name);
        found.extend(values.map(|values| Surprise::Option { name: name.clone(), values }));
    }
    found
}
