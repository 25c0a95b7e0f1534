//! An act as a call of the program.

use std::fmt::Write;

use harness::lab::WATCHED;
use harness::net::draft::Draft;
use harness::net::segment::MULTIPATH;
use harness::trace::{
    Accepted, Act, Actor, CloseCall, Destroyed, Direction, GateKind, Line, Notation,
    ProgramCondition, ProgramStep,
};

use crate::case_script::names::Names;
use crate::case_script::unprintable::Unprintable;

/// A call and what must be seen of it.
pub struct Call {
    /// The act, as the program shows it.
    pub what: String,
    /// The expression that does it.
    pub does: String,
    /// What its value must be, as an expression.
    pub sees: String,
}

/// The options of TCP that sign segments (RFC 2385, RFC 5925).
const SIGNATURES: [u8; 2] = [19, 29];

/// The option of TCP that carries timestamps.
const TIMESTAMPS: u8 = 8;

/// The window of segments that say nothing else.
const WINDOW: u16 = 65535;

/// The time to live of segments that say nothing else.
const HOPS: u8 = 64;

/// The call of an act, before which nothing else is done, and after which `following` was
/// captured. Nothing if there is nothing to do.
pub fn call(
    act: &Act,
    following: &[&Line],
    names: &mut Names,
) -> Result<Option<Call>, Unprintable> {
    let ok = || "\"ok\"".to_owned();
    let (what, does, sees) = match act {
        Act::Sysctl { name, value } => {
            (format!("{name} = {value}"), format!("sysctl({name:?}, {value:?})"), ok())
        }
        Act::OpenMultipath { socket } => {
            let name = end(socket, names)?;
            let does = format!("new_server({name:?}, protocol=IPPROTO_MPTCP)");
            (format!("{name} = socket(IPPROTO_MPTCP)"), does, ok())
        }
        Act::OpenAs { listener, uid } => {
            let name = names.server(listener);
            let does = format!("new_server({name:?}, uid={uid})");
            (format!("{name} = socket(), by user {uid}"), does, ok())
        }
        Act::GiveTo { listener, uid } => {
            let name = names.server(listener);
            let does = format!("server({name:?}).give_to({uid})");
            (format!("fchown({name}, {uid})"), does, ok())
        }
        Act::Bind { socket, to } => {
            let name = end(socket, names)?;
            let of = match socket {
                Actor::Client(_) => format!("new_client({name:?})"),
                _ => object(socket, names)?,
            };
            let (address, port) = (to.ip().to_string(), to.port());
            (format!("bind({name}, {to})"), format!("{of}.bind({address:?}, {port})"), ok())
        }
        Act::Listen { listener, backlog } => {
            let name = names.server(listener);
            let does = format!("server({name:?}).listen({backlog})");
            (format!("listen({name}, {backlog})"), does, ok())
        }
        // What the listener's filter does: the same that holds ACKs.
        Act::SetOption { socket: Actor::Listener(listener), option, .. }
            if option == "SO_ATTACH_FILTER" =>
        {
            let name = names.server(listener);
            (format!("{name} drops final ACKs"), format!("hold_acks(server({name:?}))"), ok())
        }
        Act::SetOption { socket, option, value } => {
            let (name, of) = (end(socket, names)?, object(socket, names)?);
            let does = format!("{of}.option({option:?}, {})", option_value(option, value)?);
            (format!("setsockopt({name}, {option}, {value})"), does, ok())
        }
        Act::Shutdown { socket, how } => {
            let (name, of) = (end(socket, names)?, object(socket, names)?);
            let how = match how {
                Direction::Read => "SHUT_RD",
                Direction::Write => "SHUT_WR",
                Direction::Both => "SHUT_RDWR",
            };
            (format!("shutdown({name}, {how})"), format!("{of}.shutdown(socket.{how})"), ok())
        }
        Act::Disconnect { socket } => {
            let (name, of) = (end(socket, names)?, object(socket, names)?);
            (format!("connect({name}, AF_UNSPEC)"), format!("{of}.disconnect()"), ok())
        }
        Act::Duplicate { listener } => {
            let name = names.server(listener);
            (format!("dup({name})"), format!("server({name:?}).duplicate()"), ok())
        }
        Act::Close { socket, by, .. } => return close(socket, *by, names).map(Some),
        Act::Connect { client } => {
            let name = names.client(client)?;
            let answered = |flags: &str| {
                following.iter().any(|line| {
                    line.ends().is_some_and(|(_, to)| to == client)
                        && Notation::of(&line.what)
                            .is_some_and(|segment| segment.flags.to_string() == flags)
                })
            };
            let sees = if answered("R.") { "\"ECONNREFUSED\"".to_owned() } else { ok() };
            let waits = if answered("S.") || answered("R.") { "True" } else { "False" };
            (format!("connect({name})"), format!("new_client({name:?}).connect({waits})"), sees)
        }
        Act::Send { socket, bytes, data } => {
            let (name, of) = (end(socket, names)?, object(socket, names)?);
            let data = match data.is_empty() {
                true => format!("b\"x\" * {bytes}"),
                false => format!("b\"{data}\""),
            };
            (format!("send({name}, {bytes} bytes)"), format!("{of}.send({data})"), ok())
        }
        Act::Receive { socket, got } => {
            let (name, of) = (end(socket, names)?, object(socket, names)?);
            let waits = if got == "EAGAIN" { "False" } else { "True" };
            // Data is shown between quotes of its own kind.
            let data = got.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            let sees = data.map_or_else(|| format!("{got:?}"), |data| format!("repr(b\"{data}\")"));
            (format!("recv({name})"), format!("{of}.receive({waits})"), sees)
        }
        Act::Accept { listener, got } => {
            let name = names.server(listener);
            let (waits, sees) = match got {
                Accepted::Connection(client) => {
                    ("True", format!("\"{}'s connection\"", names.client(client)?))
                }
                Accepted::Nothing => ("False", "\"EAGAIN\"".to_owned()),
            };
            (format!("accept({name})"), format!("server({name:?}).accept({waits})"), sees)
        }
        Act::SendSegment { client, segment } => {
            let name = names.client(client)?;
            let does = format!("built_client({name:?}).send({})", arguments(segment)?);
            (format!("{name} sends {segment}"), does, ok())
        }
        Act::Destroy(Destroyed::Listener(listener)) => {
            let name = names.server(listener);
            let does = format!("destroy_server(server({name:?}))");
            (format!("SOCK_DESTROY({name})"), does, ok())
        }
        Act::Destroy(Destroyed::Child(client) | Destroyed::Request(client)) => {
            let name = names.client(client)?;
            let does = format!("destroy_peer_of({name:?})");
            (format!("SOCK_DESTROY(the server's end of {name})"), does, ok())
        }
        Act::SelectIndex { listener, index } => {
            let name = names.server(listener);
            let what = format!("the program of {name}'s group returns {index}");
            (what, format!("select_index(server({name:?}), {index})"), ok())
        }
        Act::SelectByHash { listener } => {
            let name = names.server(listener);
            let what = format!("{name}'s group has no program");
            (what, format!("select_by_hash(server({name:?}))"), ok())
        }
        Act::Attach { listener, program, decides: Some(decides) } => {
            if reads_filled_map(&decides.steps) {
                return Err(Unprintable::FilledMap);
            }
            let name = names.server(listener);
            let (instructions, attach_type) = (&decides.instructions, decides.attach_type);
            let does = format!("attach(server({name:?}), {instructions:?}, {attach_type})");
            (format!("{name}'s group runs: {program}"), does, ok())
        }
        Act::SetEntry { array, index, listener } => {
            names.add_map(*array);
            let name = names.server(listener);
            let does = format!("set_entry({array}, {index}, server({name:?}))");
            (format!("map[{index}] = {name}"), does, ok())
        }
        Act::ClearEntry { array, index } => {
            names.add_map(*array);
            (format!("map[{index}] is empty"), format!("set_entry({array}, {index})"), ok())
        }
        Act::CloseGate(GateKind::Nftables) => {
            ("ACKs to listeners are dropped".to_owned(), "close_gate()".to_owned(), ok())
        }
        Act::OpenGate => {
            ("ACKs are not dropped any more".to_owned(), "open_gate()".to_owned(), ok())
        }
        Act::StartProcess { process, holds } => {
            let held: Vec<String> =
                holds.iter().map(|name| format!("server({:?})", names.server(name))).collect();
            let does = format!("start_process({process:?}, [{}])", held.join(", "));
            (format!("fork({process})"), does, ok())
        }
        Act::Kill { process, .. } => {
            (format!("kill({process}, SIGKILL)"), format!("end_process({process:?})"), ok())
        }
        Act::EndProcess { process, .. } => {
            let does = format!("end_process({process:?}, signal.SIGTERM)");
            (format!("{process} ends"), does, ok())
        }
        Act::Stop { process } | Act::Continue { process } => {
            let signal = if matches!(act, Act::Stop { .. }) { "SIGSTOP" } else { "SIGCONT" };
            let does = format!("attempt(os.kill, processes[{process:?}], signal.{signal})");
            (format!("kill({process}, {signal})"), does, ok())
        }
        Act::ReadCounters { grown } => {
            let watched = grown.iter().filter(|(name, _)| WATCHED.contains(&name.as_str()));
            let grown: Vec<String> = watched.map(|(name, by)| format!("{name:?}: {by}")).collect();
            let sees = format!("{{{}}}", grown.join(", "));
            ("counters that have grown".to_owned(), "grown(WATCHED)".to_owned(), sees)
        }
        Act::ReadQueue { listener, waiting, backlog } => {
            let name = names.server(listener);
            let what = format!("{name}'s accept queue");
            (what, format!("server({name:?}).queue()"), format!("\"{waiting} of {backlog}\""))
        }
        Act::ReadSockets { listeners } => {
            ("listeners".to_owned(), "listeners()".to_owned(), listeners.to_string())
        }
        Act::BeginWaiting { listener } => {
            let name = names.server(listener);
            (format!("somebody waits for {name}"), format!("server({name:?}).watch()"), ok())
        }
        Act::ReadWaiter { listener, woken } => {
            let name = names.server(listener);
            let woken = if *woken { "True" } else { "False" };
            let does = format!("server({name:?}).is_woken({woken})");
            (format!("who waits for {name} is woken"), does, woken.to_owned())
        }
        // A filter that closes a gate is an option that was set.
        Act::CloseGate(GateKind::Filter) | Act::Wait { .. } | Act::Begin(_) => return Ok(None),
        Act::BeginCall { .. } | Act::EndCall { .. } => return Err(Unprintable::SleepingCall),
        Act::Serve { .. } | Act::Exec { .. } => return Err(Unprintable::Process),
        Act::SendDescriptors { .. }
        | Act::ReceiveDescriptors { .. }
        | Act::CloseUnixSockets { .. } => return Err(Unprintable::Descriptors),
        Act::LimitSubflows { .. } => return Err(Unprintable::Subflows),
        Act::ReadMemory { .. } | Act::RefuseMemory { .. } => return Err(Unprintable::Memory),
        Act::Unrecorded { .. } => return Err(Unprintable::Unrecorded),
        Act::Attach { decides: None, .. } | Act::Words(_) | Act::Later { .. } => {
            return Err(Unprintable::OtherVersion);
        }
    };
    Ok(Some(Call { what, does, sees }))
}

fn close(socket: &Actor, by: CloseCall, names: &Names) -> Result<Call, Unprintable> {
    let by = match by {
        CloseCall::Close => "close",
        CloseCall::Dup2 => "dup2",
        CloseCall::Dup3 => "dup3",
        CloseCall::CloseRange => "close_range",
        CloseCall::IoUring => return Err(Unprintable::IoUring),
    };
    let name = end(socket, names)?;
    let does = match socket {
        Actor::Client(_) => format!("close_client({name:?})"),
        Actor::Listener(_) => format!("{}.close({by:?})", object(socket, names)?),
        Actor::Child(_) | Actor::Datagram(_) => format!("{}.close()", object(socket, names)?),
    };
    Ok(Call { what: format!("{by}({name})"), does, sees: "\"ok\"".to_owned() })
}

/// A socket as the program shows it.
fn end(socket: &Actor, names: &Names) -> Result<String, Unprintable> {
    match socket {
        Actor::Listener(name) => Ok(names.server(name)),
        Actor::Client(name) => names.client(name),
        Actor::Child(name) => Ok(format!("{}'s child", names.client(name)?)),
        Actor::Datagram(_) => Err(Unprintable::Datagram),
    }
}

/// The expression for a socket.
fn object(socket: &Actor, names: &Names) -> Result<String, Unprintable> {
    match socket {
        Actor::Listener(name) => Ok(format!("server({:?})", names.server(name))),
        Actor::Client(name) => Ok(format!("client({:?})", names.client(name)?)),
        Actor::Child(name) => Ok(format!("child({:?})", names.client(name)?)),
        Actor::Datagram(_) => Err(Unprintable::Datagram),
    }
}

/// The value of an option as an expression.
fn option_value(option: &str, value: &str) -> Result<String, Unprintable> {
    match option {
        "TCP_MD5SIG" => return Err(Unprintable::Signed),
        "SO_LINGER" => return Ok("0".to_owned()),
        "TCP_CONGESTION" | "SO_BINDTODEVICE" => return Ok(format!("b{value:?}")),
        _ => {}
    }
    let number = value.parse::<i64>().map_err(|_| Unprintable::Option(option.to_owned()))?;
    Ok(number.to_string())
}

/// The arguments that make a segment.
fn arguments(segment: &Draft) -> Result<String, Unprintable> {
    // A key of Multipath TCP or a signature is right for one connection.
    if SIGNATURES.into_iter().any(|kind| segment.has_option(kind)) {
        return Err(Unprintable::Signed);
    }
    if segment.has_option(TIMESTAMPS) && segment.flags().ack() {
        return Err(Unprintable::Timestamps);
    }
    if segment.has_option(MULTIPATH) && !segment.is_multipath_capable() {
        return Err(Unprintable::Signed);
    }
    let mut arguments = format!("\"{}\", {}", segment.flags(), segment.seq());
    if segment.flags().ack() {
        let _ = write!(arguments, ", {}", segment.ack());
    }
    if !segment.is_empty() {
        let _ = write!(arguments, ", payload=b\"{}\"", segment.data().escape_ascii());
    }
    let hexadecimal = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    if !segment.options().is_empty() {
        let options = hexadecimal(segment.options());
        let _ = write!(arguments, ", options=bytes.fromhex(\"{options}\")");
    }
    if segment.window_field() != WINDOW {
        let _ = write!(arguments, ", window={}", segment.window_field());
    }
    let (service, hops, ip_options) = segment.ip_fields();
    if service != 0 {
        let _ = write!(arguments, ", tos={service}");
    }
    if hops != HOPS {
        let _ = write!(arguments, ", ttl={hops}");
    }
    if !ip_options.is_empty() {
        let options = hexadecimal(ip_options);
        let _ = write!(arguments, ", ip_options=bytes.fromhex(\"{options}\")");
    }
    Ok(arguments)
}

/// Whether a program decides by a map that the lab fills without a record.
fn reads_filled_map(steps: &[ProgramStep]) -> bool {
    steps.iter().any(|step| match step {
        ProgramStep::When(ProgramCondition::Other, _) => true,
        ProgramStep::When(_, then) => reads_filled_map(then),
        ProgramStep::End(_) | ProgramStep::Other => false,
    })
}
