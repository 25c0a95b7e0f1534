//! What a lab does, as data. Words are made where an act is shown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json::{Fields, of_later_version};
use crate::net::draft::Draft;
use crate::trace::parts::{
    Accepted, Actor, CloseCall, Destroyed, Direction, GateKind, MemoryWitness, Part,
};
use crate::trace::program::GroupProgram;

/// Something that a lab does to the kernel, or to a process of its own.
///
/// A socket of a lab records what is done to it by itself, so that nothing can be missing.
/// Code that shows acts, or draws conclusions from them, matches all of them: with a new kind
/// of act it does not compile until it knows that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A sysctl is set.
    Sysctl {
        /// Its name, with dots.
        name: String,
        /// Its value.
        value: String,
    },
    /// How many subflows connections of Multipath TCP may have that begin from now on.
    LimitSubflows {
        /// How many besides the first one.
        subflows: u32,
    },
    /// A socket is made that belongs to another user than root, who makes all others.
    OpenAs {
        /// Which.
        listener: String,
        /// The user's id.
        uid: u32,
    },
    /// A socket of Multipath TCP is made; others are of TCP alone.
    OpenMultipath {
        /// Which.
        socket: Actor,
    },
    /// A socket is bound.
    Bind {
        /// Which.
        socket: Actor,
        /// The local address and port; port 0 lets the kernel choose.
        to: SocketAddr,
    },
    /// A listener begins to listen. For one that the lab makes, with `SO_REUSEPORT` and at
    /// the usual address, that is all there is to see of it; what is unusual about one stands
    /// before.
    Listen {
        /// Its name.
        listener: String,
        /// Its backlog.
        backlog: i32,
    },
    /// A socket option is set.
    SetOption {
        /// Of which socket.
        socket: Actor,
        /// The option's name in the C library.
        option: String,
        /// The value, as it is shown.
        value: String,
    },
    /// `shutdown`.
    Shutdown {
        /// Of which socket.
        socket: Actor,
        /// Of which direction.
        how: Direction,
    },
    /// `connect` to AF_UNSPEC: a listener stops listening, a connection is reset.
    Disconnect {
        /// Which socket.
        socket: Actor,
    },
    /// Another descriptor of a listener (`dup`).
    Duplicate {
        /// Which listener.
        listener: String,
    },
    /// The last or another descriptor of a socket is closed.
    Close {
        /// Which socket.
        socket: Actor,
        /// By which call.
        #[serde(default)]
        by: CloseCall,
        /// Nobody has the socket open any more: neither this process nor another one.
        last: bool,
        /// The case did not ask for it: a value came to the end of its scope.
        at_scope_end: bool,
    },
    /// A listener's inode is given to another user (`fchown`).
    GiveTo {
        /// Which listener.
        listener: String,
        /// The user's id.
        uid: u32,
    },
    /// A client that is a socket connects.
    Connect {
        /// Its name.
        client: String,
    },
    /// Data is sent.
    Send {
        /// By which end of a connection.
        socket: Actor,
        /// How many bytes.
        bytes: usize,
        /// The bytes, escaped as in ASCII, where they are few.
        #[serde(default)]
        data: String,
    },
    /// Data is received.
    Receive {
        /// By which end of a connection.
        socket: Actor,
        /// What `recv` returned, as it is shown.
        got: String,
    },
    /// `accept`.
    Accept {
        /// On which listener.
        listener: String,
        /// What it returned.
        got: Accepted,
    },
    /// A client that is no socket sends a segment.
    SendSegment {
        /// Its name.
        client: String,
        /// What it sends, with numbers relative to the connection's first ones.
        segment: Draft,
    },
    /// A socket is destroyed through netlink (`SOCK_DESTROY`).
    Destroy(Destroyed),
    /// A classic program has a group choose the member at an index.
    SelectIndex {
        /// A member of the group.
        listener: String,
        /// The index in the group's `socks[]`.
        index: u32,
    },
    /// A group has no program any more, so that the hash chooses.
    SelectByHash {
        /// A member of the group.
        listener: String,
    },
    /// An eBPF program is attached to a group.
    Attach {
        /// A member of the group.
        listener: String,
        /// The program, in words.
        program: String,
        /// How it decides; documents from before do not have it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        decides: Option<GroupProgram>,
    },
    /// An entry of a map of sockets is set.
    SetEntry {
        /// The number of the map's descriptor.
        #[serde(default)]
        array: u32,
        /// The index in the map.
        index: u32,
        /// The listener that stands there from now on.
        listener: String,
    },
    /// An entry of a map of sockets is removed.
    ClearEntry {
        /// The number of the map's descriptor.
        #[serde(default)]
        array: u32,
        /// The index in the map.
        index: u32,
    },
    /// The gate is closed.
    CloseGate(GateKind),
    /// The gate is opened.
    OpenGate,
    /// A process begins to hold descriptors of listeners: by fork, with or without exec.
    StartProcess {
        /// What the process is called.
        process: String,
        /// The listeners that it has open.
        holds: Vec<String>,
    },
    /// A process replaces itself by another program (`execve`), which keeps what it had open.
    Exec {
        /// The process.
        process: String,
    },
    /// A process is stopped (SIGSTOP).
    Stop {
        /// The process.
        process: String,
    },
    /// A stopped process goes on (SIGCONT).
    Continue {
        /// The process.
        process: String,
    },
    /// A process is killed (SIGKILL).
    Kill {
        /// The process.
        process: String,
        /// The listeners that no process has open any more.
        closes: Vec<String>,
    },
    /// A process ends by itself.
    EndProcess {
        /// The process.
        process: String,
        /// The listeners that no process has open any more.
        closes: Vec<String>,
    },
    /// A process serves clients.
    Serve {
        /// The process.
        process: String,
    },
    /// Descriptors of listeners are sent through a UNIX socket (`SCM_RIGHTS`).
    SendDescriptors {
        /// Of which listeners.
        listeners: Vec<String>,
        /// Who has them from now on: a process, or the queue of a UNIX socket.
        to: String,
    },
    /// Descriptors are received from a UNIX socket.
    ReceiveDescriptors {
        /// The listeners that this process has open from now on.
        listeners: Vec<String>,
        /// The listeners that no process has open any more: there was no room for them.
        closes: Vec<String>,
    },
    /// UNIX sockets are closed, and what is queued in them is dropped.
    CloseUnixSockets {
        /// The listeners that no process has open any more.
        closes: Vec<String>,
    },
    /// A call on a listener in which a thread sleeps begins, and keeps the listener open.
    BeginCall {
        /// The listener.
        listener: String,
    },
    /// Such a call has returned.
    EndCall {
        /// The listeners that no process has open any more.
        closes: Vec<String>,
    },
    /// Time passes which a timer of the kernel measures, too.
    Wait {
        /// How long.
        milliseconds: u64,
    },
    /// The kernel's table of sockets is read.
    ReadSockets {
        /// How many listeners it has at the lab's port, in the family of the case.
        listeners: usize,
    },
    /// Counters of the namespace are read.
    ReadCounters {
        /// By how much those have grown that have since they were read last.
        grown: BTreeMap<String, i64>,
    },
    /// A listener's accept queue is read.
    ReadQueue {
        /// Whose.
        listener: String,
        /// How many children wait.
        waiting: u32,
        /// For how many there is room.
        backlog: u32,
    },
    /// A thread begins to sleep in a call that ends when a listener has a child, or `epoll`
    /// begins to watch the listener.
    BeginWaiting {
        /// The listener.
        listener: String,
    },
    /// It is looked whether who waits for a listener was woken.
    ReadWaiter {
        /// The listener.
        listener: String,
        /// Whether.
        woken: bool,
    },
    /// The kernel's memory is read.
    ReadMemory {
        /// By what.
        by: MemoryWitness,
    },
    /// From now on the kernel gets no memory of a cache, or gets it again.
    RefuseMemory {
        /// The cache, by the kernel's name.
        cache: String,
        /// Whether it is refused.
        refused: bool,
    },
    /// Something is done so often that only this is recorded of it.
    Unrecorded {
        /// What, in words.
        what: String,
    },
    /// Not done to the kernel: the lab begins a part of the case.
    Begin(Part),
    /// An act of a document whose version has only words.
    Words(String),
    /// An act of a later version.
    #[serde(skip)]
    Later {
        /// The words that it has there.
        words: String,
        /// Everything else that the document says of it.
        fields: Fields,
    },
}

/// As a trace shows it between two dashes.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { name, value } => write!(f, "{name} = {value}"),
            Self::LimitSubflows { subflows } => {
                write!(f, "connections may have {subflows} further subflows")
            }
            Self::OpenMultipath { socket } => write!(f, "{socket} = socket(IPPROTO_MPTCP)"),
            Self::OpenAs { listener, uid } => write!(f, "{listener} = socket(), by user {uid}"),
            Self::Bind { socket, to } => write!(f, "bind({socket}, {to})"),
            Self::Listen { listener, .. } => write!(f, "listen({listener})"),
            Self::SetOption { socket, option, value } => {
                write!(f, "setsockopt({socket}, {option}, {value})")
            }
            Self::Shutdown { socket, how } => write!(f, "shutdown({socket}, {how})"),
            Self::Disconnect { socket } => write!(f, "connect({socket}, AF_UNSPEC)"),
            Self::Duplicate { listener } => write!(f, "dup({listener})"),
            Self::Close { socket, by, .. } => f.write_str(&by.on(socket)),
            Self::GiveTo { listener, uid } => write!(f, "fchown({listener}, {uid})"),
            Self::Connect { client } => write!(f, "connect({client})"),
            Self::Send { socket, bytes: 1, .. } => write!(f, "send({socket}, 1 byte)"),
            Self::Send { socket, bytes, .. } => write!(f, "send({socket}, {bytes} bytes)"),
            Self::Receive { socket, got } => write!(f, "recv({socket}): {got}"),
            Self::Accept { listener, got } => write!(f, "accept({listener}): {got}"),
            Self::SendSegment { client, segment } => write!(f, "{client} sends {segment}"),
            Self::Destroy(what) => write!(f, "SOCK_DESTROY({what})"),
            Self::SelectIndex { listener, index } => {
                write!(f, "the program of {listener}'s group returns {index}")
            }
            Self::SelectByHash { listener } => write!(f, "{listener}'s group has no program"),
            Self::Attach { listener, program, .. } => {
                write!(f, "{listener}'s group runs: {program}")
            }
            Self::SetEntry { index, listener, .. } => write!(f, "map[{index}] = {listener}"),
            Self::ClearEntry { index, .. } => write!(f, "map[{index}] is empty"),
            Self::CloseGate(kind) => write!(f, "gate closed ({kind})"),
            Self::OpenGate => f.write_str("gate opens"),
            Self::StartProcess { process, holds } => match holds.is_empty() {
                true => write!(f, "fork({process})"),
                false => write!(f, "fork({process}), with {}", holds.join(", ")),
            },
            Self::Exec { process } => write!(f, "execve({process})"),
            Self::Stop { process } => write!(f, "kill({process}, SIGSTOP)"),
            Self::Continue { process } => write!(f, "kill({process}, SIGCONT)"),
            Self::Kill { process, .. } => write!(f, "kill({process}, SIGKILL)"),
            Self::EndProcess { process, .. } => write!(f, "{process} ends"),
            Self::Serve { process } => write!(f, "{process} serves"),
            Self::SendDescriptors { listeners, to } => match &listeners[..] {
                [] => write!(f, "sendmsg({to})"),
                [first, ..] if listeners.len() > 3 => {
                    let count = listeners.len();
                    write!(f, "sendmsg({to}, SCM_RIGHTS, {count} descriptors of {first})")
                }
                few => write!(f, "sendmsg({to}, SCM_RIGHTS, {})", few.join(", ")),
            },
            Self::ReceiveDescriptors { .. } => f.write_str("recvmsg"),
            Self::CloseUnixSockets { .. } => f.write_str("close(the UNIX sockets)"),
            Self::BeginCall { listener } => write!(f, "a thread sleeps in accept({listener})"),
            Self::EndCall { .. } => f.write_str("the thread's call returns"),
            Self::Wait { milliseconds } => write!(f, "{milliseconds} ms pass"),
            Self::ReadSockets { listeners: 1 } => f.write_str("sockets are read: 1 listener"),
            Self::ReadSockets { listeners } => {
                write!(f, "sockets are read: {listeners} listeners")
            }
            Self::ReadCounters { grown } if grown.is_empty() => {
                f.write_str("counters are read: none has grown")
            }
            Self::ReadCounters { grown } => {
                let grown = grown.iter().map(|(name, by)| format!("{name} {by:+}"));
                write!(f, "counters are read: {}", grown.collect::<Vec<_>>().join(", "))
            }
            Self::ReadQueue { listener, waiting, backlog } => {
                write!(f, "{listener}'s accept queue is read: {waiting} of {backlog}")
            }
            Self::BeginWaiting { listener } => write!(f, "somebody waits for {listener}"),
            Self::ReadWaiter { listener, woken: true } => {
                write!(f, "who waits for {listener} is woken")
            }
            Self::ReadWaiter { listener, woken: false } => {
                write!(f, "who waits for {listener} is not woken")
            }
            Self::ReadMemory { by } => write!(f, "the kernel's memory is read, by {by}"),
            Self::RefuseMemory { cache, refused: true } => {
                write!(f, "the kernel is refused memory of {cache}")
            }
            Self::RefuseMemory { cache, refused: false } => {
                write!(f, "the kernel gets memory of {cache} again")
            }
            Self::Unrecorded { what } => write!(f, "{what}, without a record"),
            Self::Begin(part) => write!(f, "{part}"),
            Self::Words(words) => f.write_str(words),
            Self::Later { words, .. } => f.write_str(&of_later_version(words)),
        }
    }
}

impl Act {
    /// Whether a wait for what follows an act looks only at what comes after this one.
    ///
    /// Acts that are shown by what they send are not: the case that sends waits for what it
    /// has sent.
    pub fn begins_a_wait(&self) -> bool {
        match self {
            Self::Sysctl { .. }
            | Self::LimitSubflows { .. }
            | Self::Listen { .. }
            | Self::Shutdown { .. }
            | Self::Disconnect { .. }
            | Self::Accept { .. }
            | Self::Destroy(_)
            | Self::SelectIndex { .. }
            | Self::SelectByHash { .. }
            | Self::Attach { .. }
            | Self::SetEntry { .. }
            | Self::ClearEntry { .. }
            | Self::CloseGate(_)
            | Self::OpenGate
            | Self::StartProcess { .. }
            | Self::Exec { .. }
            | Self::Stop { .. }
            | Self::Continue { .. }
            | Self::Kill { .. }
            | Self::EndProcess { .. }
            | Self::Serve { .. }
            | Self::SendDescriptors { .. }
            | Self::ReceiveDescriptors { .. }
            | Self::CloseUnixSockets { .. }
            | Self::BeginCall { .. }
            | Self::EndCall { .. }
            | Self::Wait { .. }
            | Self::ReadMemory { .. }
            | Self::RefuseMemory { .. }
            | Self::Unrecorded { .. }
            | Self::Begin(_)
            | Self::Words(_)
            | Self::Later { .. } => true,
            Self::Close { at_scope_end, .. } => !at_scope_end,
            Self::OpenMultipath { .. }
            | Self::OpenAs { .. }
            | Self::Bind { .. }
            | Self::SetOption { .. }
            | Self::Duplicate { .. }
            | Self::GiveTo { .. }
            | Self::Connect { .. }
            | Self::Send { .. }
            | Self::ReadCounters { .. }
            | Self::ReadQueue { .. }
            | Self::BeginWaiting { .. }
            | Self::ReadWaiter { .. }
            | Self::ReadSockets { .. }
            | Self::Receive { .. }
            | Self::SendSegment { .. } => false,
        }
    }
}
