//! What an act means for a ladder.

use harness::net::sysctl::{MIGRATE_REQ, SYNCOOKIES};
use harness::trace::{Accepted, Act, Actor, Destroyed};

/// What an act means for who has which connection, and who listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<'a> {
    /// Migration by the setting is on from now on, or off.
    Migration(bool),
    /// Every SYN is answered with a cookie from now on, or not.
    Cookies(bool),
    /// A group has a program, which may migrate what the setting would not.
    Program,
    /// The gate is closed from now on, or open.
    Gate {
        /// Which of the two.
        closed: bool,
    },
    /// A listener listens.
    Begins(&'a str),
    /// Listeners listen no more.
    Ends(Vec<&'a str>),
    /// A client that is a socket of the kernel, which has timers, connects.
    Connects(&'a str),
    /// A listener accepts a client's connection.
    Accepts {
        /// The listener.
        listener: &'a str,
        /// The client.
        client: &'a str,
    },
    /// The child of this client is destroyed. Its queue keeps it.
    DestroysChild(&'a str),
    /// Nobody knows: a document of another version has only words for it, and it may have ended
    /// any listener.
    Unknown,
    /// Nothing.
    None,
}

impl<'a> Effect<'a> {
    /// What an act that the kernel did not refuse means.
    pub fn of(act: &'a Act) -> Self {
        match act {
            Act::Sysctl { name, value } if name == MIGRATE_REQ => Self::Migration(value == "1"),
            Act::Sysctl { name, value } if name == SYNCOOKIES => Self::Cookies(value == "2"),
            Act::Attach { .. } => Self::Program,
            Act::CloseGate(_) => Self::Gate { closed: true },
            Act::OpenGate => Self::Gate { closed: false },
            Act::Listen { listener, .. } => Self::Begins(listener),
            Act::Close { socket: Actor::Listener(name), last: true, .. }
            | Act::Disconnect { socket: Actor::Listener(name) }
            | Act::Destroy(Destroyed::Listener(name)) => Self::Ends(vec![name]),
            Act::Shutdown { socket: Actor::Listener(name), how } if how.ends_listening() => {
                Self::Ends(vec![name])
            }
            Act::Kill { closes, .. }
            | Act::EndProcess { closes, .. }
            | Act::ReceiveDescriptors { closes, .. }
            | Act::CloseUnixSockets { closes }
            | Act::EndCall { closes } => Self::Ends(closes.iter().map(String::as_str).collect()),
            Act::Accept { listener, got: Accepted::Connection(client) } => {
                Self::Accepts { listener, client }
            }
            Act::Connect { client } => Self::Connects(client),
            Act::Destroy(Destroyed::Child(client)) => Self::DestroysChild(client),
            Act::Accept { got: Accepted::Nothing, .. }
            | Act::LimitSubflows { .. }
            | Act::BeginCall { .. }
            | Act::Bind { .. }
            | Act::Begin(_)
            | Act::ClearEntry { .. }
            | Act::Close { .. }
            | Act::Continue { .. }
            | Act::Destroy(Destroyed::Request(_))
            | Act::Disconnect { .. }
            | Act::Duplicate { .. }
            | Act::Exec { .. }
            | Act::GiveTo { .. }
            | Act::BeginWaiting { .. }
            | Act::ReadCounters { .. }
            | Act::OpenAs { .. }
            | Act::OpenMultipath { .. }
            | Act::ReadMemory { .. }
            | Act::ReadQueue { .. }
            | Act::ReadWaiter { .. }
            | Act::ReadSockets { .. }
            | Act::Receive { .. }
            | Act::RefuseMemory { .. }
            | Act::SelectByHash { .. }
            | Act::SelectIndex { .. }
            | Act::Send { .. }
            | Act::SendDescriptors { .. }
            | Act::SendSegment { .. }
            | Act::Serve { .. }
            | Act::SetEntry { .. }
            | Act::SetOption { .. }
            | Act::Shutdown { .. }
            | Act::StartProcess { .. }
            | Act::Stop { .. }
            | Act::Sysctl { .. }
            | Act::Unrecorded { .. }
            | Act::Wait { .. } => Self::None,
            Act::Words(_) | Act::Later { .. } => Self::Unknown,
        }
    }
}
