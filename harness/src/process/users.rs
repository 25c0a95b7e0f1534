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
    use super::{covers, maps_every_uid};
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
    #[case("         0          0 4294967295\n", true)]
    #[case("0 1000 1\n", false)]
    #[case("0 1000 1\n1 100000 65536\n", false)]
    fn only_the_first_namespace_maps_every_uid(#[case] map: &str, #[case] first: bool) {
        assert_eq!(maps_every_uid(map), first);
    }
}
