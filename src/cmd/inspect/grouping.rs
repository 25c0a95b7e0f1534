//! Which listeners are one group, and which only look like one.
//!
//! A listener joins a group in `listen()`: that of the listeners with the same port, family,
//! address, `IPV6_V6ONLY` and device (`inet_reuseport_add_sock()`). An address is compared as
//! it is: a wildcard is no other address's group. Those who have all that in common cannot be
//! two groups: the kernel lets nobody bind there but with `SO_REUSEPORT`, and as the same user.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use harness::host::listeners::{Device, ListenerEntry, RequestAddress, SocketFamily};
use schemars::JsonSchema;
use serde::Serialize;

/// What the members of a group have in common, besides the port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct GroupAddress {
    /// AF_INET or AF_INET6.
    pub family: SocketFamily,
    /// The address that they are bound to.
    pub address: IpAddr,
    /// `IPV6_V6ONLY`.
    pub v6_only: bool,
    /// The device that they are bound to.
    pub device: Option<Device>,
}

/// In what two groups of one port differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// One is of AF_INET, the other of AF_INET6.
    Family,
    /// The addresses, of one family.
    Address,
    /// `IPV6_V6ONLY`.
    V6Only,
    /// The device, or whether there is one.
    Device,
    /// The user whose the listeners are.
    User,
}

/// The listeners of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'l> {
    /// What they have in common.
    pub address: GroupAddress,
    /// The listeners.
    pub members: Vec<&'l ListenerEntry>,
    /// Handshakes in flight of all of them.
    pub in_flight: u32,
}

/// The groups of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port<'l> {
    /// The port.
    pub port: u16,
    /// The groups, the largest first.
    pub groups: Vec<Group<'l>>,
}

/// Two groups that a client could take for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookAlike {
    /// Their places in [`Port::groups`].
    pub groups: [usize; 2],
    /// In what they differ.
    pub differences: Vec<Difference>,
}

impl GroupAddress {
    /// The group that a listener is in.
    pub fn of(listener: &ListenerEntry) -> Self {
        Self {
            family: listener.family,
            address: listener.address,
            v6_only: listener.v6_only,
            device: listener.device.clone(),
        }
    }

    /// The IPv4 addresses that clients reach it at: none, one, or the wildcard for all.
    fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) if !self.v6_only => Some(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(address) => address.to_ipv4_mapped(),
        }
    }

    /// The same of IPv6.
    fn ipv6(&self) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => Some(address),
            IpAddr::V6(_) | IpAddr::V4(_) => None,
        }
    }

    /// Whether some client could be given to either: if one closes, new clients find the
    /// other, and one expects that it takes over the others, too.
    pub fn shares_clients_with(&self, other: &Self) -> bool {
        let devices = match (&self.device, &other.device) {
            (Some(one), Some(other)) => one.index == other.index,
            _ => true,
        };
        let ipv4 = self.ipv4().zip(other.ipv4());
        let ipv6 = self.ipv6().zip(other.ipv6());
        let common = ipv4.is_some_and(|(one, other)| {
            one == other || one.is_unspecified() || other.is_unspecified()
        }) || ipv6.is_some_and(|(one, other)| {
            one == other || one.is_unspecified() || other.is_unspecified()
        });
        devices && common
    }

    /// In what it differs from another one of the same port.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let same_family = self.family == other.family;
        let found = [
            (Difference::Family, !same_family),
            (Difference::Address, same_family && self.address != other.address),
            (Difference::V6Only, same_family && self.v6_only != other.v6_only),
            (Difference::Device, device_index(self) != device_index(other)),
        ];
        found.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }

    /// How well it fits a handshake in flight; nothing if the handshake is not of its.
    ///
    /// The kernel prefers a listener that is bound to the address or to the device
    /// (`compute_score()`).
    fn fits(&self, request: &RequestAddress) -> Option<u32> {
        let wanted = request.address.to_canonical();
        let (bound, unbound) = match wanted {
            IpAddr::V4(wanted) => (self.ipv4() == Some(wanted), self.ipv4().is_some()),
            IpAddr::V6(wanted) => (self.ipv6() == Some(wanted), self.ipv6().is_some()),
        };
        let address = match (bound, self.address.is_unspecified()) {
            (true, _) => 2,
            (false, true) if unbound => 0,
            _ => return None,
        };
        let device = match (&self.device, request.device) {
            (None, _) => 0,
            (Some(device), index) if device.index == index => 4,
            (Some(_), _) => return None,
        };
        Some(address + device + u32::from(self.family == request.family))
    }
}

fn device_index(address: &GroupAddress) -> Option<u32> {
    address.device.as_ref().map(|device| device.index)
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}")?,
            IpAddr::V6(address) => write!(f, "[{address}]")?,
        }
        match &self.device {
            Some(Device { name: Some(name), .. }) => write!(f, "%{name}"),
            Some(Device { name: None, index }) => write!(f, "%{index}"),
            None => Ok(()),
        }
    }
}

impl Port<'_> {
    /// How many listeners it has.
    pub fn listeners(&self) -> usize {
        self.groups.iter().map(|group| group.members.len()).sum()
    }

    /// The groups that could be taken for one, each with the largest that it could be taken
    /// for.
    pub fn look_alikes(&self) -> Vec<LookAlike> {
        let of = |at: usize, group: &Group<'_>| {
            let earlier = self.groups[..at].iter();
            let other = earlier
                .enumerate()
                .find(|(_, other)| other.address.shares_clients_with(&group.address));
            let (other_at, other) = other?;
            let mut differences = other.address.differences(&group.address);
            differences.extend(other_user(other, group));
            Some(LookAlike { groups: [other_at, at], differences })
        };
        self.groups.iter().enumerate().filter_map(|(at, group)| of(at, group)).collect()
    }
}

/// Whether nobody who owns a member of one group owns one of the other.
fn other_user(one: &Group<'_>, other: &Group<'_>) -> Option<Difference> {
    let common = one.members.iter().any(|a| other.members.iter().any(|b| a.uid == b.uid));
    (!common).then_some(Difference::User)
}

/// The ports that have listeners, with their groups.
pub fn ports<'l>(
    listeners: &'l [ListenerEntry],
    requests: &[(RequestAddress, u32)],
) -> Vec<Port<'l>> {
    let mut by_port: BTreeMap<u16, BTreeMap<GroupAddress, Vec<&ListenerEntry>>> = BTreeMap::new();
    for listener in listeners {
        let groups = by_port.entry(listener.port).or_default();
        groups.entry(GroupAddress::of(listener)).or_default().push(listener);
    }
    let mut in_flight: BTreeMap<u16, Vec<&(RequestAddress, u32)>> = BTreeMap::new();
    for request in requests {
        in_flight.entry(request.0.port).or_default().push(request);
    }
    let groups = |(port, groups): (u16, BTreeMap<GroupAddress, Vec<&'l ListenerEntry>>)| {
        let mut groups: Vec<Group<'_>> = groups
            .into_iter()
            .map(|(address, members)| Group { address, members, in_flight: 0 })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
        for (request, count) in in_flight.get(&port).into_iter().flatten() {
            let best = groups
                .iter_mut()
                .filter_map(|group| Some((group.address.fits(request)?, group)))
                .max_by_key(|(fits, _)| *fits);
            if let Some((_, group)) = best {
                group.in_flight += count;
            }
        }
        Port { port, groups }
    };
    by_port.into_iter().map(groups).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// A listener at port 80: `0.0.0.0`, `[::]`, `[::]/v6only`, `127.0.0.1%2` (on device 2),
    /// `127.0.0.1@33` (of user 33).
    pub fn listener(text: &str) -> ListenerEntry {
        let (text, uid) = text.split_once('@').unwrap_or((text, "0"));
        let (text, device) = text.split_once('%').unwrap_or((text, "0"));
        let (text, v6_only) = match text.strip_suffix("/v6only") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let address: IpAddr = text.trim_matches(['[', ']']).parse().expect("an address");
        let index = device.parse().expect("a number");
        ListenerEntry {
            family: if address.is_ipv4() { SocketFamily::Inet } else { SocketFamily::Inet6 },
            address,
            port: 80,
            v6_only,
            device: (index != 0).then_some(Device { index, name: None }),
            uid: uid.parse().expect("a number"),
            inode: 1,
            cookie: 1,
            waiting: 0,
            backlog: 128,
            multipath: Some(false),
            md5_keys: Some(false),
        }
    }

    #[rstest]
    #[case::one("0.0.0.0 0.0.0.0 0.0.0.0", &[3])]
    #[case::one_of_ipv6("[::] [::]", &[2])]
    #[case::v6_only("[::]/v6only [::]/v6only", &[2])]
    #[case::one_that_is_v6_only("[::]/v6only [::]", &[1, 1])]
    #[case::wildcard("0.0.0.0 127.0.0.1 127.0.0.1", &[2, 1])]
    #[case::two_addresses("127.0.0.1 127.0.0.2", &[1, 1])]
    #[case::two_families("0.0.0.0 [::]", &[1, 1])]
    #[case::mapped("127.0.0.1 [::ffff:127.0.0.1] [::ffff:127.0.0.1]", &[2, 1])]
    #[case::device("127.0.0.1%2 127.0.0.1%2 127.0.0.1", &[2, 1])]
    #[case::given_away("127.0.0.1 127.0.0.1@33", &[2])]
    fn groups(#[case] listeners: &str, #[case] sizes: &[usize]) {
        let listeners: Vec<_> = listeners.split(' ').map(listener).collect();
        let ports = ports(&listeners, &[]);
        let found: Vec<usize> = ports[0].groups.iter().map(|group| group.members.len()).collect();
        assert_eq!((ports.len(), &*found), (1, sizes));
    }

    #[rstest]
    #[case::wildcard("0.0.0.0", "127.0.0.1", &[Difference::Address])]
    #[case::v6_only("[::]", "[::]/v6only", &[Difference::V6Only])]
    #[case::family("[::]", "0.0.0.0", &[Difference::Family])]
    #[case::mapped("[::ffff:127.0.0.1]", "127.0.0.1", &[Difference::Family])]
    #[case::mapped_wildcard("[::]", "[::ffff:127.0.0.1]", &[Difference::Address])]
    #[case::device("127.0.0.1%2", "127.0.0.1", &[Difference::Device])]
    #[case::device_and_address("0.0.0.0%2", "127.0.0.1", &[Difference::Address, Difference::Device])]
    #[case::user("127.0.0.1%2@33", "127.0.0.1", &[Difference::Device, Difference::User])]
    fn these_look_like_one(
        #[case] one: &str,
        #[case] other: &str,
        #[case] differences: &[Difference],
    ) {
        for pair in [[one, other], [other, one]] {
            let listeners = pair.map(listener);
            let found = ports(&listeners, &[])[0].look_alikes();
            assert_eq!(found.len(), 1, "{pair:?}");
            assert_eq!(found[0].differences, differences, "{pair:?}");
        }
    }

    #[rstest]
    #[case::two_addresses("127.0.0.1", "127.0.0.2")]
    #[case::families_apart("0.0.0.0", "[::]/v6only")]
    #[case::two_devices("0.0.0.0%2", "0.0.0.0%3")]
    #[case::ipv6_address("0.0.0.0", "[::1]")]
    fn these_have_nothing_in_common(#[case] one: &str, #[case] other: &str) {
        let listeners = [one, other].map(listener);
        assert_eq!(ports(&listeners, &[])[0].look_alikes(), []);
    }

    #[rstest]
    #[case::bound("0.0.0.0 127.0.0.1", "127.0.0.1", 0, "127.0.0.1")]
    #[case::unbound("0.0.0.0 127.0.0.1", "127.0.0.2", 0, "0.0.0.0")]
    #[case::device("0.0.0.0%2 0.0.0.0", "127.0.0.1", 2, "0.0.0.0%2")]
    #[case::other_device("0.0.0.0%2 0.0.0.0", "127.0.0.1", 0, "0.0.0.0")]
    #[case::mapped("[::]", "::ffff:127.0.0.1", 0, "[::]")]
    #[case::ipv6("[::] 0.0.0.0", "::1", 0, "[::]")]
    fn a_handshake_is_of_the_group_that_fits_best(
        #[case] listeners: &str,
        #[case] address: IpAddr,
        #[case] device: u32,
        #[case] wanted: &str,
    ) {
        let listeners: Vec<_> = listeners.split(' ').map(listener).collect();
        let family = if address.is_ipv4() { SocketFamily::Inet } else { SocketFamily::Inet6 };
        let request = RequestAddress { family, address, port: 80, device };
        let ports = ports(&listeners, &[(request, 3)]);
        let with = ports[0].groups.iter().find(|group| group.in_flight == 3).expect("a group");
        assert_eq!(with.address.to_string(), wanted);
    }
}
