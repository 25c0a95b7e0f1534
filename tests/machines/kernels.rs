//! Which kernels there are to boot.

use std::path::PathBuf;

use vm::boot::bootable::{Bootable, Image};
use vm::boot::prepare;
use vm::fetch::cache::Cache;
use vm::fetch::kernels;
use vm::machine::accel;

/// Those that are ready in the cache, oldest first.
#[derive(Clone)]
pub struct Kernels {
    ready: Vec<Bootable>,
    dead_kvm: bool,
}

/// 3864c6ba1e04 fixes the lost wake-up between these.
const EDGE: [&str; 2] = ["6.1.174-1", "6.1.176-1"];

impl Kernels {
    /// Looks into the user's cache.
    pub fn in_cache() -> Self {
        let Ok(cache) = Cache::open() else { return Self { ready: vec![], dead_kvm: false } };
        let ready = kernels::table()
            .iter()
            .filter_map(|kernel| prepare::ready(&prepare::place(kernel, &cache)))
            .collect();
        Self { ready, dead_kvm: accel::opens() && accel::tried(&cache) == Some(false) }
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    pub fn are_several(&self) -> bool {
        self.ready.len() > 1
    }

    pub fn has_dead_kvm(&self) -> bool {
        self.dead_kvm
    }

    /// The newest.
    pub fn newest(&self) -> &str {
        &self.ready.last().expect("a kernel").name
    }

    /// Two of them: the edge if it is there, else the oldest and the newest.
    pub fn two(&self) -> [&str; 2] {
        self.edge().unwrap_or_else(|| [&*self.ready[0].name, self.newest()])
    }

    /// The last one with the lost wake-up in its line, and the first without.
    pub fn edge(&self) -> Option<[&'static str; 2]> {
        let is_ready = |name: &&str| self.ready.iter().any(|kernel| kernel.name == **name);
        EDGE.iter().all(is_ready).then_some(EDGE)
    }

    /// The packages of the newest that has modules in them.
    pub fn debs(&self) -> Option<Vec<PathBuf>> {
        let cache = Cache::open().ok()?;
        self.ready.iter().rev().filter(|kernel| !kernel.modules.is_empty()).find_map(|ready| {
            let listed = kernels::table().iter().find(|kernel| kernel.name == ready.name)?;
            let debs = listed.packages.iter().map(|deb| cache.packages().join(deb.file_name()));
            let debs: Vec<_> = debs.collect();
            debs.iter().all(|deb| deb.is_file()).then_some(debs)
        })
    }

    /// The ELF of the newest that has one.
    pub fn vmlinux(&self) -> Option<PathBuf> {
        self.ready.iter().rev().find_map(|kernel| match &kernel.image {
            Image::Pvh(path) => Some(path.clone()),
            _ => None,
        })
    }
}
