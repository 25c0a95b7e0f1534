//! Lists of known bugs: `sockmig known`, and the option of the other subcommands.

use std::io::Write;
use std::path::Path;

use scenarios::judge::KnownList;
use scenarios::judge::builtin::builtin;
use scenarios::judge::known::Bug;

use crate::cli::{KnownCommand, KnownOption};
use crate::exit::Exit;
use crate::machine::user_list::{UserList, UserListError};
use crate::output::fold::entry;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};

/// Does what the command line asks for.
pub fn known(command: &KnownCommand) -> Exit {
    match command {
        KnownCommand::List => shown(&list_of(&builtin().bugs), Exit::Expected),
        KnownCommand::Check { file } => check(file),
    }
}

/// A line for each bug: its id, its CVE if it has one, and what is wrong.
fn list_of(bugs: &[Bug]) -> String {
    let widest = bugs.iter().map(|bug| bug.id.len()).max().unwrap_or_default();
    let width = stdout::known_width().unwrap_or(usize::MAX);
    let line = |bug: &Bug| {
        let cve = bug.cve.as_deref().unwrap_or("-");
        let name = format!("{:widest$}  {cve:14}  ", bug.id);
        entry(name.trim_end(), name.len(), &bug.title, width)
    };
    bugs.iter().map(line).collect()
}

fn check(file: &Path) -> Exit {
    let name = file.display();
    let (text, exit) = match UserList::read(file).and_then(|list| list.parsed()) {
        Ok(list) => {
            let (bugs, history) = (list.bugs.len(), list.history.len());
            (
                format!("{name}: nothing is wrong; bugs: {bugs}, history: {history}\n"),
                Exit::Expected,
            )
        }
        Err(UserListError::Wrong { complaints, .. }) => {
            let lines = complaints.iter().map(|complaint| format!("{name}: {complaint}\n"));
            (lines.collect(), Exit::Usage)
        }
        Err(e @ UserListError::Unreadable { .. }) => {
            stderr::complain(&e);
            return Exit::Unavailable;
        }
    };
    shown(&text, exit)
}

fn shown(text: &str, exit: Exit) -> Exit {
    let mut to = Stdout::new();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => exit,
        Err(e) => {
            stderr::complain(&e);
            Exit::Unavailable
        }
    }
}

/// What the option names, read and checked; nothing if it names nothing. The error is an exit
/// code whose reason has been reported.
pub fn user_list(option: &KnownOption) -> Result<Option<UserList>, Exit> {
    let Some(file) = &option.file else { return Ok(None) };
    UserList::read(file).map(Some).map_err(|e| reported(&e))
}

/// sockmig's own list, with what the option names. The error is as that of [`user_list`].
pub fn list(option: &KnownOption) -> Result<&'static KnownList, Exit> {
    match user_list(option)? {
        Some(list) => list.with_builtin().map_err(|e| reported(&e)),
        None => Ok(builtin()),
    }
}

fn reported(error: &UserListError) -> Exit {
    stderr::complain(error);
    match error {
        UserListError::Unreadable { .. } => Exit::Unavailable,
        UserListError::Wrong { .. } => Exit::Usage,
    }
}
