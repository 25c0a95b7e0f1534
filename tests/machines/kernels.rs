//! Which kernels there are to boot. What is in the cache is anybody's choice, so that a test says
//! what it needs of a kernel, and never takes one for granted.

use std::path::PathBuf;

use vm::architecture::Architecture;
use vm::boot::bootable::{Bootable, Image};
use vm::boot::prepare;
use vm::fetch::cache::Cache;
use vm::fetch::{choice, kernels};
use vm::machine::accel;

/// Those that are ready in the cache, oldest first.
#[derive(Clone)]
pub struct Kernels {
    ready: Vec<Ready>,
    dead_kvm: bool,
}

/// A kernel that is ready.
#[derive(Clone)]
struct Ready {
    name: String,
    /// Its ELF, if it is booted from one.
    elf: Option<PathBuf>,
    has_modules: bool,
}

impl From<Bootable> for Ready {
    fn from(bootable: Bootable) -> Self {
        let elf = match &bootable.image {
            Image::Pvh(path) => Some(path.clone()),
            _ => None,
        };
        Self { has_modules: !bootable.modules.is_empty(), name: bootable.name, elf }
    }
}

impl Ready {
    /// Whether it has migration, which came with Linux 5.14.
    fn migrates(&self) -> bool {
        let numbers = self.name.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        numbers.take(2).collect::<Vec<_>>() >= vec![5, 14]
    }
}

/// 3864c6ba1e04 fixes the lost wake-up between these, in two lines of the kernel.
pub const EDGES: [[&str; 2]; 2] = [["6.1.174-1", "6.1.176-1"], ["6.12.85-1", "6.12.86-1"]];

impl Kernels {
    /// Looks into the user's cache.
    pub fn in_cache() -> Self {
        let Ok(cache) = Cache::open() else { return Self { ready: vec![], dead_kvm: false } };
        // Those for other architectures need another sockmig in their guests.
        let ready = choice::of(Architecture::X86_64)
            .filter_map(|kernel| prepare::ready(&prepare::place(kernel, &cache)))
            .map(Ready::from)
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

    fn newest_that(&self, is: impl Fn(&&Ready) -> bool) -> Option<&Ready> {
        self.ready.iter().rev().find(is)
    }

    /// The newest.
    pub fn newest(&self) -> &str {
        &self.newest_that(|_| true).expect("a kernel").name
    }

    /// The newest that has migration.
    pub fn migrating(&self) -> Option<&str> {
        self.newest_that(|kernel| kernel.migrates()).map(|kernel| &*kernel.name)
    }

    /// The newest that brings modules.
    pub fn with_modules(&self) -> Option<&str> {
        self.newest_that(|kernel| kernel.has_modules).map(|kernel| &*kernel.name)
    }

    /// Two of them, the older one first: the edge if it is there, else the oldest and the newest.
    pub fn two(&self) -> [&str; 2] {
        self.edge().unwrap_or_else(|| [&*self.ready[0].name, self.newest()])
    }

    /// The last one with the lost wake-up in its line, and the first without.
    pub fn edge(&self) -> Option<[&'static str; 2]> {
        let is_ready = |name: &&str| self.ready.iter().any(|kernel| kernel.name == **name);
        EDGES.into_iter().find(|edge| edge.iter().all(is_ready))
    }

    /// The packages of the newest that has modules in them.
    pub fn debs(&self) -> Option<Vec<PathBuf>> {
        let cache = Cache::open().ok()?;
        self.ready.iter().rev().filter(|kernel| kernel.has_modules).find_map(|ready| {
            let listed = kernels::table().iter().find(|kernel| kernel.name == ready.name)?;
            let debs = listed.packages.iter().map(|deb| cache.packages().join(deb.file_name()));
            let debs: Vec<_> = debs.collect();
            debs.iter().all(|deb| deb.is_file()).then_some(debs)
        })
    }

    /// The ELF of the newest that has one.
    pub fn vmlinux(&self) -> Option<PathBuf> {
        self.newest_that(|kernel| kernel.elf.is_some()).and_then(|kernel| kernel.elf.clone())
    }
}

/// Whatever is in the cache, what a test may take is what it needs.
pub fn any_cache_will_do(_: &Kernels) {
    let all = [
        ("5.10.262-1", true, true),
        ("6.1.174-1", true, true),
        ("6.1.176-1", false, true),
        ("6.12.85-1", true, true),
        ("6.12.86-1", true, true),
        ("7.0.13-1", true, false),
        ("7.3.4-1", true, true),
    ];
    for chosen in 1_u32..1 << all.len() {
        let ready = all.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
        let ready = ready.map(|(_, (name, has_elf, has_modules))| Ready {
            name: (*name).to_owned(),
            elf: has_elf.then(|| PathBuf::from(name)),
            has_modules: *has_modules,
        });
        let kernels = Kernels { ready: ready.collect(), dead_kvm: false };
        let has = |name: &str| kernels.ready.iter().any(|kernel| kernel.name == name);
        let found = |name: &str| kernels.ready.iter().find(|kernel| kernel.name == name);
        assert!(has(kernels.newest()));
        let migrating = kernels.ready.iter().any(|kernel| !kernel.name.starts_with("5.10."));
        assert_eq!(kernels.migrating().is_some(), migrating);
        assert!(kernels.migrating().is_none_or(|name| name != "5.10.262-1"));
        assert!(kernels.with_modules().is_none_or(|name| name != "7.0.13-1" && has(name)));
        assert!(kernels.vmlinux().is_none_or(|path| !path.ends_with("6.1.176-1")));
        let edges = EDGES.iter().filter(|edge| edge.iter().all(|name| has(name))).count();
        assert_eq!(kernels.edge().is_some(), edges > 0);
        if kernels.are_several() {
            let [one, other] = kernels.two();
            assert!(one != other && found(one).is_some() && found(other).is_some());
        }
    }
}
