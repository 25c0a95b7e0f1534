//! The known bugs of the running kernel that concern a machine's listeners.

use harness::kernel::Version;
use scenarios::known::{self, KnownKind};

use crate::cmd::inspect::document::{BugDocument, GroupDocument};
use crate::cmd::inspect::surprise::Surprise;

/// What listeners have of what bugs are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// A group has more than one member, and migration is on or can be turned on.
    pub groups: bool,
    /// A member has Fast Open.
    pub fast_open: bool,
    /// A member has keys for signatures of MD5.
    pub md5: bool,
    /// A member is of Multipath TCP.
    pub multipath: bool,
    /// Some may have what this user is not shown.
    pub unknown: bool,
}

impl Features {
    /// Of the groups of a namespace.
    pub fn of<'g>(groups: impl Iterator<Item = &'g GroupDocument>) -> Self {
        let mut found = Self::default();
        for group in groups.filter(|group| group.members.len() > 1) {
            found.groups = true;
            found.md5 |= group.md5_keys;
            for member in &group.members {
                let fast_open = member.options.as_ref().and_then(|o| o.get("TCP_FASTOPEN"));
                found.fast_open |= fast_open.is_some_and(|length| length != "0");
                found.multipath |= member.multipath == Some(true);
                found.unknown |= member.options.is_none();
            }
            found.multipath |= group.surprises.contains(&Surprise::Multipath);
        }
        found
    }
}

/// What the cases of a bug are about, by the first part of their ids.
fn concerns(id: &str, features: Features) -> bool {
    features.groups
        && match id.split('/').next().unwrap_or_default() {
            "fast-open" => features.fast_open,
            "md5" => features.md5,
            "mptcp" => features.multipath,
            // Their keys are shown to nobody; programs neither; the rest is not about listeners
            // that close.
            "ao" | "ebpf" | "destroy" | "bind" | "passing" | "sysctl" => false,
            _ => true,
        }
}

/// The bugs that a kernel of this version has, each once.
pub fn bugs(version: Version, features: Features) -> Vec<BugDocument> {
    let mut found: Vec<BugDocument> = Vec::new();
    let rows = known::all().iter().filter(|row| row.kind == KnownKind::Bug);
    for row in rows.filter(|row| row.concerns(version) && concerns(&row.id, features)) {
        if found.iter().all(|bug| bug.reason != row.reason) {
            let case = row.id.split("/*").next().unwrap_or_default().to_owned();
            found.push(BugDocument { case, reason: row.reason.clone(), fix: row.fix.clone() });
        }
    }
    found
}
