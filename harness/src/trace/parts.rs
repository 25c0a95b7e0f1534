//! What acts are about: sockets by the part that they play, and what comes of a call.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A socket, by the part that it plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// A listener, or a socket that is to become one.
    Listener(String),
    /// A client.
    Client(String),
    /// The server's end of a client's connection, by the client's name.
    Child(String),
    /// A UDP socket.
    Datagram(String),
}

impl Actor {
    /// The listener's name, if it is one.
    pub fn listener(&self) -> Option<&str> {
        match self {
            Self::Listener(name) => Some(name),
            Self::Client(_) | Self::Child(_) | Self::Datagram(_) => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) | Self::Client(name) | Self::Datagram(name) => f.write_str(name),
            Self::Child(client) => write!(f, "{client}'s child"),
        }
    }
}

/// What `shutdown` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// `SHUT_RD`.
    Read,
    /// `SHUT_WR`.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

impl Direction {
    /// Whether a listener stops listening by it: only `RCV_SHUTDOWN` matters to one
    /// (`inet_shutdown()`).
    pub fn ends_listening(self) -> bool {
        match self {
            Self::Read | Self::Both => true,
            Self::Write => false,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "SHUT_RD",
            Self::Write => "SHUT_WR",
            Self::Both => "SHUT_RDWR",
        })
    }
}

/// The call by which a descriptor is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloseCall {
    /// `close`.
    #[default]
    Close,
    /// `dup2` of another descriptor over it.
    Dup2,
    /// `dup3` of another descriptor over it.
    Dup3,
    /// `close_range` of it alone (Linux 5.9).
    CloseRange,
    /// `IORING_OP_CLOSE`, through io_uring (Linux 5.6).
    IoUring,
}

impl CloseCall {
    /// The call on a socket, as traces show it.
    pub(super) fn on(self, socket: &Actor) -> String {
        match self {
            Self::Close => format!("close({socket})"),
            Self::Dup2 => format!("dup2(other, {socket})"),
            Self::Dup3 => format!("dup3(other, {socket})"),
            Self::CloseRange => format!("close_range({socket}, {socket})"),
            Self::IoUring => format!("IORING_OP_CLOSE({socket})"),
        }
    }
}

/// What `accept` returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Accepted {
    /// The connection of this client.
    Connection(String),
    /// Nothing: EAGAIN.
    Nothing,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(client) => write!(f, "{client}'s connection"),
            Self::Nothing => f.write_str("EAGAIN"),
        }
    }
}

/// What netlink destroys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Destroyed {
    /// A listener.
    Listener(String),
    /// The child of this client.
    Child(String),
    /// The request of this client.
    Request(String),
}

impl fmt::Display for Destroyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => f.write_str(name),
            Self::Child(client) => write!(f, "{client}'s child"),
            Self::Request(client) => write!(f, "{client}'s request"),
        }
    }
}

/// How a gate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateKind {
    /// A rule of nftables.
    Nftables,
    /// A classic BPF program on the listener (`SO_ATTACH_FILTER`).
    Filter,
}

impl fmt::Display for GateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nftables => "nftables",
            Self::Filter => "a filter on the listener",
        })
    }
}

/// By what the kernel's memory is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryWitness {
    /// Objects of each slab (`/sys/kernel/slab`).
    Slabs,
    /// Bytes (`SUnreclaim` of `/proc/meminfo`).
    Bytes,
}

impl fmt::Display for MemoryWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slabs => "/sys/kernel/slab",
            Self::Bytes => "SUnreclaim",
        })
    }
}

/// A part of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What the case is about is over: what follows takes it down.
    TakingDown,
    /// Whether a listener is unaffected is tried, with a client that comes now.
    FreshClient,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TakingDown => "done",
            Self::FreshClient => "a fresh client comes",
        })
    }
}
