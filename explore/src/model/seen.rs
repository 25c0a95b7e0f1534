//! What is seen of a step: on the wire, by the caller, in counters and queues, and by who waits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::step::{ClientId, ListenerId};

/// Everything that is seen of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What the call returned.
    pub result: CallResult,
    /// What the server sent, by client, in the order of sending. The acknowledgements of an
    /// established connection are not among them: when they are sent depends on the time.
    pub answers: Vec<(ClientId, Answer)>,
    /// By how much counters grew; those that did not are missing.
    pub counters: BTreeMap<Counter, i64>,
    /// How many children wait in the accept queue of each listener that listens.
    pub queues: BTreeMap<ListenerId, u32>,
    /// Whose `epoll` reported that there is a child to accept.
    pub woken: BTreeSet<ListenerId>,
}

/// What a call returned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallResult {
    /// Success; a segment was sent, or time passed.
    #[default]
    Done,
    /// The errno, by its name.
    Refused(String),
    /// `accept` returned a connection.
    Accepted {
        /// Whose.
        client: ClientId,
        /// How many bytes there were to receive.
        bytes: u32,
        /// What `recv` returned after them.
        then: Rest,
    },
}

/// What `recv` returns when everything has been received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// EAGAIN: more may come.
    More,
    /// 0: the client has sent a FIN.
    End,
    /// The errno, by its name.
    Error(String),
}

/// A segment of the server. Numbers are relative to the connection's first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Answer {
    /// A SYN+ACK with a first number that the client has not seen: a new request.
    SynAck {
        /// SEG.ACK.
        ack: u32,
    },
    /// The same SYN+ACK again.
    SynAckAgain {
        /// SEG.ACK.
        ack: u32,
    },
    /// A RST without ACK, whose number is the SEG.ACK that it answers: there is no connection.
    Reset {
        /// SEG.SEQ.
        seq: u32,
    },
    /// A RST with ACK and the number 0, which answers a segment that has no ACK.
    Refusal {
        /// SEG.ACK.
        ack: u32,
    },
    /// The RST with ACK by which a connection is ended that was there.
    Abort {
        /// SEG.SEQ.
        seq: u32,
        /// SEG.ACK.
        ack: u32,
    },
    /// An ACK alone.
    Ack {
        /// SEG.SEQ.
        seq: u32,
        /// SEG.ACK.
        ack: u32,
    },
    /// Anything else, by its flags.
    Other {
        /// The flag bits of the header.
        flags: u8,
    },
}

/// In packetdrill's notation, as in a trace.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SynAck { ack } => write!(f, "S. 0:0(0) ack {ack}"),
            Self::SynAckAgain { ack } => write!(f, "S. 0:0(0) ack {ack} again"),
            Self::Reset { seq } => write!(f, "R {seq}:{seq}(0)"),
            Self::Refusal { ack } => write!(f, "R. 0:0(0) ack {ack}"),
            Self::Abort { seq, ack } => write!(f, "R. {seq}:{seq}(0) ack {ack}"),
            Self::Ack { seq, ack } => write!(f, ". {seq}:{seq}(0) ack {ack}"),
            Self::Other { flags } => write!(f, "a segment with the flags {flags:#04x}"),
        }
    }
}

impl fmt::Display for CallResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Refused(errno) => f.write_str(errno),
            Self::Accepted { client, bytes, then } => {
                write!(f, "{client}'s connection, {bytes} bytes, then {then}")
            }
        }
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More => f.write_str("EAGAIN"),
            Self::End => f.write_str("its end"),
            Self::Error(errno) => f.write_str(errno),
        }
    }
}

macro_rules! counters {
    ($($name:ident $kernel:literal,)+) => {
        /// A counter of `/proc/net/snmp` or `/proc/net/netstat`.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[expect(missing_docs, reason = "the kernel's own names")]
        pub enum Counter {
            $(#[serde(rename = $kernel)] $name,)+
        }

        impl Counter {
            /// All that the model knows.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in the kernel's file.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $kernel,)+
                }
            }
        }
    };
}

counters! {
    MigrateReqSuccess "TCPMigrateReqSuccess",
    MigrateReqFailure "TCPMigrateReqFailure",
    PassiveOpens "PassiveOpens",
    AttemptFails "AttemptFails",
    EstabResets "EstabResets",
    OutRsts "OutRsts",
    EmbryonicRsts "EmbryonicRsts",
    ListenOverflows "ListenOverflows",
    ListenDrops "ListenDrops",
    ReqQFullDrop "TCPReqQFullDrop",
    DeferAcceptDrop "TCPDeferAcceptDrop",
    Timeouts "TCPTimeouts",
    SynRetrans "TCPSynRetrans",
    FastOpenPassive "TCPFastOpenPassive",
    FastOpenListenOverflow "TCPFastOpenListenOverflow",
    ChallengeAck "TCPChallengeACK",
    SynChallenge "TCPSYNChallenge",
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing in which what must be seen and what was seen differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In what.
    pub of: Aspect,
    /// What the model says, as it is shown.
    pub model: String,
    /// What the kernel did, as it is shown.
    pub kernel: String,
}

/// In what two descriptions of a step can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// What the call returned.
    Result,
    /// What the server sent.
    Answers,
    /// A counter.
    Counter(Counter),
    /// The length of an accept queue.
    Queues,
    /// Who was woken.
    Woken,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result => f.write_str("the call returns"),
            Self::Answers => f.write_str("the server sends"),
            Self::Counter(counter) => write!(f, "{counter}"),
            Self::Queues => f.write_str("accept queues"),
            Self::Woken => f.write_str("epoll reports"),
        }
    }
}

/// A list as it is shown.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

impl Seen {
    /// What is seen of two steps, one after the other, but for what they returned.
    pub fn and_then(mut self, mut later: Self) -> Self {
        self.answers.append(&mut later.answers);
        for (counter, grown) in later.counters {
            *self.counters.entry(counter).or_default() += grown;
        }
        self.woken.append(&mut later.woken);
        Self { result: CallResult::Done, queues: later.queues, ..self }
    }

    /// In what the kernel, which did `kernel`, differs from what `self` says must be seen.
    pub fn differences(&self, kernel: &Self) -> Vec<Difference> {
        if self == kernel {
            return vec![];
        }
        let answers = |seen: &Self| {
            list(seen.answers.iter().map(|(client, answer)| format!("{client}: {answer}")))
        };
        let queues =
            |seen: &Self| list(seen.queues.iter().map(|(of, long)| format!("{of}: {long}")));
        let woken = |seen: &Self| list(seen.woken.iter().map(ToString::to_string));
        let result = |seen: &Self| seen.result.to_string();
        let texts = [
            (Aspect::Result, result(self), result(kernel)),
            (Aspect::Answers, answers(self), answers(kernel)),
            (Aspect::Queues, queues(self), queues(kernel)),
            (Aspect::Woken, woken(self), woken(kernel)),
        ];
        let mut found: Vec<Difference> = texts
            .into_iter()
            .filter(|(_, model, kernel)| model != kernel)
            .map(|(of, model, kernel)| Difference { of, model, kernel })
            .collect();
        for counter in Counter::ALL {
            let grown = |seen: &Self| seen.counters.get(counter).copied().unwrap_or(0);
            let (model, kernel) = (grown(self), grown(kernel));
            if model != kernel {
                let of = Aspect::Counter(*counter);
                let (model, kernel) = (format!("+{model}"), format!("+{kernel}"));
                found.push(Difference { of, model, kernel });
            }
        }
        found
    }
}
