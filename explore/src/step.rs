//! What a history does, one step after the other, and the words for it.

use std::fmt;
use std::str::FromStr;

use harness::trace::Direction;
use serde::{Deserialize, Serialize};

/// A listener, by its place among those of the history: 0 is A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenerId(pub usize);

/// A client, by its place among those of the history: 0 is C1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub usize);

/// How many listeners a history can have: their names are letters.
pub const MOST_LISTENERS: usize = 26;

/// How many clients a history can have.
pub const MOST_CLIENTS: usize = 64;

/// How many bytes a segment may carry.
pub const MOST_BYTES: u32 = 1000;

/// A step of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// A setting of the namespace is changed.
    Set(Setting),
    /// A new socket with `SO_REUSEPORT` is bound to the server's address and listens.
    Listen {
        /// Its name.
        listener: ListenerId,
        /// Its backlog.
        backlog: u32,
        /// `TCP_DEFER_ACCEPT` is 1: a handshake waits a second for data.
        defer_accept: bool,
        /// `TCP_FASTOPEN`: how many Fast Open children may be unfinished; 0 is none.
        fast_open: u32,
    },
    /// `listen` on a listener that listens, or was shut down.
    ListenAgain {
        /// Which.
        listener: ListenerId,
        /// Its backlog from now on.
        backlog: u32,
    },
    /// `shutdown`.
    Shutdown {
        /// Of which listener.
        listener: ListenerId,
        /// Of which direction.
        how: Direction,
    },
    /// Another descriptor of a listener.
    Duplicate {
        /// Which.
        listener: ListenerId,
    },
    /// A descriptor of a listener is closed.
    Close {
        /// Of which.
        listener: ListenerId,
    },
    /// `accept`, and then everything there is to receive.
    Accept {
        /// On which listener.
        listener: ListenerId,
    },
    /// A classic program has the group choose the member at an index.
    SelectIndex {
        /// A member of the group.
        listener: ListenerId,
        /// The index in `socks[]`.
        index: u32,
    },
    /// The group has no program any more.
    SelectByHash {
        /// A member of the group.
        listener: ListenerId,
    },
    /// A client sends a segment.
    Send {
        /// Which.
        client: ClientId,
        /// What.
        segment: Segment,
    },
    /// Time passes until the next SYN+ACK timer has fired.
    Wait,
}

/// A setting of the network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Setting {
    /// `net.ipv4.tcp_migrate_req`.
    MigrateReq(bool),
    /// `net.ipv4.tcp_abort_on_overflow`.
    AbortOnOverflow(bool),
    /// `net.ipv4.tcp_synack_retries`.
    SynAckRetries(u8),
}

/// A segment that a client builds. SEG.SEQ is what the server expects next unless it says
/// otherwise, and SEG.ACK acknowledges the SYN+ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Segment {
    /// The SYN, for the first time or again.
    Syn,
    /// A SYN with this number of bytes.
    FastOpenSyn(u32),
    /// An ACK alone: the handshake's last one, or any other.
    Ack,
    /// This number of bytes.
    Data(u32),
    /// A FIN.
    Fin,
    /// A RST with just the number that is expected.
    Reset,
    /// A RST with another number of the window.
    ResetInWindow,
    /// A SYN with a number of the window that is not the first SYN's.
    SynInWindow,
    /// An ACK of what was never sent.
    AckOfNothing,
    /// An ACK with a number far out of the window.
    OutOfWindow,
    /// A byte without the ACK flag.
    WithoutAck,
}

/// The first word of each kind of step, as histories and `--only` have them.
pub const WORDS: [&str; 21] = [
    "set",
    "listen",
    "listen-again",
    "shutdown",
    "duplicate",
    "close",
    "accept",
    "select-index",
    "select-by-hash",
    "syn",
    "fast-open-syn",
    "ack",
    "data",
    "fin",
    "reset",
    "reset-in-window",
    "syn-in-window",
    "ack-of-nothing",
    "out-of-window",
    "without-ack",
    "wait",
];

impl Step {
    /// The listener that it is about, if it is about one.
    pub fn listener(mut self) -> Option<ListenerId> {
        self.listener_mut().copied()
    }

    /// The same of another listener, if it is of one.
    pub fn of_listener(mut self, other: ListenerId) -> Self {
        if let Some(listener) = self.listener_mut() {
            *listener = other;
        }
        self
    }

    fn listener_mut(&mut self) -> Option<&mut ListenerId> {
        match self {
            Self::Listen { listener, .. }
            | Self::ListenAgain { listener, .. }
            | Self::Shutdown { listener, .. }
            | Self::Duplicate { listener }
            | Self::Close { listener }
            | Self::Accept { listener }
            | Self::SelectIndex { listener, .. }
            | Self::SelectByHash { listener } => Some(listener),
            Self::Set(_) | Self::Send { .. } | Self::Wait => None,
        }
    }

    /// The first word of its line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Listen { .. } => "listen",
            Self::ListenAgain { .. } => "listen-again",
            Self::Shutdown { .. } => "shutdown",
            Self::Duplicate { .. } => "duplicate",
            Self::Close { .. } => "close",
            Self::Accept { .. } => "accept",
            Self::SelectIndex { .. } => "select-index",
            Self::SelectByHash { .. } => "select-by-hash",
            Self::Send { segment, .. } => segment.word(),
            Self::Wait => "wait",
        }
    }
}

impl Segment {
    fn word(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::FastOpenSyn(_) => "fast-open-syn",
            Self::Ack => "ack",
            Self::Data(_) => "data",
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::ResetInWindow => "reset-in-window",
            Self::SynInWindow => "syn-in-window",
            Self::AckOfNothing => "ack-of-nothing",
            Self::OutOfWindow => "out-of-window",
            Self::WithoutAck => "without-ack",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "syn" => Self::Syn,
            "ack" => Self::Ack,
            "fin" => Self::Fin,
            "reset" => Self::Reset,
            "reset-in-window" => Self::ResetInWindow,
            "syn-in-window" => Self::SynInWindow,
            "ack-of-nothing" => Self::AckOfNothing,
            "out-of-window" => Self::OutOfWindow,
            "without-ack" => Self::WithoutAck,
            _ => return None,
        })
    }

    /// Its flags, in packetdrill's letters.
    pub fn flags(self) -> &'static str {
        match self {
            Self::Syn | Self::FastOpenSyn(_) | Self::SynInWindow => "S",
            Self::Ack | Self::AckOfNothing | Self::OutOfWindow => ".",
            Self::Data(_) => "P.",
            Self::Fin => "F.",
            Self::Reset | Self::ResetInWindow => "R",
            Self::WithoutAck => "P",
        }
    }

    /// How many bytes it carries.
    pub fn bytes(self) -> u32 {
        match self {
            Self::FastOpenSyn(bytes) | Self::Data(bytes) => bytes,
            Self::WithoutAck => 1,
            _ => 0,
        }
    }
}

impl Setting {
    /// Its name, as `sysctl` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MigrateReq(_) => "net.ipv4.tcp_migrate_req",
            Self::AbortOnOverflow(_) => "net.ipv4.tcp_abort_on_overflow",
            Self::SynAckRetries(_) => "net.ipv4.tcp_synack_retries",
        }
    }

    /// Its value.
    pub fn value(self) -> u8 {
        match self {
            Self::MigrateReq(on) | Self::AbortOnOverflow(on) => u8::from(on),
            Self::SynAckRetries(retries) => retries,
        }
    }
}

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = u8::try_from(self.0).ok().and_then(|index| b'A'.checked_add(index));
        write!(f, "{}", char::from(letter.unwrap_or(b'?')))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.0 + 1)
    }
}

/// As a line of a history.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Set(setting) => write!(f, " {} {}", setting.name(), setting.value()),
            Self::Listen { listener, backlog, defer_accept, fast_open } => {
                write!(f, " {listener} backlog {backlog}")?;
                if *defer_accept {
                    f.write_str(" defer-accept")?;
                }
                match fast_open {
                    0 => Ok(()),
                    most => write!(f, " fast-open {most}"),
                }
            }
            Self::ListenAgain { listener, backlog } => write!(f, " {listener} backlog {backlog}"),
            Self::Shutdown { listener, how } => write!(f, " {listener} {how}"),
            Self::Duplicate { listener }
            | Self::Close { listener }
            | Self::Accept { listener }
            | Self::SelectByHash { listener } => write!(f, " {listener}"),
            Self::SelectIndex { listener, index } => write!(f, " {listener} {index}"),
            Self::Send { client, segment } => match segment {
                Segment::FastOpenSyn(bytes) | Segment::Data(bytes) => {
                    write!(f, " {client} {bytes}")
                }
                _ => write!(f, " {client}"),
            },
            Self::Wait => Ok(()),
        }
    }
}

/// Why a line is no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStep {
    /// Its first word is none that is known.
    #[error("`{0}` is no act; acts are {known}", known = WORDS.join(", "))]
    UnknownWord(String),
    /// What follows is not what the word needs.
    #[error("`{word}` needs {needs}")]
    Wrong {
        /// The first word.
        word: &'static str,
        /// What has to follow it.
        needs: &'static str,
    },
}

/// What has to follow a word.
fn needs(word: &str) -> &'static str {
    match word {
        "set" => {
            "net.ipv4.tcp_migrate_req or net.ipv4.tcp_abort_on_overflow and 0 or 1, or \
             net.ipv4.tcp_synack_retries and a number from 0 to 2"
        }
        "listen" => {
            "a listener (A, B, ...), `backlog` and a number up to 4096, and perhaps \
                     `defer-accept` and `fast-open` with a number up to 4096"
        }
        "listen-again" => "a listener, `backlog` and a number up to 4096",
        "shutdown" => "a listener, and SHUT_RD, SHUT_WR or SHUT_RDWR",
        "select-index" => "a listener, and an index",
        "fast-open-syn" | "data" => "a client (C1, C2, ...), and a number of bytes from 1 to 1000",
        "wait" => "nothing after it",
        "duplicate" | "close" | "accept" | "select-by-hash" => "a listener (A, B, ...)",
        _ => "a client (C1, C2, ...)",
    }
}

/// The largest backlog: the default of `net.core.somaxconn`.
const MOST_BACKLOG: u32 = 4096;

fn listener(word: &str) -> Option<ListenerId> {
    match word.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(ListenerId(usize::from(letter - b'A'))),
        _ => None,
    }
}

fn client(word: &str) -> Option<ClientId> {
    let number: usize = word.strip_prefix('C')?.parse().ok()?;
    (1..=MOST_CLIENTS).contains(&number).then(|| ClientId(number - 1))
}

fn number(word: &str, most: u32) -> Option<u32> {
    word.parse().ok().filter(|number| *number <= most)
}

fn bytes(word: &str) -> Option<u32> {
    number(word, MOST_BYTES).filter(|bytes| *bytes > 0)
}

fn setting(name: &str, value: &str) -> Option<Setting> {
    let switch = || match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    };
    match name {
        "net.ipv4.tcp_migrate_req" => switch().map(Setting::MigrateReq),
        "net.ipv4.tcp_abort_on_overflow" => switch().map(Setting::AbortOnOverflow),
        "net.ipv4.tcp_synack_retries" => {
            number(value, 2).map(|retries| Setting::SynAckRetries(retries as u8))
        }
        _ => None,
    }
}

/// What stands after `listen A backlog N`.
fn options(mut words: &[&str]) -> Option<(bool, u32)> {
    let (mut defer_accept, mut fast_open) = (false, 0);
    loop {
        words = match words {
            [] => return Some((defer_accept, fast_open)),
            ["defer-accept", rest @ ..] => {
                defer_accept = true;
                rest
            }
            ["fast-open", most, rest @ ..] => {
                fast_open = number(most, MOST_BACKLOG)?;
                rest
            }
            _ => return None,
        };
    }
}

fn step(words: &[&str]) -> Option<Step> {
    Some(match words {
        ["set", name, value] => Step::Set(setting(name, value)?),
        ["listen", name, "backlog", backlog, rest @ ..] => {
            let (defer_accept, fast_open) = options(rest)?;
            let backlog = number(backlog, MOST_BACKLOG)?;
            Step::Listen { listener: listener(name)?, backlog, defer_accept, fast_open }
        }
        ["listen-again", name, "backlog", backlog] => {
            Step::ListenAgain { listener: listener(name)?, backlog: number(backlog, MOST_BACKLOG)? }
        }
        ["shutdown", name, how] => {
            let how = match *how {
                "SHUT_RD" => Direction::Read,
                "SHUT_WR" => Direction::Write,
                "SHUT_RDWR" => Direction::Both,
                _ => return None,
            };
            Step::Shutdown { listener: listener(name)?, how }
        }
        ["duplicate", name] => Step::Duplicate { listener: listener(name)? },
        ["close", name] => Step::Close { listener: listener(name)? },
        ["accept", name] => Step::Accept { listener: listener(name)? },
        ["select-by-hash", name] => Step::SelectByHash { listener: listener(name)? },
        ["select-index", name, index] => {
            Step::SelectIndex { listener: listener(name)?, index: index.parse().ok()? }
        }
        ["fast-open-syn", name, count] => {
            Step::Send { client: client(name)?, segment: Segment::FastOpenSyn(bytes(count)?) }
        }
        ["data", name, count] => {
            Step::Send { client: client(name)?, segment: Segment::Data(bytes(count)?) }
        }
        ["wait"] => Step::Wait,
        [word, name] => Step::Send { client: client(name)?, segment: Segment::of_word(word)? },
        _ => return None,
    })
}

impl FromStr for Step {
    type Err = NoStep;

    fn from_str(line: &str) -> Result<Self, NoStep> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let first = words.first().copied().unwrap_or_default();
        let Some(word) = WORDS.iter().find(|word| **word == first) else {
            return Err(NoStep::UnknownWord(first.to_owned()));
        };
        step(&words).ok_or(NoStep::Wrong { word, needs: needs(word) })
    }
}
