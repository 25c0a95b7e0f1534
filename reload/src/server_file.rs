//! A server as a file describes it: how it starts, when it is ready, how it is reloaded and
//! stopped, and what clients ask it.
//!
//! [`ServerFile::parse`] reads one, [`fault::faults`] says what is wrong with it before anything
//! runs, and [`template`] puts what only a lab knows, such as `{port}`, into its texts.

pub mod fault;
pub mod find;
mod placeholders;
pub mod template;
mod texts;
pub mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::window::FirstToSpeak;

use self::value::{ChildCount, Count, SignalName, StartAgain, Words};

/// A file with every key, and what each means.
pub const EXAMPLE: &str = include_str!("../data/example.toml");

/// The longest that a file may be, in bytes: all of it is handed to a lab as an argument.
pub const LONGEST: usize = 48 * 1024;

/// How many processes a server may be started as.
pub const PROCESSES: (u32, u32) = (1, 1000);

/// How long the start or a reload may take where the file does not say, in seconds.
const WITHIN_S: u32 = 30;

/// For how long nothing may change until a reload counts as over, where nothing else tells.
const QUIET_MS: u32 = 1000;

/// How long a reload takes at least where the file does not say: old processes take their time.
const TAKES_MS: u32 = 400;

/// A server and a way of reloading it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerFile {
    /// What happens at a reload, in a sentence.
    pub does: String,
    /// The names of the program, the first one that is on the PATH counts. Nothing where the
    /// command says it.
    pub program: Words,
    /// What to do where the program is missing.
    pub install: String,
    /// What a reload does to the listeners.
    pub listeners: KnownEffect,
    /// How many clients a second it can serve at most.
    #[serde(deserialize_with = "value::optional_whole_number")]
    pub rate: Option<u32>,
    /// How long a reload takes at least, in milliseconds.
    #[serde(deserialize_with = "value::optional_whole_number")]
    pub takes_ms: Option<u32>,
    /// What it needs of the machine.
    pub needs: Needs,
    /// Placeholders of the file's own, and what they stand for.
    pub values: BTreeMap<String, Count>,
    /// Placeholders that stand for the first of some paths that exists.
    pub paths: BTreeMap<String, Words>,
    /// Files that the server is started with, by their names in `{directory}`.
    pub files: BTreeMap<String, String>,
    /// How it starts.
    pub start: Start,
    /// When it is ready.
    pub ready: Ready,
    /// How it is reloaded.
    pub reload: Reload,
    /// How an old one is stopped, where a reload starts a new one.
    pub stop: Stop,
    /// What clients ask, and what they are to be answered.
    pub request: Request,
}

/// A server's file with what is not in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// What the strategy is called.
    pub id: String,
    /// The directory that the file is in: `{here}`.
    pub here: String,
    /// What the file says.
    pub file: ServerFile,
}

impl Definition {
    /// Who sends data first on a connection.
    pub fn first_to_speak(&self) -> FirstToSpeak {
        match self.file.request.send.as_deref() {
            Some("") => FirstToSpeak::Server,
            Some(_) | None => FirstToSpeak::Client,
        }
    }
}

/// What a reload does to the listeners, if that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownEffect {
    /// It is not known; what closes is observed.
    #[default]
    Observe,
    /// None closes.
    Stay,
    /// Some close while others of their group listen.
    Close,
    /// They close when no handshake of theirs is in flight.
    CloseWhenIdle,
    /// They close while others listen, and a program of the server has everything migrate.
    CloseAndMigrate,
    /// They close, and none of their group is left.
    CloseLeavingNobody,
}

/// What a server needs of the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Needs {
    /// At least this many processors.
    #[serde(deserialize_with = "value::whole_number")]
    pub processors: u32,
    /// IPv6 on the loopback interface.
    pub ipv6: bool,
    /// Other programs than the server's own, all of them.
    pub programs: Words,
}

/// How a server starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Start {
    /// The program and its arguments.
    pub command: Words,
    /// Environment variables, besides those that sockmig has.
    pub environment: BTreeMap<String, String>,
    /// Where it starts; `{directory}` where nothing is said.
    pub directory: Option<String>,
    /// How many processes are started so; 1 where nothing is said.
    pub processes: Option<Count>,
    /// The file with the main process's id, where it is not the process that was started.
    pub pid_file: Option<String>,
    /// Whether the command ends, and leaves the server in the background.
    pub background: bool,
    /// Whether the server refuses to serve as root and becomes the user `{uid}` by itself.
    pub becomes_user: bool,
}

/// When a server is ready, besides that it listens. Everything that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// Its processes have this many listeners at the port.
    pub listeners: Option<Count>,
    /// Its main process has this many children.
    pub children: Option<ChildCount>,
    /// Each of the children has this many threads.
    pub threads: Option<Count>,
    /// This file exists; with `{pid}` in it, one for each of the children.
    pub file: Option<String>,
    /// What it has printed since it was started contains this.
    pub output: Option<String>,
    /// How long that may take, in seconds.
    #[serde(deserialize_with = "value::optional_whole_number")]
    pub within_s: Option<u32>,
}

/// How a server is reloaded: by exactly one of `signal`, `command` and `start-again`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reload {
    /// The main process gets this signal.
    pub signal: Option<SignalName>,
    /// This command is run to its end.
    pub command: Option<Words>,
    /// A new one is started: by the command of [`Start`], or by this one.
    pub start_again: Option<StartAgain>,
    /// Whether the old one is then stopped as [`Stop`] says, when the new one is ready. It is
    /// unless this says that the new one does it.
    pub stop_old: Option<bool>,
    /// What ends by the reload, and must have when it is over.
    pub ends: Option<Ends>,
    /// What it has printed since the reload began contains this, when the reload is over.
    pub output: Option<String>,
    /// What values become at a reload. Before the next one they are restored.
    pub values: BTreeMap<String, Count>,
    /// How they are restored, where that is not by the same signal or command.
    pub restore: Option<Restore>,
    /// Where nothing ends: for how long, in milliseconds, neither processes nor listeners may
    /// change until the reload counts as over.
    #[serde(deserialize_with = "value::optional_whole_number")]
    pub quiet_ms: Option<u32>,
    /// How long a reload may take, in seconds.
    #[serde(deserialize_with = "value::optional_whole_number")]
    pub within_s: Option<u32>,
}

/// What ends by a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// The children that the main process had before.
    Children,
    /// The main process and its children; another main process is in the pid file then.
    Main,
}

/// How values are restored after a reload that changed them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restore {
    /// The main process gets this signal.
    pub signal: Option<SignalName>,
    /// This command is run to its end.
    pub command: Option<Words>,
}

/// How an old server is stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stop {
    /// Each of its main processes gets this signal; SIGTERM where nothing is said.
    pub signal: Option<SignalName>,
    /// This command is run to its end.
    pub command: Option<Words>,
}

/// What a client sends and gets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// What is sent when the connection is established; a request of HTTP where nothing is said.
    pub send: Option<String>,
    /// How a good answer begins: `HTTP/1.` and the status 200 where nothing is said.
    pub answer: Option<String>,
    /// When the answer is over.
    pub until: Until,
}

/// When an answer is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// The server closes the connection.
    #[default]
    Closed,
    /// Its beginning has come. The client then closes the connection.
    Beginning,
}

/// What cannot be read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong with it, by the parser.
    pub message: String,
}

impl Definition {
    /// Every text that may name a path.
    pub fn texts(&self) -> Vec<&str> {
        let file = &self.file;
        let again = match &file.reload.start_again {
            Some(StartAgain::By(words)) => Some(words),
            Some(StartAgain::AsBefore(_)) | None => None,
        };
        let restore = file.reload.restore.as_ref().and_then(|restore| restore.command.as_ref());
        let commands = [Some(&file.start.command), file.reload.command.as_ref(), again, restore];
        let commands =
            commands.into_iter().chain([file.stop.command.as_ref(), Some(&file.program)]);
        let words = commands.flatten().chain(file.paths.values()).flat_map(Words::as_slice);
        let others = [&file.start.directory, &file.start.pid_file, &file.ready.file];
        let others = others.into_iter().flatten().chain(file.start.environment.values());
        let texts = words.chain(others).chain(file.files.values()).chain([&self.here]);
        texts.map(String::as_str).collect()
    }
}

impl ServerFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is not TOML, or has keys or types that no such file has.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        toml::from_str(text).map_err(|e: toml::de::Error| ParseError {
            line: e.span().map(|span| line_of(text, span.start)),
            message: e.message().lines().collect::<Vec<_>>().join(", "),
        })
    }

    /// How long the start may take.
    pub fn ready_within(&self) -> Duration {
        seconds(self.ready.within_s)
    }

    /// How long a reload may take.
    pub fn reload_within(&self) -> Duration {
        seconds(self.reload.within_s)
    }

    /// How long nothing may change until a reload counts as over; nothing where its end shows.
    pub fn quiet(&self) -> Option<Duration> {
        let shows = self.reload.ends.is_some() || self.reload.start_again.is_some();
        let quiet = self.reload.quiet_ms.or_else(|| (!shows).then_some(QUIET_MS));
        quiet.map(|ms| Duration::from_millis(ms.into()))
    }

    /// How long a reload takes at least.
    pub fn takes(&self) -> Duration {
        let takes = Duration::from_millis(self.takes_ms.unwrap_or(TAKES_MS).into());
        takes.max(self.quiet().unwrap_or_default())
    }

    /// Whether a reload has an old main process end.
    pub fn replaces_main(&self) -> bool {
        self.reload.start_again.is_some() || self.reload.ends == Some(Ends::Main)
    }

    /// Whether sockmig stops the old one.
    pub fn stops_old(&self) -> bool {
        self.replaces_main() && self.reload.stop_old != Some(false)
    }

    /// The programs of all commands but the one that starts it, by their keys.
    pub fn commands(&self) -> Vec<(&'static str, &str)> {
        let again = match &self.reload.start_again {
            Some(StartAgain::By(words)) => Some(words),
            Some(StartAgain::AsBefore(_)) | None => None,
        };
        let restore = self.reload.restore.as_ref().and_then(|restore| restore.command.as_ref());
        let commands = [
            ("reload.command", self.reload.command.as_ref()),
            ("reload.start-again", again),
            ("reload.restore.command", restore),
            ("stop.command", self.stop.command.as_ref()),
        ];
        let programs = commands
            .into_iter()
            .filter_map(|(key, words)| Some((key, words?.as_slice().first().map(String::as_str)?)));
        programs.collect()
    }

    /// The names that the program may have, the command's first word where there are no others.
    pub fn program_names(&self) -> Vec<&str> {
        match self.program.as_slice() {
            [] => self.start.command.as_slice().first().map(String::as_str).into_iter().collect(),
            names => names.iter().map(String::as_str).collect(),
        }
    }
}

fn seconds(of: Option<u32>) -> Duration {
    Duration::from_secs(of.unwrap_or(WITHIN_S).into()) * harness::wait::slowness()
}

/// The line that has the byte at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
