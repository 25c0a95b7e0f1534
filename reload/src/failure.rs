//! How a server that others wrote fails in a lab, and what the lab knows of it.

use std::fmt;
use std::net::SocketAddr;

use harness::{PORT, Resource};
use serde::{Deserialize, Serialize};

/// Why a measurement has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The laboratory broke.
    Lab(String),
    /// There was too little of something.
    Lacks {
        /// Of what.
        of: Resource,
        /// The call, and the kernel's answer.
        call: String,
    },
    /// The server did not do what its strategy needs.
    Server(Box<ServerFailure>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab(why) | Self::Lacks { call: why, .. } => f.write_str(why),
            Self::Server(failure) => failure.fmt(f),
        }
    }
}

impl From<harness::Error> for Failure {
    fn from(error: harness::Error) -> Self {
        let call = error.to_string();
        match error.lacks() {
            Some(of) => Self::Lacks { of, call },
            None => Self::Lab(call),
        }
    }
}

impl From<ServerFailure> for Failure {
    fn from(failure: ServerFailure) -> Self {
        Self::Server(Box::new(failure))
    }
}

/// A result of what involves a server.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// How a server fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFailure {
    /// What it was to do.
    pub phase: Phase,
    /// What happened.
    pub what: ServerEvent,
    /// The last lines of what it has printed.
    pub log: Vec<String>,
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.phase;
        match &self.what {
            ServerEvent::CannotStart { command, why } => {
                return write!(f, "`{command}` cannot be started: {why}");
            }
            ServerEvent::NoDirectory { directory } => {
                return write!(
                    f,
                    "`start.directory` is {directory}, and there is no such directory"
                );
            }
            ServerEvent::Ended { command, status } => {
                write!(f, "`{command}` ended {phase} ({status})")?;
            }
            ServerEvent::Gone { pid } => write!(f, "the process {pid} ended {phase}")?,
            ServerEvent::Stopped { pid } => write!(
                f,
                "the process {pid} is stopped (SIGSTOP, or a debugger), so that it answers nobody: \
                 find out what stops it"
            )?,
            ServerEvent::InBackground { command } => write!(
                f,
                "`{command}` has ended, and left something else running: have the server stay in \
                 the foreground, or say `background = true` and `pid-file` in [start]"
            )?,
            ServerEvent::NotInTime { seconds, missing } => {
                let what = match phase {
                    Phase::Start => "it is not ready",
                    Phase::Load | Phase::Reload => "the reload is not over",
                    Phase::Restore => "the values of before are not restored",
                };
                write!(f, "{what} after {seconds} s: {missing}")?;
            }
            ServerEvent::CommandFailed { command, status } => {
                write!(f, "`{command}` failed {phase} ({status})")?;
            }
            ServerEvent::CannotSignal { pid, why } => {
                write!(f, "the process {pid} takes no signal {phase}: {why}")?;
            }
            ServerEvent::NotANumber { key, text } => {
                return write!(f, "`{key}` is \"{text}\", and must be a number");
            }
            ServerEvent::OutOfRange { key, number, range: (least, most) } => {
                return write!(f, "`{key}` is {number}, and must be from {least} to {most}");
            }
        }
        match self.log.as_slice() {
            [] => f.write_str("; its log is empty"),
            lines => write!(f, "; its log ends with:\n{}", lines.join("\n")),
        }
    }
}

/// What a server was to do when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// To become ready.
    Start,
    /// To serve.
    Load,
    /// To reload.
    Reload,
    /// To become again as it was before a reload.
    Restore,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "before it was ready",
            Self::Load => "while it was to serve, and not at a reload",
            Self::Reload => "at the reload",
            Self::Restore => "when it was to restore the values of before",
        })
    }
}

/// What a server did, or did not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerEvent {
    /// The kernel refused to run the command.
    CannotStart {
        /// The program.
        command: String,
        /// The kernel's answer.
        why: String,
    },
    /// Where it is to start is no directory.
    NoDirectory {
        /// Its path.
        directory: String,
    },
    /// A process that was started has ended.
    Ended {
        /// The program.
        command: String,
        /// How.
        status: String,
    },
    /// A process that is no child of the lab has ended.
    Gone {
        /// Its id.
        pid: i32,
    },
    /// A process was stopped, and did not continue.
    Stopped {
        /// Its id.
        pid: i32,
    },
    /// The command has ended with success, and other processes run.
    InBackground {
        /// The program.
        command: String,
    },
    /// Something did not happen in time.
    NotInTime {
        /// How long was waited.
        seconds: u64,
        /// What was missing.
        missing: Missing,
    },
    /// A command that was to reload or stop it failed.
    CommandFailed {
        /// The program.
        command: String,
        /// How it ended.
        status: String,
    },
    /// A process could not be signalled.
    CannotSignal {
        /// Its id.
        pid: i32,
        /// The kernel's answer.
        why: String,
    },
    /// A template did not become a number.
    NotANumber {
        /// Where it is.
        key: String,
        /// What it became.
        text: String,
    },
    /// A count has become too small or too large with the values that were given.
    OutOfRange {
        /// Where it is.
        key: String,
        /// What it became.
        number: usize,
        /// The smallest and the largest that can be.
        range: (u32, u32),
    },
}

/// What is still missing until a server is ready, or its reload is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// Nobody listens.
    Listener,
    /// Somebody listens, but not where clients come.
    ListenerHere {
        /// Where listeners are.
        at: Vec<SocketAddr>,
    },
    /// There are too few listeners, or too many.
    Listeners {
        /// How many there are.
        there: usize,
        /// How many there must be.
        needed: usize,
    },
    /// There are too few children, or too many.
    Children {
        /// How many there are.
        there: usize,
        /// How many there must be.
        needed: usize,
    },
    /// A child has too few threads, or too many.
    Threads {
        /// How many it has.
        there: usize,
        /// How many it must have.
        needed: usize,
    },
    /// A file does not exist.
    File {
        /// Its path.
        path: String,
    },
    /// The pid file has no process that runs, or still the old one.
    Pid {
        /// Its path.
        path: String,
    },
    /// It has not printed what it prints when it is ready.
    Output {
        /// The text.
        text: String,
    },
    /// A client is not answered.
    Answer {
        /// What happened to it.
        why: String,
    },
    /// A client is answered, but not as it should be.
    GoodAnswer {
        /// The first line of the answer.
        got: String,
        /// How a good one begins.
        good: String,
    },
    /// Old processes run.
    OldProcesses {
        /// How many.
        left: usize,
    },
    /// A command has not ended.
    EndOf {
        /// The program.
        command: String,
    },
    /// Processes or listeners come and go.
    Quiet,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => write!(f, "nothing listens at port {PORT}"),
            Self::ListenerHere { at } => {
                let at: Vec<String> = at.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "it listens at {}, and clients come to every address at port {PORT}: have it \
                     listen at 0.0.0.0:{{port}}",
                    at.join(" and ")
                )
            }
            Self::Listeners { there, needed } => {
                write!(f, "it has {}, and must have {needed}", counted(*there, "listener"))
            }
            Self::Children { there, needed } => {
                let children = if *there == 1 { "child" } else { "children" };
                write!(f, "its main process has {there} {children}, and must have {needed}")
            }
            Self::Threads { there, needed } => {
                write!(f, "a child has {}, and must have {needed}", counted(*there, "thread"))
            }
            Self::File { path } => write!(f, "there is no file {path}"),
            Self::Pid { path } => write!(f, "{path} has not the id of a new process"),
            Self::Output { text } => write!(f, "it has not printed \"{text}\""),
            Self::Answer { why } => write!(f, "a client got no answer: {why}"),
            Self::GoodAnswer { got, good } => {
                write!(
                    f,
                    "a client got the answer \"{got}\", and a good one begins with \"{good}\""
                )
            }
            Self::OldProcesses { left: 1 } => f.write_str("one old process still runs"),
            Self::OldProcesses { left } => write!(f, "{left} old processes still run"),
            Self::EndOf { command } => write!(f, "`{command}` has not ended"),
            Self::Quiet => f.write_str("its processes or its listeners still change"),
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
