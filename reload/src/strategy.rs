//! What a way of reloading a server is: its name, what it needs, and how it is started.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::Result;
use harness::kernel::{Kernel, Migration};
use serde::{Deserialize, Serialize};

/// A way of reloading a server.
pub struct Strategy {
    /// Its name, a path of two parts: who reloads, and how.
    pub id: &'static str,
    /// What happens at a reload, in a sentence.
    pub does: &'static str,
    /// What that means for the listeners.
    pub effect: ListenerEffect,
    /// How long one reload takes at least.
    pub takes: Duration,
    /// How many clients a second it is made for at most, if that is few: it gets no more,
    /// whatever was asked for.
    pub most: Option<u32>,
    /// What it needs besides sockets and our own workers.
    pub needs: StrategyNeed,
    pub(crate) start: fn(&ServerEnv) -> Result<Box<dyn Server>>,
}

impl Strategy {
    /// What keeps it from being measured here, if anything does, and what to do about it.
    pub fn missing(&self, kernel: &Kernel) -> Option<String> {
        match self.needs {
            StrategyNeed::Nothing => None,
            StrategyNeed::Server(program) => match program.find() {
                None => Some(format!(
                    "there is no {} on the PATH; {}",
                    program.names.join(" or "),
                    program.install
                )),
                Some(_) => (program.missing)(kernel),
            },
            StrategyNeed::Migration if kernel.migration() != Migration::Works => {
                // It would take the program, and never ask it.
                Some("this kernel cannot migrate; Linux 5.14 and later can".into())
            }
            StrategyNeed::Programs | StrategyNeed::Migration => {
                kernel.programs.as_ref().err().map(|errno| {
                    let advice = match kernel.may_load_programs {
                        true => "the kernel has no eBPF, or something forbids it",
                        false => "run as root, outside of containers",
                    };
                    format!("loading an eBPF program is {errno}: {advice}")
                })
            }
        }
    }
}

/// Where a program is, by the PATH and where servers usually are.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let is_program = |file: &PathBuf| {
        use std::os::unix::fs::PermissionsExt;
        file.metadata()
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).chain(usual).map(|place| place.join(name)).find(is_program)
}

/// What a reload does to the group of listeners. What it may lose follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerEffect {
    /// Listeners close while others of their group still listen.
    #[serde(rename = "closes")]
    Close,
    /// No listener closes.
    #[serde(rename = "keeps")]
    StayOpen,
    /// Listeners close once no handshake of theirs is in flight any more.
    #[serde(rename = "drains")]
    CloseWhenIdle,
    /// Listeners close, and an eBPF program of the server has everything migrate, whatever
    /// `tcp_migrate_req` is.
    #[serde(rename = "migrates")]
    CloseAndProgramMigrates,
    /// Listeners close and leave their group empty: there is no target to migrate to.
    #[serde(rename = "empties")]
    CloseLeavingNobody,
    /// It depends on the server's version whether listeners close, and whether others of
    /// their group still listen.
    #[serde(rename = "varies")]
    DependsOnVersion,
}

/// What a strategy needs.
#[derive(Debug, Clone, Copy)]
pub enum StrategyNeed {
    /// Nothing but sockets.
    Nothing,
    /// A server that others wrote.
    Server(Program),
    /// That eBPF programs can be loaded.
    Programs,
    /// The same, and a kernel that asks them where to migrate to.
    Migration,
}

/// A program that a strategy needs.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its names on the PATH, as distributions call it.
    pub names: &'static [&'static str],
    /// What to install where it is missing.
    pub install: &'static str,
    /// What else is missing here, if anything, and what can be done about it.
    pub(crate) missing: fn(&Kernel) -> Option<String>,
}

impl Program {
    /// Where it is.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.names.iter().find_map(|name| find(name))
    }

    /// The same, or a name that starting it will say is missing.
    pub(crate) fn path(&self) -> PathBuf {
        self.find().unwrap_or_else(|| self.names[0].into())
    }
}

/// What servers are made from.
#[derive(Debug, Clone)]
pub struct ServerEnv {
    /// How many workers a generation has.
    pub workers: u32,
    /// How long a worker of our own is busy after each `accept`.
    pub pause: Duration,
    /// Where configurations and logs may be written; gone after the run.
    pub directory: PathBuf,
}

/// A running server that can be reloaded.
pub(crate) trait Server {
    /// Reloads it once; where the strategy has both generations serve for a while, that is
    /// `overlap`. Returns when the old generation was ordered to stop.
    fn reload(&mut self, overlap: Duration) -> Result<Instant>;

    /// Returns when nothing of the old generation is left.
    fn settle(&mut self) -> Result<()>;

    /// Whether old ones accept whoever is in their queue before they close.
    fn drains(&self) -> bool {
        false
    }

    /// Fails if a process has ended that was not ordered to, with what is known of it.
    fn alive(&mut self) -> Result<()>;

    /// Since when a program has given new clients to nobody of the old generation, if one
    /// did in the last reload.
    fn steered(&self) -> Option<Instant> {
        None
    }
}
