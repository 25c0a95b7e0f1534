//! What a way of reloading a server is: its name, what it needs, and how it is started.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::Family;
use harness::kernel::{Kernel, Migration};
use harness::load::Exchange;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Result;
use crate::server_file::{Definition, find};
use crate::window::FirstToSpeak;

/// A way of reloading a server.
pub struct Strategy {
    /// Its name, as a rule a path of two parts: who reloads, and how.
    pub id: String,
    /// What happens at a reload, in a sentence.
    pub does: String,
    /// What that means for the listeners.
    pub effect: ListenerEffect,
    /// How long one reload takes at least.
    pub takes: Duration,
    /// How many clients a second it is made for at most, if that is few: it gets no more,
    /// whatever was asked for.
    pub most: Option<u32>,
    /// Whose server it is.
    pub server: ServerKind,
}

/// Whose server a strategy reloads.
pub enum ServerKind {
    /// Workers of this project.
    Own {
        /// What it needs besides sockets.
        needs: OwnNeed,
        /// How the workers start.
        start: OwnStart,
    },
    /// A server that others wrote, described by a file.
    Foreign(Box<Definition>),
}

/// Starts workers of this project.
pub struct OwnStart(pub(crate) fn(&ServerEnv) -> Result<Box<dyn Server>>);

impl Strategy {
    /// What keeps it from being measured here, if anything does.
    pub fn missing(&self, kernel: &Kernel) -> Option<Unmet> {
        match &self.server {
            ServerKind::Own { needs: OwnNeed::Nothing, .. } => None,
            // The kernel would take the program, and never ask it.
            ServerKind::Own { needs: OwnNeed::Migration, .. }
                if kernel.migration() != Migration::Works =>
            {
                Some(Unmet::Migration)
            }
            ServerKind::Own { .. } => kernel.programs.as_ref().err().map(|errno| Unmet::Programs {
                refusal: errno.to_string(),
                may_load: kernel.may_load_programs,
            }),
            ServerKind::Foreign(server) => missing_of(server, kernel),
        }
    }

    /// Who sends data first on a connection.
    pub fn first_to_speak(&self) -> FirstToSpeak {
        self.definition().map_or(FirstToSpeak::Client, Definition::first_to_speak)
    }

    /// The server's file, if it has one.
    pub fn definition(&self) -> Option<&Definition> {
        match &self.server {
            ServerKind::Own { .. } => None,
            ServerKind::Foreign(definition) => Some(definition),
        }
    }
}

fn missing_of(server: &Definition, kernel: &Kernel) -> Option<Unmet> {
    let no_ipv6 = || (server.file.needs.ipv6 && kernel.ipv6.is_err()).then_some(Unmet::Ipv6);
    unmet_without_lab(server).or_else(no_ipv6)
}

/// What keeps a server from being measured here, as far as that is known without a lab.
pub fn unmet_without_lab(server: &Definition) -> Option<Unmet> {
    let file = &server.file;
    let names = file.program_names();
    // What a placeholder stands for is known when it runs.
    let is_template = |name: &&str| name.contains('{');
    if !names.iter().any(|name| is_template(name) || find::find(name, &server.here).is_some()) {
        return Some(Unmet::Program {
            names: names.into_iter().map(str::to_owned).collect(),
            install: file.install.clone(),
        });
    }
    if let Some((key, name)) = file.commands().into_iter().find(|(_, name)| !runs(name, server)) {
        return Some(Unmet::Command { key, name: name.to_owned() });
    }
    let others = file.needs.programs.as_slice();
    if let Some(other) = others.iter().find(|name| find::find(name, &server.here).is_none()) {
        return Some(Unmet::Program { names: vec![other.clone()], install: String::new() });
    }
    let missing_path = file.paths.iter().find(|(_, places)| {
        !places.as_slice().iter().any(|place| std::path::Path::new(place).exists())
    });
    if let Some((name, places)) = missing_path {
        return Some(Unmet::Path { name: name.clone(), places: places.as_slice().to_vec() });
    }
    let here = u32::try_from(harness::kernel::processors().unwrap_or(1)).unwrap_or(u32::MAX);
    let needed = file.needs.processors;
    (here < needed).then_some(Unmet::Processors { needed, here })
}

/// Whether the first word of a command is a program, as far as that can be known before it is run.
fn runs(name: &str, server: &Definition) -> bool {
    let name = name.replace("{here}", &server.here);
    // Another PATH is the server's own affair.
    let elsewhere = !name.contains('/') && server.file.start.environment.contains_key("PATH");
    name.contains('{') || elsewhere || find::find(&name, &server.here).is_some()
}

/// What a strategy needs and this machine has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// A server's program.
    Program {
        /// What it may be called.
        names: Vec<String>,
        /// What to do about it; may be empty.
        install: String,
    },
    /// The program of a command that the server's file has.
    Command {
        /// Its key.
        key: &'static str,
        /// The program.
        name: String,
    },
    /// A directory or a file of a server.
    Path {
        /// What the server's file calls it.
        name: String,
        /// Where it may be.
        places: Vec<String>,
    },
    /// Processors.
    Processors {
        /// How many.
        needed: u32,
        /// How many there are.
        here: u32,
    },
    /// IPv6 on the loopback interface.
    Ipv6,
    /// A kernel that migrates.
    Migration,
    /// Permission to load eBPF programs, or a kernel that has them.
    Programs {
        /// The kernel's answer.
        refusal: String,
        /// Whether this user may load programs.
        may_load: bool,
    },
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { names, install } => {
                let names = names.join(" or ");
                match names.contains('/') {
                    true => write!(f, "there is no program {names} that can be run")?,
                    false => write!(f, "there is no {names} on the PATH")?,
                }
                if install.is_empty() { Ok(()) } else { write!(f, "; {install}") }
            }
            Self::Command { key, name } if name.contains('/') => {
                write!(f, "`{key}`: there is no program {name} that can be run")
            }
            Self::Command { key, name } => write!(f, "`{key}`: there is no {name} on the PATH"),
            Self::Path { name, places } => {
                write!(f, "{{{name}}} is in none of {}", places.join(", "))
            }
            Self::Processors { needed, here } => {
                write!(f, "it takes {needed} processors, and this machine has {here}")
            }
            Self::Ipv6 => f.write_str("this kernel has no IPv6 on lo"),
            Self::Migration => f.write_str("this kernel cannot migrate; Linux 5.14 and later can"),
            Self::Programs { refusal, may_load } => {
                let advice = match may_load {
                    true => "the kernel has no eBPF, or something forbids it",
                    false => "run as root, outside of containers",
                };
                write!(f, "loading an eBPF program is {refusal}: {advice}")
            }
        }
    }
}

/// What a reload does to the group of listeners. What it may lose follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// It is not known whether listeners close, or depends on the server's version: what they
    /// do is observed.
    #[serde(rename = "varies")]
    Observed,
}

/// What a strategy with workers of this project needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnNeed {
    /// Nothing but sockets.
    Nothing,
    /// That eBPF programs can be loaded.
    Programs,
    /// The same, and a kernel that asks them where to migrate to.
    Migration,
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

    /// Fails if something about its processes explains why clients are not served.
    fn explain(&mut self) -> Result<()> {
        Ok(())
    }

    /// Since when a program has given new clients to nobody of the old generation, if one
    /// did in the last reload.
    fn steered(&self) -> Option<Instant> {
        None
    }

    /// The family of the sockets that clients of IPv4 come to.
    fn family(&self) -> Family {
        Family::V4
    }

    /// What clients send, and what they are to be answered.
    fn exchange(&self) -> Exchange {
        Exchange::default()
    }
}
