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
            }
            found.multipath |= group.surprises.contains(&Surprise::Multipath);
        }
        found
    }
}

/// What a bug's case is about, by the first part of its id.
fn concerns(id: &str, features: Features) -> bool {
    match id.split('/').next().unwrap_or_default() {
        "fast-open" => features.fast_open,
        "md5" => features.md5,
        "mptcp" => features.multipath,
        // Keys of TCP-AO, and programs, are not shown.
        "ao" | "ebpf" => false,
        _ => true,
    }
}

/// The bugs that a kernel of this version has, each once. A bug of which one case is about
/// Fast Open is about Fast Open, whatever its other cases check.
pub fn bugs(version: Version, features: Features) -> Vec<BugDocument> {
    let mut found: Vec<BugDocument> = Vec::new();
    if !features.groups {
        return found;
    }
    let rows = || known::all().iter().filter(|row| row.kind == KnownKind::Bug);
    for row in rows().filter(|row| row.concerns(version)) {
        let mut cases = rows().filter(|other| other.reason == row.reason);
        let is_new = found.iter().all(|bug| bug.reason != row.reason);
        if is_new && cases.all(|case| concerns(&case.id, features)) {
            let case = row.id.split("/*").next().unwrap_or_default().to_owned();
            found.push(BugDocument { case, reason: row.reason.clone(), fix: row.fix.clone() });
        }
    }
    found
}
