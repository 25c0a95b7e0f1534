//! The few modules that a guest needs, with those that they need, in the order to load
//! them in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use harness::in_words;
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, SectionHeader};

use crate::architecture::Architecture;
use crate::boot::bounded::{self, Content};
use crate::boot::compression::Compression;
use crate::boot::regular;

/// The modules to look for: the ports through which results come out, the protocols, the gate,
/// the witnesses, the wires, and what TCP-AO signs with. Each kernel has some of them built in.
pub const WANTED: [&str; 18] = [
    "virtio_pci",
    "virtio_console",
    "af_packet",
    "ipv6",
    "unix",
    "nf_tables",
    "nft_counter",
    "nft_ct",
    "nft_limit",
    "nft_reject_inet",
    "inet_diag",
    "tcp_diag",
    "veth",
    "tun",
    "sch_netem",
    "hmac",
    "sha1_generic",
    "sha1",
];

/// Those of them that a guest loads when it starts: the ports, since the kernel does not
/// know that their driver is missing, IPv6, so that `lo` has its address, and the gate, which a
/// snapshot has then. The kernel asks for the others when it needs them.
pub const AT_START: [&str; 5] =
    ["virtio_pci", "virtio_console", "ipv6", "nf_tables", "nft_counter"];

/// A module cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the module {} {why}", .path.display())]
pub struct BadModule {
    /// The module's file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: NoModule,
}

/// What is wrong with a module.
#[derive(Debug, thiserror::Error)]
pub enum NoModule {
    /// Its file cannot be read or decompressed.
    #[error("is damaged or out of reach: {}", in_words(.0))]
    Unreadable(#[from] io::Error),
    /// It is not an ELF file, or a damaged one.
    #[error("is damaged or no module: {0}")]
    Damaged(#[from] object::read::Error),
    /// It is for another processor.
    #[error("is not for {0}")]
    OtherMachine(Architecture),
    /// It is an ELF file of another kind.
    #[error("is no module: it has no .modinfo")]
    NoModinfo,
    /// It was built for another kernel.
    #[error("is for the kernel {module} and not {kernel}; give the modules of this build")]
    OtherKernel {
        /// The release it was built for.
        module: String,
        /// The release of the kernel that is prepared.
        kernel: String,
    },
}

/// The module files of a directory or of packages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// By name, `-` written as `_`.
    pub files: BTreeMap<String, PathBuf>,
    /// The names of those that the kernel has built in, where a `modules.builtin` says so.
    pub built_in: BTreeSet<String>,
    /// Who says that they belong to the kernel.
    pub named: Named,
}

/// Who says that modules belong to a kernel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The user, so that those of another kernel are a mistake.
    #[default]
    ByUser,
    /// Where they are: those of another kernel may be left from another build.
    ByPlace,
}

/// A module in memory, decompressed.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name, `-` written as `_`.
    pub name: String,
    /// Its file, decompressed.
    pub bytes: Vec<u8>,
}

/// Looks for modules in a directory and those below it, without following links.
///
/// # Errors
/// A directory cannot be read.
pub fn find(dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let file_name = entry.file_name();
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if file_name == "modules.builtin" {
                found.built_in.extend(listed(&entry.path())?.lines().filter_map(name_of));
            } else if let Some(name) = file_name.to_str().and_then(name_of)
                && regular::check(&entry.path()).is_ok_and(|checked| checked.is_ok())
            {
                found.files.insert(name, entry.path());
            }
        }
    }
    Ok(found)
}

/// The modules of a build, where they were built. Nothing if they were not built after the
/// kernel: they would be loaded, and be of another source.
///
/// # Errors
/// A list of the build cannot be read.
pub fn find_built(tree: &Path) -> io::Result<Option<Found>> {
    let modified = |name: &str| fs::metadata(tree.join(name)).and_then(|there| there.modified());
    // Each build of modules writes the symbols of all of them anew, from those of vmlinux.o.
    match (modified("Module.symvers"), modified("vmlinux.o")) {
        (Ok(modules), Ok(kernel)) if modules < kernel => return Ok(None),
        (Err(_), _) => return Ok(None),
        _ => {}
    }
    let order = tree.join("modules.order");
    if !order.is_file() {
        return Ok(None);
    }
    let mut found = Found { named: Named::ByPlace, ..Found::default() };
    for line in listed(&order)?.lines() {
        // `kernel/net/ipv4/tcp_diag.ko` up to 5.2, and `net/ipv4/tcp_diag.o` from 6.2 on.
        let line = line.strip_prefix("kernel/").unwrap_or(line);
        let file = tree.join(line).with_extension("ko");
        let name = line
            .strip_suffix(".o")
            .map_or_else(|| name_of(line), |name| name_of(&format!("{name}.ko")));
        if let Some(name) = name.filter(|_| file.is_file()) {
            found.files.insert(name, file);
        }
    }
    let built_in = tree.join("modules.builtin");
    if built_in.is_file() {
        found.built_in.extend(listed(&built_in)?.lines().filter_map(name_of));
    }
    Ok(Some(found))
}

/// What is in a list of modules.
fn listed(path: &Path) -> io::Result<String> {
    let text = bounded::read(regular::open(path)?, Content::List)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The name of the module whose file this is.
pub fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let (name, compression) = file.rsplit_once(".ko")?;
    matches!(compression, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

/// Loads those of `wanted` that are there, each after what it depends on. A module that
/// needs one that is not there is left out. `release` is the kernel's `uname -r`, if it
/// is known, and `architecture` the one that it is for.
///
/// # Errors
/// A module is damaged, or is another kernel's.
pub fn load(
    found: &Found,
    wanted: &[&str],
    release: Option<&str>,
    architecture: Architecture,
) -> Result<Vec<Loaded>, BadModule> {
    let (seen, loaded) = (BTreeMap::new(), Vec::new());
    let mut loading = Loading { found, release, architecture, seen, loaded };
    for name in wanted {
        let kept = loading.loaded.len();
        if !loading.add(name)? {
            // Dependencies of one that cannot be loaded are of no use on their own.
            for dropped in loading.loaded.drain(kept..) {
                loading.seen.remove(&dropped.name);
            }
        }
    }
    Ok(loading.loaded)
}

struct Loading<'a> {
    found: &'a Found,
    release: Option<&'a str>,
    architecture: Architecture,
    /// Whether each can be loaded; one that is being looked at can.
    seen: BTreeMap<String, bool>,
    loaded: Vec<Loaded>,
}

impl Loading<'_> {
    fn add(&mut self, name: &str) -> Result<bool, BadModule> {
        if let Some(known) = self.seen.get(name) {
            return Ok(*known);
        }
        self.seen.insert(name.into(), true);
        let there = match self.found.files.get(name) {
            None => self.found.built_in.contains(name),
            Some(path) => {
                let bad = |why: NoModule| BadModule { path: path.clone(), why };
                let bytes = read(path).map_err(|e| bad(e.into()))?;
                let info = Info::of(&bytes).map_err(bad)?;
                if info.architecture != Some(self.architecture) {
                    return Err(bad(NoModule::OtherMachine(self.architecture)));
                }
                let mut there = true;
                if let (Some(kernel), Some(module)) = (self.release, &info.release)
                    && kernel != module
                {
                    if self.found.named == Named::ByUser {
                        let (module, kernel) = (module.clone(), kernel.to_owned());
                        return Err(bad(NoModule::OtherKernel { module, kernel }));
                    }
                    there = false;
                }
                for dependency in &info.depends {
                    there &= self.add(dependency)?;
                }
                for wished in &info.wishes {
                    if self.found.files.contains_key(wished) {
                        self.add(wished)?;
                    }
                }
                if there {
                    self.loaded.push(Loaded { name: name.into(), bytes });
                }
                there
            }
        };
        self.seen.insert(name.into(), there);
        Ok(there)
    }
}

/// A module's file, decompressed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = BufReader::new(regular::open(path)?);
    match Compression::of(io::BufRead::fill_buf(&mut file)?) {
        Some(compression) => bounded::read(compression.open(file)?, Content::Module),
        None => bounded::read(file, Content::Module),
    }
}

/// The modules that a `softdep` wants loaded before, `-` written as `_`: `pre: a b post: c`. A name
/// may be an alias; of the kernel's ciphers it is, of the module in plain C among others.
fn wished_before(softdep: &str) -> Vec<String> {
    let words = softdep.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
    let names = words.take_while(|word| !word.ends_with(':')).map(|name| name.replace('-', "_"));
    names.flat_map(|name| [format!("{name}_generic"), name]).collect()
}

/// What a module says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The architecture that it was built for; nothing if no kernel of it can be booted.
    pub architecture: Option<Architecture>,
    /// The modules that it needs, `-` written as `_`.
    pub depends: Vec<String>,
    /// Those that it may ask for when it is loaded, as far as there are such modules: `softdep`,
    /// `pre`.
    pub wishes: Vec<String>,
    /// What the kernel may ask for to get it, apart from its name.
    pub aliases: Vec<String>,
    /// The kernel that it was built for.
    pub release: Option<String>,
}

impl Info {
    /// Reads `.modinfo`.
    ///
    /// # Errors
    /// Why this is no module.
    pub fn of(module: &[u8]) -> Result<Self, NoModule> {
        let header = FileHeader64::<Endianness>::parse(module)?;
        let order = header.endian()?;
        let architecture = Architecture::of_elf(header.e_machine.get(order)).ok();
        let sections = header.sections(order, module)?;
        let Some((_, section)) = sections.section_by_name(order, b".modinfo") else {
            return Err(NoModule::NoModinfo);
        };
        let text = section.data(order, module)?;
        let values = |key: &'static str| {
            let entries = text.split(|byte| *byte == 0);
            let found = entries.filter_map(|entry| entry.strip_prefix(key.as_bytes()));
            found.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let depends = values("depends=").next().unwrap_or_default();
        let depends = depends.split(',').filter(|name| !name.is_empty());
        let vermagic = values("vermagic=").next();
        let wishes = values("softdep=").flat_map(|softdep| wished_before(&softdep));
        Ok(Self {
            architecture,
            wishes: wishes.collect(),
            depends: depends.map(|name| name.replace('-', "_")).collect(),
            aliases: values("alias=").collect(),
            release: vermagic.and_then(|magic| magic.split(' ').next().map(str::to_owned)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::wished_before;
    use rstest::rstest;

    #[rstest]
    #[case("pre: crc32c", &["crc32c_generic", "crc32c"])]
    #[case("pre: a-b c post: d", &["a_b_generic", "a_b", "c_generic", "c"])]
    #[case("post: d pre: a", &["a_generic", "a"])]
    #[case("post: d", &[])]
    #[case("", &[])]
    fn a_softdep_says_what_to_load_before(#[case] softdep: &str, #[case] before: &[&str]) {
        assert_eq!(wished_before(softdep), before);
    }
}
