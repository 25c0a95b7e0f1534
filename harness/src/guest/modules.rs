//! Modules of a guest: a few are loaded when it starts, and the others when the kernel asks
//! for them.
//!
//! Relocating a module takes an emulator a while, and most cases need few. For
//! others the kernel runs [`MODPROBE`], which in a guest is this program by another name.

use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::process::arguments::as_text;

/// Where the initial RAM file system holds modules, each as `NAME.ko`.
pub const MODULES: &str = "/modules";

/// The modules to load at the start, a name a line, in the order in which they are loaded.
pub const AT_START: &str = "/modules/at-start";

/// What the kernel may ask for: a line each, of the alias and the modules to load for it in
/// their order. Dashes are written as underscores, since the kernel uses either.
pub const ALIASES: &str = "/modules/aliases";

/// The configuration that a guest's kernel was built with, if the host knows it.
pub const CONFIGURATION: &str = "/modules/config";

/// What the guest was not given, as [`NotGiven`] in JSON.
pub const NOT_GIVEN: &str = "/modules/not-given";

/// Modules that a guest might need and that its host did not have. They may be built in, where
/// nothing says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotGiven {
    /// Their names, `-` written as `_`.
    pub modules: Vec<String>,
    /// The packages that should have them, as far as the packages that were given say.
    pub packages: Vec<String>,
}

impl NotGiven {
    /// What the host of this guest says; nothing in a guest of another host, and elsewhere.
    pub fn read() -> Option<Self> {
        serde_json::from_slice(&fs::read(NOT_GIVEN).ok()?).ok()
    }

    /// Whether this module is among them.
    pub fn has(&self, module: &str) -> bool {
        self.modules.iter().any(|name| name == module)
    }
}

/// The program that the kernel runs for a module, unless it was configured
/// otherwise (`kernel.modprobe`).
pub const MODPROBE: &str = "/sbin/modprobe";

/// An alias, or a module's name, as [`ALIASES`] has it.
pub fn normal(alias: &str) -> String {
    alias.replace('-', "_")
}

/// Loads what there is to load at the start. Says what could not be loaded.
pub(super) fn load_at_start() -> Vec<String> {
    let listed = fs::read_to_string(AT_START).unwrap_or_default();
    listed.lines().filter_map(|name| load(name).err()).map(|e| e.to_string()).collect()
}

/// Loads what the kernel asks for if it started this program as [`MODPROBE`], and ends
/// then. Otherwise does nothing.
pub(super) fn answer_kernel() {
    let mut arguments = as_text();
    if arguments.next().as_deref() != Some(MODPROBE) {
        return;
    }
    // `modprobe -q -- ALIAS`, in every kernel (call_modprobe, kernel/module/kmod.c).
    let alias = normal(&arguments.next_back().unwrap_or_default());
    let listed = fs::read_to_string(ALIASES).unwrap_or_default();
    let names = listed.lines().find_map(|line| line.strip_prefix(&*alias)?.strip_prefix(' '));
    let loaded = names.is_some_and(|names| names.split(' ').all(|name| load(name).is_ok()));
    std::process::exit(i32::from(!loaded));
}

/// Loads a module, unless it is there already.
fn load(name: &str) -> Result<()> {
    let path = Path::new(MODULES).join(format!("{name}.ko"));
    let file = File::open(&path).call(|| format!("open({})", path.display()))?;
    match finit_module(file, c"", ModuleInitFlags::empty()) {
        Err(Errno::EEXIST) => Ok(()),
        ended => ended.call(|| format!("finit_module({})", path.display())),
    }
}
