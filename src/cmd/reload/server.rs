//! `--server` and `--start`: servers that the user describes.

use std::fs;
use std::path::{Path, PathBuf};

use harness::in_words;
use reload::catalogue;
use reload::server_file::fault::{self, Fault};
use reload::server_file::value::{SignalName, Words};
use reload::server_file::{Definition, LONGEST, Reload, ServerFile, Start};
use reload::strategy::Strategy;

use crate::cli::ReloadArguments;
use crate::cmd::reload::refusal::Refusal;
use crate::exit::Exit;

/// What `--server new` asks for in place of a file.
const NEW: &str = "new";

/// What a server without a file is called.
const WITHOUT_FILE: &str = "server";

/// A server's file, as it was found.
pub(super) struct Described {
    /// What messages call it.
    pub(super) name: String,
    /// Its text; nothing for a server without a file.
    pub(super) text: Option<String>,
    /// What it says.
    pub(super) definition: Definition,
}

/// Whether the example is asked for.
pub(super) fn wants_example(arguments: &ReloadArguments) -> bool {
    matches!(arguments.server.as_slice(), [file] if file == Path::new(NEW))
}

/// The servers that the command line describes, in its order.
///
/// # Errors
/// What is wrong with their files, a line each.
pub(super) fn described(arguments: &ReloadArguments) -> Result<Vec<Described>, Refusal> {
    let read = arguments.server.iter().map(|path| read(path));
    let started = arguments.start.iter().map(|start| {
        let reload = arguments.reload.as_deref().unwrap_or_default();
        without_file(start, reload)
    });
    let mut servers = Vec::new();
    let mut complaints = Vec::new();
    for server in read.chain(started) {
        match server {
            Ok(server) => servers.push(server),
            Err(why) => complaints.extend(why),
        }
    }
    let mut ids: Vec<&str> = servers.iter().map(|s: &Described| s.definition.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        complaints.push(format!(
            "two servers are called `{}`, by the names of their files: rename one",
            pair[0]
        ));
    }
    match complaints.is_empty() {
        true => Ok(servers),
        false => Err(Refusal::new(Exit::Usage, complaints.join("\n"))),
    }
}

/// Their strategies.
pub(super) fn strategies(servers: Vec<Described>) -> Vec<Strategy> {
    servers.into_iter().map(|server| catalogue::described(server.definition)).collect()
}

fn read(path: &Path) -> Result<Described, Vec<String>> {
    let name = path.display().to_string();
    let cannot_read = |why: String| vec![format!("cannot read {name}: {why}")];
    let text = read_text(path).map_err(cannot_read)?;
    let complaint = |fault: &Fault| format!("{name}: {fault}");
    let file = fault::read(&text).map_err(|f| f.iter().map(complaint).collect::<Vec<_>>())?;
    let id = path.file_stem().map_or_else(|| name.clone(), |stem| stem.to_string_lossy().into());
    let here = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let here = here.unwrap_or(Path::new("."));
    let here = fs::canonicalize(here).map_err(|e| cannot_read(in_words(&e)))?;
    let definition = Definition { id, here: here.display().to_string(), file };
    Ok(Described { name, text: Some(text), definition })
}

/// The text of a file; of one that is too long only so much that this shows.
fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = fs::File::open(path).map_err(|e| in_words(&e))?;
    let mut text = Vec::new();
    let longest = LONGEST as u64 + 1;
    file.take(longest).read_to_end(&mut text).map_err(|e| in_words(&e))?;
    String::from_utf8(text).map_err(|_| "it is not text in UTF-8".to_owned())
}

/// A server by its command, and by a command or a signal that reloads it.
fn without_file(start: &str, reload: &str) -> Result<Described, Vec<String>> {
    let words = |option: &str, line: &str| match Words::of_line(line) {
        Ok(words) if words.is_empty() => Err(vec![format!("{option} is empty")]),
        Ok(words) => Ok(words),
        Err(why) => Err(vec![format!("{option}: {why}")]),
    };
    let command = words("--start", start)?;
    let (does, by) = (format!("`{start}`, reloaded by `{reload}`."), Reload::default());
    let reload = match reload {
        signal if signal.starts_with("SIG") && !signal.contains(' ') => {
            let signal =
                SignalName::parse(signal).map_err(|why| vec![format!("--reload: {why}")])?;
            Reload { signal: Some(signal), ..by }
        }
        line => Reload { command: Some(words("--reload", line)?), ..by },
    };
    let file = ServerFile {
        does,
        start: Start { command, directory: Some("{here}".into()), ..Start::default() },
        reload,
        ..ServerFile::default()
    };
    let faults = fault::faults(&file);
    if !faults.is_empty() {
        return Err(faults.iter().map(ToString::to_string).collect());
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let definition = Definition { id: WITHOUT_FILE.into(), here: here.display().to_string(), file };
    Ok(Described { name: "--start".into(), text: None, definition })
}
