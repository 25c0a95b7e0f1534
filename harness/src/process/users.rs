//! The users that a lab has.

use std::fs;

use nix::unistd::{Uid, geteuid};

use crate::essential::Essential;

/// The second user of the same-uid rule, where the user namespace has it.
pub const SECOND_UID: u32 = 1000;

/// Whether this process is root, in whichever user namespace it is.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// CAP_SYS_ADMIN, with which a lab is made without a user namespace.
const SYS_ADMIN: u32 = 21;

/// What a lab that is made without a user namespace takes besides CAP_SYS_ADMIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabCapability {
    /// Interfaces, routes, rules of nftables.
    NetAdmin,
    /// Packet sockets.
    NetRaw,
}

impl LabCapability {
    /// Its name, without `CAP_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "NET_ADMIN",
            Self::NetRaw => "NET_RAW",
        }
    }

    /// Its number, in `include/uapi/linux/capability.h`.
    fn number(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
        }
    }
}

/// What this process lacks of what its labs take. In a user namespace of its own a lab has
/// everything.
pub fn missing_capabilities() -> Vec<LabCapability> {
    missing_in(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn missing_in(status: &str) -> Vec<LabCapability> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    let capabilities = capabilities.unwrap_or_default();
    let has = |number: u32| capabilities & 1 << number != 0;
    let needed = [LabCapability::NetAdmin, LabCapability::NetRaw];
    needed.into_iter().filter(|needed| has(SYS_ADMIN) && !has(needed.number())).collect()
}

/// Whether `uid` exists in this user namespace.
pub fn uid_is_mapped(uid: Uid) -> bool {
    match fs::read_to_string(UID_MAP) {
        Ok(map) => covers(&map, uid.as_raw()),
        Err(_) => !Essential::UserNamespaces.is_there(),
    }
}

/// Whether this is the first user namespace, in which every uid is itself. A kernel without
/// user namespaces is all in it.
pub(crate) fn is_first_namespace() -> bool {
    match fs::read_to_string(UID_MAP) {
        Ok(map) => maps_every_uid(&map),
        Err(_) => !Essential::UserNamespaces.is_there(),
    }
}

const UID_MAP: &str = "/proc/self/uid_map";

fn maps_every_uid(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// `map` as in user_namespaces(7): first id inside, first outside, how many.
fn covers(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|n| n.parse::<u64>().ok());
        match (numbers.next(), numbers.nth(1)) {
            (Some(first), Some(count)) => {
                (first..first.saturating_add(count)).contains(&u64::from(uid))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{LabCapability, covers, maps_every_uid, missing_in};
    use rstest::rstest;

    #[rstest]
    #[case("         0          0 4294967295\n", 1000, true)]
    #[case("0 1000 1\n", 1000, false)]
    #[case("0 1000 1\n", 0, true)]
    #[case("0 1000 1\n1 100000 65536\n", 1000, true)]
    #[case("", 0, false)]
    fn a_uid_is_mapped_when_a_line_covers_it(
        #[case] map: &str,
        #[case] uid: u32,
        #[case] is: bool,
    ) {
        assert_eq!(covers(map, uid), is);
    }

    #[rstest]
    #[case::all("CapEff:\t000001ffffffffff\n", &[])]
    #[case::no_sys_admin("CapEff:\t00000000a80405fb\n", &[])]
    #[case::no_net_admin("CapEff:\t000001ffffffefff\n", &[LabCapability::NetAdmin])]
    #[case::neither("CapEff:\t0000000000200000\n", &[LabCapability::NetAdmin, LabCapability::NetRaw])]
    #[case::unreadable("", &[])]
    fn only_who_makes_labs_as_root_lacks_something(
        #[case] status: &str,
        #[case] missing: &[LabCapability],
    ) {
        assert_eq!(missing_in(status), missing);
    }

    #[rstest]
    #[case("         0          0 4294967295\n", true)]
    #[case("0 1000 1\n", false)]
    #[case("0 1000 1\n1 100000 65536\n", false)]
    fn only_the_first_namespace_maps_every_uid(#[case] map: &str, #[case] first: bool) {
        assert_eq!(maps_every_uid(map), first);
    }
}
