//! `sockmig kselftest-install`: sockmig as a test for the runner of the kernel's selftests.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use harness::essential::Essential;
use harness::kernel::configuration::OPTIONS;
use harness::process::subprocess::THIS_PROGRAM;

use crate::exit::Exit;
use crate::output::file::write_whole;
use crate::output::stderr;

/// The collection that the test is in: the directory of its files.
const COLLECTION: &str = "sockmig";

/// The line of the list of tests.
const LISTED: &str = "sockmig:sockmig.sh";

const SCRIPT: &str = include_str!("kselftest_install/sockmig.sh");
const SETTINGS: &str = include_str!("kselftest_install/settings");
const MAKEFILE: &str = include_str!("kselftest_install/Makefile");
const RUNNER: &str = include_str!("kselftest_install/run_kselftest.sh");

const PROGRAM: u32 = 0o755;
const TEXT: u32 = 0o644;

/// Installs it into `directory`.
pub fn kselftest_install(directory: &Path) -> Exit {
    match install(directory) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            stderr::complain_of(&e);
            Exit::Unavailable
        }
    }
}

fn install(directory: &Path) -> Result<()> {
    let collection = directory.join(COLLECTION);
    fs::create_dir_all(&collection)
        .with_context(|| format!("cannot make the directory {}", collection.display()))?;
    let program = fs::read(THIS_PROGRAM).with_context(|| format!("cannot read {THIS_PROGRAM}"))?;
    let write = |name: &str, bytes: &[u8], mode| write(&collection.join(name), bytes, mode);
    write("sockmig", &program, PROGRAM)?;
    write("sockmig.sh", SCRIPT.as_bytes(), PROGRAM)?;
    write("settings", SETTINGS.as_bytes(), TEXT)?;
    write("config", config().as_bytes(), TEXT)?;
    write("Makefile", MAKEFILE.as_bytes(), TEXT)?;
    add_to_list(&directory.join("kselftest-list.txt"))?;
    let runner = directory.join("run_kselftest.sh");
    match runner.exists() {
        true => Ok(()),
        false => self::write(&runner, RUNNER.as_bytes(), PROGRAM),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_whole(path, bytes)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// The options that cases are about, as a fragment of a configuration.
fn config() -> String {
    let essential = Essential::ALL.map(Essential::option);
    essential.iter().chain(&OPTIONS).map(|option| format!("{option}=y\n")).collect()
}

/// Other collections stay in the list.
fn add_to_list(path: &Path) -> Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    if before.lines().any(|line| line == LISTED) {
        return Ok(());
    }
    let mut list = before;
    if !list.is_empty() && !list.ends_with('\n') {
        list.push('\n');
    }
    list.push_str(LISTED);
    list.push('\n');
    write(path, list.as_bytes(), TEXT)
}
