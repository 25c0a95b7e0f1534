//! What is done in a lab, as a trace has it.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::Result;
use harness::capture::Record;
use harness::trace::{Accepted, Act, Actor, CloseCall, Event, Trace};
use serde::{Deserialize, Serialize};

use crate::drive::open::draft;
use crate::model::{CallResult, Rest, Seen};
use crate::step::{ListenerId, Step};

/// What was recorded of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Segments and acts.
    pub trace: Trace,
    /// The same as a pcapng file, with every byte.
    pub pcapng: Vec<u8>,
    /// The acts in which it was seen, by their indices in the trace.
    pub seen_at: Vec<usize>,
}

impl Recorded {
    /// A record of a round whose two acts began at these times, since the Unix epoch. It was seen of
    /// them, or of the last act.
    pub(super) fn of(record: Record, began: [Duration; 2], of_the_two: bool) -> Result<Self> {
        let pcapng = record.pcapng()?;
        let trace = record.into_trace();
        let mut acts = trace.events.iter().enumerate().filter_map(|(index, event)| match event {
            Event::Act { at, act, .. } if !is_look(act) => Some((index, *at)),
            Event::Act { .. } | Event::Segment(_) => None,
        });
        let seen_at = match of_the_two {
            true => acts.filter(|(_, at)| began.contains(at)).map(|(index, _)| index).collect(),
            false => acts.next_back().map(|(index, _)| index).into_iter().collect(),
        };
        Ok(Self { trace, pcapng, seen_at })
    }
}

/// Whether an act only looks at what is there.
fn is_look(act: &Act) -> bool {
    matches!(act, Act::ReadCounters { .. } | Act::ReadQueue { .. } | Act::ReadWaiter { .. })
}

/// The acts of a step that returned this, and the errno with which it was refused. `is_last` says
/// that nobody has the listener open any more; `passed` is how long was waited.
pub(super) fn acts(
    step: &Step,
    numbers: (u32, u32),
    result: &CallResult,
    is_last: bool,
    passed: Duration,
) -> (Vec<Act>, Option<String>) {
    let refused = match result {
        CallResult::Refused(errno) => Some(errno.clone()),
        CallResult::Done | CallResult::Accepted { .. } => None,
    };
    let acts = match *step {
        Step::Set(setting) => {
            vec![Act::Sysctl { name: setting.name().into(), value: setting.value().to_string() }]
        }
        Step::Listen { listener, backlog, defer_accept, fast_open } => {
            let option = |option: &str, value: u32| Act::SetOption {
                socket: Actor::Listener(listener.to_string()),
                option: option.to_owned(),
                value: value.to_string(),
            };
            let mut acts = Vec::new();
            acts.extend(defer_accept.then(|| option("TCP_DEFER_ACCEPT", 1)));
            acts.extend((fast_open > 0).then(|| option("TCP_FASTOPEN", fast_open)));
            let (listener, backlog) = (listener.to_string(), backlog.cast_signed());
            acts.push(Act::Listen { listener, backlog });
            acts
        }
        Step::ListenAgain { listener, backlog } => {
            vec![Act::Listen { listener: listener.to_string(), backlog: backlog.cast_signed() }]
        }
        Step::Shutdown { listener, how } => {
            vec![Act::Shutdown { socket: Actor::Listener(listener.to_string()), how }]
        }
        Step::Duplicate { listener } => vec![Act::Duplicate { listener: listener.to_string() }],
        Step::Close { listener } => vec![Act::Close {
            socket: Actor::Listener(listener.to_string()),
            by: CloseCall::Close,
            last: is_last,
            at_scope_end: false,
        }],
        Step::Accept { listener } => return accepted(listener.to_string(), result, refused),
        Step::SelectIndex { listener, index } => {
            vec![Act::SelectIndex { listener: listener.to_string(), index }]
        }
        Step::SelectByHash { listener } => {
            vec![Act::SelectByHash { listener: listener.to_string() }]
        }
        Step::Send { client, segment } => {
            vec![Act::SendSegment { client: client.to_string(), segment: draft(segment, numbers) }]
        }
        Step::Wait => vec![Act::Wait { milliseconds: passed.as_millis() as u64 }],
    };
    (acts, refused)
}

/// `accept`, for which having nothing is no refusal, and what was received then.
fn accepted(
    listener: String,
    result: &CallResult,
    refused: Option<String>,
) -> (Vec<Act>, Option<String>) {
    match result {
        CallResult::Accepted { client, bytes, then } => {
            let got = Accepted::Connection(client.to_string());
            let then = match then {
                Rest::More => "EAGAIN",
                Rest::End => "0",
                Rest::Error(errno) => errno,
            };
            let received = match bytes {
                0 => then.to_owned(),
                bytes => format!("{bytes} bytes, then {then}"),
            };
            let socket = Actor::Child(client.to_string());
            let receive = Act::Receive { socket, got: received };
            (vec![Act::Accept { listener, got }, receive], None)
        }
        CallResult::Refused(errno) if errno == "EAGAIN" => {
            (vec![Act::Accept { listener, got: Accepted::Nothing }], None)
        }
        CallResult::Done | CallResult::Refused(_) => {
            (vec![Act::Accept { listener, got: Accepted::Nothing }], refused)
        }
    }
}

/// What was looked at, as acts, with the backlog of each listener.
pub(super) fn looks(seen: &Seen, backlogs: &BTreeMap<ListenerId, u32>) -> Vec<Act> {
    let grown = seen.counters.iter().map(|(counter, grown)| (counter.name().to_owned(), *grown));
    let grown: BTreeMap<String, i64> = grown.collect();
    let counters = (!grown.is_empty()).then_some(Act::ReadCounters { grown });
    let queues = seen.queues.iter().map(|(listener, waiting)| Act::ReadQueue {
        listener: listener.to_string(),
        waiting: *waiting,
        backlog: backlogs.get(listener).copied().unwrap_or_default(),
    });
    let woken = seen
        .woken
        .iter()
        .map(|listener| Act::ReadWaiter { listener: listener.to_string(), woken: true });
    counters.into_iter().chain(queues).chain(woken).collect()
}
