//! What the placeholders of a server's file stand for in a lab.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use harness::PORT;
use harness::kernel::{self, SECOND_UID};

use crate::server_file::find::{find, python_of};
use crate::server_file::template::Names;
use crate::server_file::value::{Count, Words};
use crate::server_file::{Definition, ServerFile};

/// What everything stands for before a reload, or after it, where that has values of its own.
pub(crate) fn names(
    definition: &Definition,
    directory: &Path,
    workers: u32,
    is_reloaded: bool,
) -> Names {
    let file = &definition.file;
    let processors = kernel::processors().unwrap_or(1);
    let mut names = Names::default();
    names.set("port", PORT.to_string());
    names.set("directory", directory.display().to_string());
    names.set("log", log_in(directory).display().to_string());
    names.set("workers", workers.to_string());
    names.set("processors", processors.to_string());
    names.set("half-processors", (processors / 2).max(1).to_string());
    names.set("uid", SECOND_UID.to_string());
    names.set("here", definition.here.as_str());
    let program = program(definition);
    names.set("program", program.display().to_string());
    names.set("python", python_of(&program).display().to_string());
    for (name, places) in &file.paths {
        let places = places.as_slice();
        let there = places.iter().find(|place| Path::new(place).exists());
        names.set(name, there.or(places.first()).cloned().unwrap_or_default());
    }
    // A value may name another placeholder.
    let before = names.clone();
    let mut set = |values: &BTreeMap<String, Count>| {
        for (name, value) in values {
            names.set(name, before.fill(value.template()));
        }
    };
    set(&file.values);
    if is_reloaded {
        set(&file.reload.values);
    }
    names
}

/// Where the program is; where it is not, a name that starting it will say is missing.
fn program(definition: &Definition) -> PathBuf {
    let names = definition.file.program_names();
    let found = names.iter().find_map(|name| find(name, &definition.here));
    found.unwrap_or_else(|| names.first().copied().unwrap_or_default().into())
}

/// Where what a server prints goes to.
pub(super) fn log_in(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// The words of a command; a program's path is made whole.
pub(super) fn words(of: &Words, names: &Names, here: &str) -> Vec<String> {
    let mut words: Vec<String> = of.as_slice().iter().map(|word| names.fill(word)).collect();
    if let Some(program) = words.first_mut()
        && let Some(path) = find(program, here)
    {
        *program = path.display().to_string();
    }
    words
}

/// A server's files, each with its name, as they are before a reload or after it.
pub(crate) fn generated(file: &ServerFile, names: &Names) -> Vec<(String, String)> {
    file.files.iter().map(|(name, text)| (name.clone(), names.fill(text))).collect()
}
