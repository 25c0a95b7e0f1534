//! What an act of a lab is to the model.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use harness::net::segment::MULTIPATH;
use harness::net::sysctl::{MIGRATE_REQ, SYNCOOKIES};
use harness::trace::{
    self, Accepted, Act, Actor, Destroyed, Direction, GateKind, GroupProgram, Notation,
};

use crate::model::{Migrating, Program, ProgramCondition, ProgramStep};
use crate::recorded::left_out::LeftOut;
use crate::step::Setting;

/// What is done, or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed<'a> {
    /// Nothing that the model would notice.
    Nothing,
    /// A setting changes.
    Set(Setting),
    /// Servers take Fast Open without cookies from now on, or not.
    SetFastOpen(bool),
    /// A listener's option changes.
    SetOption(&'a str, ListenerOption),
    /// A listener is bound.
    Bind(&'a str, SocketAddr),
    /// A listener listens.
    Listen(&'a str, u32),
    /// `shutdown` of a listener.
    Shutdown(&'a str, Direction),
    /// Listeners are open nowhere any more.
    Close(Vec<&'a str>),
    /// One of several descriptors of a listener is closed.
    CloseOne(&'a str),
    /// Listeners have another descriptor, or somebody else has them open, too.
    Hold(Vec<&'a str>),
    /// A listener stops listening, and stays open.
    StopListening(&'a str),
    /// A classic program chooses.
    SelectIndex(&'a str, u32),
    /// The hash chooses.
    SelectByHash(&'a str),
    /// A program in eBPF chooses.
    Attach(&'a str, Program),
    /// An entry of an array of listeners is set, or removed.
    SetEntry((u32, u32), Option<&'a str>),
    /// A client that is a socket connects.
    Connect(&'a str),
    /// A client that is none sends a segment.
    Segment(&'a str, Notation),
    /// A listener accepts.
    Accept(&'a str, &'a Accepted),
    /// The child of a client receives.
    Receive(&'a str, &'a str),
    /// The child of a client is to be reset when it is closed.
    ResetWhenClosed(&'a str),
    /// The child of a client is closed.
    CloseChild(&'a str),
    /// The child of a client is reset by who accepted it.
    ResetChild(&'a str),
    /// The child of a client is destroyed.
    DestroyChild(&'a str),
    /// The request of a client is destroyed.
    DestroyRequest(&'a str),
    /// Final ACKs, and what follows them, are dropped from now on.
    CloseGate,
    /// They are not.
    OpenGate,
    /// Counters are read.
    ReadCounters(&'a BTreeMap<String, i64>),
    /// The length of an accept queue is read, and its backlog.
    ReadQueue(&'a str, u32, u32),
    /// The number of listeners is read.
    ReadListeners(usize),
    /// Somebody begins to wait for a listener.
    BeginWaiting(&'a str),
    /// It is read whether who waits for a listener was woken.
    ReadWaiter(&'a str, bool),
}

/// An option of a listener that the model knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerOption {
    /// `SO_REUSEPORT`.
    ReusePort(bool),
    /// `IPV6_V6ONLY`.
    V6Only(bool),
    /// `TCP_DEFER_ACCEPT`, as a number of timeouts.
    DeferAccept(u8),
    /// `TCP_FASTOPEN`.
    FastOpen(u32),
}

/// The option of TCP that carries timestamps.
const TIMESTAMPS: u8 = 8;

/// The options of TCP that sign segments (RFC 2385, RFC 5925).
const MD5_SIGNATURE: u8 = 19;
const AO_SIGNATURE: u8 = 29;

/// The bits of `net.ipv4.tcp_fastopen`: servers take it, and ask for no cookie.
const FAST_OPEN_WITHOUT_COOKIE: u32 = 0x202;

/// What an act means, which the kernel did not refuse.
pub fn deed(act: &Act) -> Result<Deed<'_>, LeftOut> {
    Ok(match act {
        Act::Sysctl { name, value } => return sysctl(name, value),
        Act::SetOption { socket: Actor::Listener(name), option, value } => {
            return listener_option(name, option, value);
        }
        Act::SetOption { socket: Actor::Child(client), option, value } => {
            match (option.as_str(), value.as_str()) {
                ("SO_LINGER", "0 s") => Deed::ResetWhenClosed(client),
                _ => Deed::Nothing,
            }
        }
        Act::Bind { socket: Actor::Listener(name), to } => Deed::Bind(name, *to),
        Act::Listen { listener, backlog } => {
            Deed::Listen(listener, u32::try_from(*backlog).unwrap_or(0))
        }
        Act::Shutdown { socket: Actor::Listener(name), how } => Deed::Shutdown(name, *how),
        Act::Close { socket: Actor::Listener(name), last: true, .. } => Deed::Close(vec![name]),
        Act::Close { socket: Actor::Listener(name), last: false, .. } => Deed::CloseOne(name),
        Act::Duplicate { listener } | Act::BeginCall { listener } => Deed::Hold(vec![listener]),
        Act::StartProcess { holds, .. } => Deed::Hold(holds.iter().map(String::as_str).collect()),
        Act::SendDescriptors { listeners, .. } => {
            Deed::Hold(listeners.iter().map(String::as_str).collect())
        }
        Act::Close { socket: Actor::Child(client), .. } => Deed::CloseChild(client),
        Act::Disconnect { socket: Actor::Listener(name) }
        | Act::Destroy(Destroyed::Listener(name)) => Deed::StopListening(name),
        Act::Disconnect { socket: Actor::Child(client) } => Deed::ResetChild(client),
        Act::Destroy(Destroyed::Child(client)) => Deed::DestroyChild(client),
        Act::Destroy(Destroyed::Request(client)) => Deed::DestroyRequest(client),
        Act::Kill { closes, .. }
        | Act::EndProcess { closes, .. }
        | Act::ReceiveDescriptors { closes, .. }
        | Act::CloseUnixSockets { closes }
        | Act::EndCall { closes } => Deed::Close(closes.iter().map(String::as_str).collect()),
        Act::Connect { client } => Deed::Connect(client),
        Act::SendSegment { segment, .. } if segment.has_option(MULTIPATH) => {
            return Err(LeftOut::Multipath);
        }
        Act::SendSegment { segment, .. }
            if segment.has_option(MD5_SIGNATURE) || segment.has_option(AO_SIGNATURE) =>
        {
            return Err(LeftOut::Signed);
        }
        Act::SendSegment { segment, .. } if segment.has_option(TIMESTAMPS) => {
            return Err(LeftOut::Timestamps);
        }
        Act::SendSegment { client, segment } => Deed::Segment(client, Notation::of_draft(segment)),
        Act::Accept { listener, got } => Deed::Accept(listener, got),
        Act::Receive { socket: Actor::Child(client), got } => Deed::Receive(client, got),
        Act::SelectIndex { listener, index } => Deed::SelectIndex(listener, *index),
        Act::SelectByHash { listener } => Deed::SelectByHash(listener),
        Act::CloseGate(GateKind::Nftables) => Deed::CloseGate,
        Act::CloseGate(GateKind::Filter) => return Err(LeftOut::Filter),
        Act::OpenGate => Deed::OpenGate,
        Act::ReadCounters { grown } => Deed::ReadCounters(grown),
        Act::ReadQueue { listener, waiting, backlog } => {
            Deed::ReadQueue(listener, *waiting, *backlog)
        }
        Act::ReadSockets { listeners } => Deed::ReadListeners(*listeners),
        Act::BeginWaiting { listener } => Deed::BeginWaiting(listener),
        Act::ReadWaiter { listener, woken } => Deed::ReadWaiter(listener, *woken),
        Act::LimitSubflows { .. } | Act::OpenMultipath { .. } => return Err(LeftOut::Multipath),
        Act::Attach { listener, decides: Some(program), .. } => {
            let program = program_of(program).ok_or(LeftOut::Program)?;
            Deed::Attach(listener, program)
        }
        Act::SetEntry { array, index, listener } => {
            Deed::SetEntry((*array, *index), Some(listener))
        }
        Act::ClearEntry { array, index } => Deed::SetEntry((*array, *index), None),
        Act::GiveTo { .. } | Act::OpenAs { .. } => return Err(LeftOut::SeveralAddresses),
        Act::Serve { .. } => return Err(LeftOut::OtherProcess),
        Act::Unrecorded { .. } => return Err(LeftOut::Unrecorded),
        Act::RefuseMemory { .. } => return Err(LeftOut::RefusedMemory),
        Act::Attach { decides: None, .. } | Act::Words(_) | Act::Later { .. } => {
            return Err(LeftOut::OtherVersion);
        }
        Act::SetOption { socket: Actor::Datagram(_), .. }
        | Act::Bind { socket: Actor::Datagram(_), .. }
        | Act::Shutdown { socket: Actor::Datagram(_), .. }
        | Act::Close { socket: Actor::Datagram(_), .. } => return Err(LeftOut::Datagram),
        Act::Begin(_)
        | Act::Bind { socket: Actor::Client(_) | Actor::Child(_), .. }
        | Act::Close { .. }
        | Act::Continue { .. }
        | Act::Disconnect { .. }
        | Act::Exec { .. }
        | Act::ReadMemory { .. }
        | Act::Receive { .. }
        | Act::Send { .. }
        | Act::SetOption { .. }
        | Act::Shutdown { .. }
        | Act::Stop { .. }
        | Act::Wait { .. } => Deed::Nothing,
    })
}

/// A program, as the model has them. Nothing if it decides by something that no record has.
fn program_of(program: &GroupProgram) -> Option<Program> {
    let steps = steps_of(&program.steps)?;
    Some(Program::Steps { migrates: program.migrates, steps })
}

fn steps_of(steps: &[trace::ProgramStep]) -> Option<Vec<ProgramStep>> {
    let decides = |step: &&trace::ProgramStep| !matches!(step, trace::ProgramStep::Other);
    steps.iter().filter(decides).map(step_of).collect()
}

fn step_of(step: &trace::ProgramStep) -> Option<ProgramStep> {
    Some(match step {
        trace::ProgramStep::When(condition, then) => {
            let condition = match condition {
                trace::ProgramCondition::Migrating => ProgramCondition::Migrating,
                trace::ProgramCondition::New => ProgramCondition::New,
                trace::ProgramCondition::NoPacket => ProgramCondition::NoPacket,
                trace::ProgramCondition::MigratingIn(state) => {
                    ProgramCondition::MigratingIs(match state.as_str() {
                        "NEW_SYN_RECV" => Migrating::Request,
                        "ESTABLISHED" => Migrating::Child,
                        "SYN_RECV" => Migrating::FastOpenChild,
                        _ => return None,
                    })
                }
                trace::ProgramCondition::Selected { array, index } => {
                    ProgramCondition::Selected { array: *array, index: *index }
                }
                trace::ProgramCondition::Other => return None,
            };
            ProgramStep::When(condition, steps_of(then)?)
        }
        // SK_PASS, and anything else.
        trace::ProgramStep::End(1) => ProgramStep::Pass,
        trace::ProgramStep::End(_) | trace::ProgramStep::Other => ProgramStep::Drop,
    })
}

/// A number as the kernel reads it from a sysctl's file.
fn number(value: &str) -> Option<u32> {
    let value = value.trim();
    match value.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    }
}

fn sysctl(name: &str, value: &str) -> Result<Deed<'static>, LeftOut> {
    let number = number(value).unwrap_or(0);
    Ok(match name {
        MIGRATE_REQ => Deed::Set(Setting::MigrateReq(number != 0)),
        "net.ipv4.tcp_abort_on_overflow" => Deed::Set(Setting::AbortOnOverflow(number != 0)),
        "net.ipv4.tcp_synack_retries" => {
            Deed::Set(Setting::SynAckRetries(u8::try_from(number).unwrap_or(u8::MAX)))
        }
        "net.ipv4.tcp_fastopen" => {
            let all = number & FAST_OPEN_WITHOUT_COOKIE == FAST_OPEN_WITHOUT_COOKIE;
            Deed::SetFastOpen(all)
        }
        "net.ipv4.tcp_invalid_ratelimit" => return Err(LeftOut::RateLimit),
        SYNCOOKIES if number != 0 => return Err(LeftOut::Cookies),
        _ => Deed::Nothing,
    })
}

fn listener_option<'a>(name: &'a str, option: &str, value: &str) -> Result<Deed<'a>, LeftOut> {
    let number = value.parse::<u32>().unwrap_or(0);
    Ok(match option {
        "SO_REUSEPORT" => Deed::SetOption(name, ListenerOption::ReusePort(number != 0)),
        "TCP_DEFER_ACCEPT" => {
            Deed::SetOption(name, ListenerOption::DeferAccept(seconds_to_timeouts(number)))
        }
        "TCP_FASTOPEN" => Deed::SetOption(name, ListenerOption::FastOpen(number)),
        "IPV6_V6ONLY" => Deed::SetOption(name, ListenerOption::V6Only(number != 0)),
        "SO_ATTACH_FILTER" => return Err(LeftOut::Filter),
        "SO_INCOMING_CPU" => return Err(LeftOut::IncomingCpu),
        "SO_BINDTODEVICE" => return Err(LeftOut::SeveralAddresses),
        "TCP_MD5SIG" => return Err(LeftOut::Signed),
        "TCP_SYNCNT" => return Err(LeftOut::OwnRetries),
        _ if option.starts_with("TCP_AO_") => return Err(LeftOut::Signed),
        _ => Deed::Nothing,
    })
}

/// `secs_to_retrans()`, with TCP_TIMEOUT_INIT and TCP_RTO_MAX.
fn seconds_to_timeouts(seconds: u32) -> u8 {
    const LONGEST: u32 = 120;
    if seconds == 0 {
        return 0;
    }
    let (mut timeouts, mut timeout, mut period) = (1, 1_u32, 1_u32);
    while seconds > period && timeouts < u8::MAX {
        timeouts += 1;
        timeout = (timeout * 2).min(LONGEST);
        period += timeout;
    }
    timeouts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_to_timeouts_that_double() {
        let timeouts = [0, 1, 2, 3, 4, 7, 8].map(seconds_to_timeouts);
        assert_eq!(timeouts, [0, 1, 2, 2, 3, 3, 4]);
    }
}
