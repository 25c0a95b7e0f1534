//! The processes of a running server.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::process::child_server::{self, ChildServer, families, is_gone};
use harness::process::subprocess::rename_only_user;

use crate::failure::{Result, ServerEvent};

/// A process that a server can be signalled by.
pub(super) enum MainProcess {
    /// The one that was started.
    Child { process: ChildServer, command: String },
    /// Another one, by its pid file.
    Background { pid: i32 },
}

/// What has become of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Life {
    Runs,
    Ended {
        event: ServerEvent,
        /// With success.
        well: bool,
    },
}

impl MainProcess {
    pub(super) fn pid(&self) -> i32 {
        match self {
            Self::Child { process, .. } => process.pid(),
            Self::Background { pid } => *pid,
        }
    }

    pub(super) fn life(&mut self) -> Result<Life> {
        match self {
            Self::Child { process, command } => Ok(match process.ended()? {
                None => Life::Runs,
                Some(status) => Life::Ended {
                    event: ServerEvent::Ended {
                        command: command.clone(),
                        status: status.to_string(),
                    },
                    well: status.success(),
                },
            }),
            Self::Background { pid } if is_gone(*pid) => {
                Ok(Life::Ended { event: ServerEvent::Gone { pid: *pid }, well: false })
            }
            Self::Background { .. } => Ok(Life::Runs),
        }
    }
}

/// How processes of a server are started.
pub(super) struct Starter<'s> {
    /// Environment variables of the server's own.
    pub(super) environment: Vec<(String, String)>,
    /// Where it starts.
    pub(super) directory: PathBuf,
    /// What it may fill with files of its own.
    pub(super) scratch: &'s Path,
    /// Where what it prints goes.
    pub(super) log: PathBuf,
    /// Whether it becomes another user by itself.
    pub(super) becomes_user: bool,
}

/// Where programs keep files of the user's: none of them is to leave the lab.
const DIRECTORIES: [&str; 7] = [
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// What a service manager says to a program that it starts, and did not say to this one.
const OF_A_MANAGER: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"];

impl Starter<'_> {
    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(&self, words: &[String]) -> std::result::Result<ChildServer, ServerEvent> {
        let (program, arguments) = words.split_first().expect("a command has a word");
        if !self.directory.is_dir() {
            let directory = self.directory.display().to_string();
            return Err(ServerEvent::NoDirectory { directory });
        }
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.directory);
        DIRECTORIES.iter().for_each(|name| {
            command.env(name, self.scratch);
        });
        OF_A_MANAGER.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.becomes_user {
            rename_only_user(&mut command);
        }
        ChildServer::start(command, &self.log).map_err(|e| ServerEvent::CannotStart {
            command: program.clone(),
            why: match e {
                harness::Error::Call { source, .. } => harness::in_words(&source),
                other => other.to_string(),
            },
        })
    }
}

/// The id in a pid file, if a process has it.
pub(super) fn pid_in(file: &Path) -> Option<i32> {
    let text = fs::read_to_string(file).ok()?;
    let pid = text.split_whitespace().next()?.parse().ok()?;
    (pid > 0 && !is_gone(pid)).then_some(pid)
}

/// Which of `listeners` processes hold, or what descends from them.
pub(super) fn held(by: &[i32], listeners: &BTreeSet<u64>) -> Result<BTreeSet<u64>> {
    let mut held = BTreeSet::new();
    for pid in families(by)? {
        held.extend(child_server::sockets_of(pid).intersection(listeners));
    }
    Ok(held)
}
