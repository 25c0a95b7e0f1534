//! What the kernel holds in memory for its sockets, by what is counted for the whole machine.
//!
//! Nothing of this is counted by network namespace: it has a meaning only where nothing
//! else runs ([`crate::guest::is_here`]).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::net::witness;
use crate::trace::MemoryWitness;

/// Where the kernel shows its caches, if it was built to: with `CONFIG_SYSFS`, and not with
/// `CONFIG_SLUB_TINY`.
const CACHES: &str = "/sys/kernel/slab";

/// The caches that sockets, requests, packets and what hangs on them come from. Where caches are
/// merged these names are links, and the count is that of everything in them.
const OF_SOCKETS: [&str; 11] = [
    "TCP",
    "TCPv6",
    "request_sock_TCP",
    "request_sock_TCPv6",
    "tw_sock_TCP",
    "tw_sock_TCPv6",
    "sock_inode_cache",
    "tcp_bind_bucket",
    "tcp_bind2_bucket",
    "skbuff_head_cache",
    "skbuff_fclone_cache",
];

/// Caches by size, for what has none of its own: groups, queues' tables, saved SYNs, options.
const BY_SIZE: &str = "kmalloc-";

/// The least that leaks, in bytes: the smallest object is a request, and a group has more.
const LEAST_BYTES: i64 = 256;

/// What the kernel holds at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Objects by cache; nothing where the kernel does not count them. Caches of one size
    /// count as one.
    objects: BTreeMap<String, i64>,
    /// What all caches take that cannot be given back for the asking (`SUnreclaim` of
    /// `/proc/meminfo`), in bytes.
    bytes: i64,
    /// TCP sockets of every network namespace (`TCP: alloc` of `/proc/net/sockstat`).
    sockets: i64,
}

impl Held {
    /// Has the kernel give back what is free in its caches, and reads what is held then.
    ///
    /// # Errors
    /// `/proc` cannot be read, or a cache is not what it should be.
    pub fn read() -> Result<Self> {
        let mut objects = BTreeMap::new();
        for (name, key) in caches() {
            if let Some(count) = objects_of(&name)? {
                *objects.entry(key).or_default() += count;
            }
        }
        let bytes = witness::unreclaimable_memory()?;
        Ok(Self { objects, bytes, sockets: witness::tcp_sockets()? })
    }

    /// Who counts.
    pub fn counted_by(&self) -> MemoryWitness {
        match self.objects.is_empty() {
            true => MemoryWitness::Bytes,
            false => MemoryWitness::Slabs,
        }
    }

    /// Whether there is less of something than `earlier`.
    pub fn has_fallen_from(&self, earlier: &Self) -> bool {
        let fewer = |(name, now): (&String, &i64)| now < earlier.objects.get(name).unwrap_or(now);
        self.bytes < earlier.bytes
            || self.sockets < earlier.sockets
            || self.objects.iter().any(fewer)
    }

    /// What there is more of than `earlier`, after something was done `times` times that
    /// may leak each time, or every other time.
    ///
    /// The total counts only where there is nothing better: caches that have nothing to do
    /// with sockets are in it, and take pages for a few objects.
    pub fn more_than(&self, earlier: &Self, times: usize) -> More {
        let half = times as i64 / 2;
        let grown = |(name, now): (&String, &i64)| {
            let more = now - earlier.objects.get(name).unwrap_or(&0);
            (more >= half).then(|| (name.clone(), more))
        };
        let objects: Vec<_> = self.objects.iter().filter_map(grown).collect();
        let more = self.bytes - earlier.bytes;
        let bytes = (self.objects.is_empty() && more >= half * LEAST_BYTES).then_some(more);
        More { objects, bytes, sockets: self.sockets - earlier.sockets }
    }
}

/// What is held beyond what was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    objects: Vec<(String, i64)>,
    bytes: Option<i64>,
    sockets: i64,
}

impl More {
    /// Whether it is nothing that counts.
    pub fn is_nothing(&self) -> bool {
        self.objects.is_empty() && self.bytes.is_none() && self.sockets <= 0
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.objects.iter().map(|(name, more)| format!("{more} of {name}")).collect();
        parts.extend(self.bytes.map(|bytes| format!("{} KiB", bytes / 1024)));
        if self.sockets > 0 {
            parts.push(format!("{} TCP sockets", self.sockets));
        }
        f.write_str(&if parts.is_empty() { "none".to_owned() } else { parts.join(", ") })
    }
}

/// The caches that matter, each with the name that it counts under.
fn caches() -> Vec<(String, String)> {
    let there = fs::read_dir(CACHES).into_iter().flatten().flatten();
    let names = there.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| counts_as(&name).map(|key| (name, key))).collect()
}

/// `kmalloc-cg-1k`, which is charged to somebody, and `kmalloc-rnd-07-1k`, one of several
/// between which the kernel chooses by the caller, count as `kmalloc-1k`.
fn counts_as(name: &str) -> Option<String> {
    match name.strip_prefix(BY_SIZE) {
        Some(rest) => Some(format!("{BY_SIZE}{}", rest.rsplit('-').next().unwrap_or(rest))),
        None => OF_SOCKETS.contains(&name).then(|| name.to_owned()),
    }
}

/// How many objects of a cache are in use; nothing where the kernel does not count them (it does
/// with `CONFIG_SLUB_DEBUG`). Only after shrinking the cache it knows: until then, free ones that
/// a processor keeps count, too.
fn objects_of(name: &str) -> Result<Option<i64>> {
    objects_in(&Path::new(CACHES).join(name))
}

fn objects_in(cache: &Path) -> Result<Option<i64>> {
    let file = cache.join("objects");
    if !file.exists() {
        return Ok(None);
    }
    let shrink = cache.join("shrink");
    fs::write(&shrink, "1").call(|| format!("write({}, 1)", shrink.display()))?;
    let text = fs::read_to_string(&file).call(|| format!("read({})", file.display()))?;
    // All of them, then those of each node: `17 N0=17`.
    let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| Error::unreadable(file.display().to_string(), &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("TCPv6", Some("TCPv6"))]
    #[case("kmalloc-1k", Some("kmalloc-1k"))]
    #[case("kmalloc-cg-1k", Some("kmalloc-1k"))]
    #[case("kmalloc-rnd-07-1k", Some("kmalloc-1k"))]
    #[case("dma-kmalloc-1k", None)]
    #[case("dentry", None)]
    fn caches_of_one_size_are_one(#[case] name: &str, #[case] key: Option<&str>) {
        assert_eq!(counts_as(name).as_deref(), key);
    }

    #[test]
    fn a_cache_whose_objects_are_not_counted_is_no_error() {
        let cache = tempfile::tempdir().expect("a directory");
        assert_eq!(objects_in(cache.path()).expect("no error"), None);
        fs::write(cache.path().join("objects"), "17 N0=17\n").expect("a file");
        assert_eq!(objects_in(cache.path()).expect("a number"), Some(17));
        fs::write(cache.path().join("objects"), "many\n").expect("a file");
        assert!(objects_in(cache.path()).is_err());
    }

    fn held(objects: &[(&str, i64)], bytes: i64, sockets: i64) -> Held {
        let objects = objects.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Held { objects, bytes, sockets }
    }

    #[test]
    fn memory_falls_with_any_of_its_parts() {
        let earlier = held(&[("TCP", 10), ("kmalloc-1k", 100)], 4096, 4);
        assert!(!earlier.has_fallen_from(&earlier));
        assert!(!held(&[("TCP", 11), ("TCPv6", 1)], 8192, 5).has_fallen_from(&earlier));
        for less in [
            held(&[("TCP", 10), ("kmalloc-1k", 99)], 4096, 4),
            held(&[("TCP", 10), ("kmalloc-1k", 100)], 0, 4),
            held(&[("TCP", 10), ("kmalloc-1k", 100)], 4096, 3),
        ] {
            assert!(less.has_fallen_from(&earlier), "{less:?}");
        }
    }

    #[test]
    fn a_leak_is_as_many_objects_as_there_were_occasions() {
        let before = held(&[("TCP", 10), ("kmalloc-1k", 100)], 0, 4);
        let noise = held(&[("TCP", 10), ("kmalloc-1k", 149)], 1 << 20, 4);
        assert!(noise.more_than(&before, 100).is_nothing());
        let leak = held(&[("TCP", 110), ("kmalloc-1k", 150)], 1 << 20, 104);
        let more = leak.more_than(&before, 100);
        assert!(!more.is_nothing());
        assert_eq!(more.to_string(), "100 of TCP, 50 of kmalloc-1k, 100 TCP sockets");
    }

    #[test]
    fn bytes_count_where_objects_are_not_counted() {
        let more = |bytes| held(&[], bytes, 0).more_than(&held(&[], 0, 0), 1000);
        assert_eq!(more(100 << 10).to_string(), "none");
        assert!(more(100 << 10).is_nothing());
        assert_eq!(more(200 << 10).to_string(), "200 KiB");
        assert!(!more(200 << 10).is_nothing());
    }
}
