//! The known bugs of the running kernel that concern a machine's listeners.

use harness::kernel::Base;
use scenarios::judge::builtin::builtin;
use scenarios::judge::known::Bug;

use crate::cmd::inspect::document::{BugDocument, GroupDocument};
use crate::cmd::inspect::surprise::Concern;

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
            let mut surprises = group.surprises.iter();
            found.multipath |= surprises.any(|it| it.concerns().contains(&Concern::Multipath));
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

/// The bugs that cases show, and that kernels of this base have or may have. A bug of which one
/// case is about Fast Open is about Fast Open, whatever its other cases check.
pub fn bugs(base: &Base, features: Features) -> Vec<BugDocument> {
    if !features.groups {
        return vec![];
    }
    let is_about = |bug: &&Bug| bug.cases.iter().all(|case| concerns(&case.id, features));
    let found = builtin().bugs.iter().filter(is_about).filter_map(|bug| {
        let version = bug.releases.say(base)?;
        let case = bug.cases.first()?.id.split("/*").next().unwrap_or_default().to_owned();
        let named = bug.named();
        Some(BugDocument { case, reason: named.reason, fix: named.fix, version })
    });
    found.collect()
}
