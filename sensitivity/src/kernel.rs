//! Kernels: the whole one, and one for each change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use anyhow::Context;

use crate::change::Change;
use crate::digest::digest;
use crate::place::Place;
use crate::tools;

/// What a kernel is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// A program of this machine, with one processor.
    UserMode,
    /// x86_64 with two processors.
    TwoProcessors,
    /// The same, with what watches memory, locks and objects.
    Watched,
}

impl Machine {
    /// The directory with what is built for it, in that of everything.
    pub fn directory(self) -> &'static str {
        match self {
            Self::UserMode => "",
            Self::TwoProcessors => "two-processors",
            Self::Watched => "watched",
        }
    }

    /// What everything is configured with, on top of nothing.
    fn config(self) -> &'static str {
        match self {
            Self::UserMode => concat!(
                include_str!("../../vm/configurations/base.config"),
                include_str!("../more.config")
            ),
            Self::TwoProcessors => include_str!("../two-processors.config"),
            Self::Watched => concat!(
                include_str!("../two-processors.config"),
                include_str!("../../vm/configurations/sanitizers/kasan.config")
            ),
        }
    }

    /// As `make` names the architecture.
    fn architecture(self) -> &'static str {
        match self {
            Self::UserMode => "um",
            Self::TwoProcessors | Self::Watched => "x86_64",
        }
    }

    /// The kernel, as `make` names it, and as it lies in the tree.
    fn image(self) -> &'static str {
        match self {
            Self::UserMode => "linux",
            Self::TwoProcessors | Self::Watched => "vmlinux",
        }
    }
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Built {
    /// A kernel.
    Kernel(PathBuf),
    /// The same machine code as without the change.
    SameCode,
    /// It is no C any more, or another error for the compiler.
    DoesNotCompile,
}

/// Builds one kernel after the other, in one tree.
#[derive(Debug)]
pub struct Builder {
    place: Place,
    machine: Machine,
    /// The tree is one's alone while a change is in it. For each file that was changed, what is
    /// compiled of it without a change.
    tree: Mutex<HashMap<String, Vec<u8>>>,
    /// What is known of the whole kernel: a digest of its configuration and its source's version.
    pub base: String,
}

impl Builder {
    /// Configures and builds the whole kernel, unless it is there.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn new(place: &Place, machine: Machine) -> anyhow::Result<Self> {
        let mut builder =
            Self { place: place.clone(), machine, tree: Mutex::default(), base: String::new() };
        let wanted = machine.config();
        let config = place.build().join(".config");
        let whole = builder.whole();
        let asked = place.asked_config();
        if !config.is_file() || !fs::read_to_string(&asked).is_ok_and(|asked| asked == wanted) {
            fs::create_dir_all(place.build())
                .context("cannot make the directory for what is built")?;
            fs::write(&asked, wanted)
                .with_context(|| format!("cannot write {}", asked.display()))?;
            let base = format!("KCONFIG_ALLCONFIG={}", asked.display());
            tools::ran(builder.make().args([base.as_str(), "allnoconfig"]))?;
            // It was built with another.
            let _ = fs::remove_file(&whole);
        }
        if !whole.is_file() {
            tools::ran(builder.make().arg(machine.image()))?;
            copy_over(&place.build().join(machine.image()), &whole)?;
        }
        builder.base = digest([read(&config)?, read(&place.source().join("Makefile"))?]);
        Ok(builder)
    }

    /// The kernel without any change.
    pub fn whole(&self) -> PathBuf {
        self.place.kernel("whole")
    }

    fn make(&self) -> Command {
        let mut make = Command::new("make");
        make.arg("-C").arg(self.place.source());
        make.arg(format!("ARCH={}", self.machine.architecture()));
        make.arg(format!("O={}", self.place.build().display()));
        // As `make` takes it: `CC='ccache gcc'`.
        make.args(env::var("CC").map(|compiler| format!("CC={compiler}")));
        make
    }

    /// The kernel with a change.
    ///
    /// # Errors
    /// Something other than the change's own code stands in the way.
    pub fn build(&self, change: &Change, source: &str) -> anyhow::Result<Built> {
        let kernel = self.place.kernel(&change.id(source));
        if kernel.is_file() {
            return Ok(Built::Kernel(kernel));
        }
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.place.source().join(&change.file);
        let object = change.file.replace(".c", ".o");
        let compiled = || -> anyhow::Result<Vec<u8>> {
            tools::ran(self.make().arg(&object))?;
            read(&self.place.build().join(&object))
        };
        if !tree.contains_key(&object) {
            tree.insert(object.clone(), compiled()?);
        }
        write(&file, &change.applied(source))?;
        let built = match compiled() {
            Err(_) => Ok(Built::DoesNotCompile),
            Ok(code) if code == tree[&object] => Ok(Built::SameCode),
            Ok(_) => tools::ran(self.make().arg(self.machine.image()))
                .and_then(|()| copy_over(&self.place.build().join(self.machine.image()), &kernel))
                .map(|()| Built::Kernel(kernel)),
        };
        write(&file, source)?;
        built
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The copy has its name only when it is whole.
fn copy_over(from: &Path, to: &Path) -> anyhow::Result<()> {
    let coming = to.with_extension("coming");
    fs::copy(from, &coming)
        .and_then(|_| fs::rename(&coming, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
