//! What is said between the host and one machine while it runs cases.

use std::ops::ControlFlow;
use std::time::Duration;

use harness::guest::tag as of_every_guest;
use harness::process::frame::Frame;
use scenarios::engine::{Ending, Outcome};
use serde::de::DeserializeOwned;
use vm::machine::end::EarlyEnd;
use vm::machine::running::Machine;

use crate::machine::guest::{Task, tag};
use crate::output::consumer::Environment;
use crate::output::document::Complaint;

/// How long a machine has to power itself off when its work is done.
const POWER_OFF: Duration = Duration::from_secs(10);

/// What a machine reports while it runs cases.
pub enum Report {
    /// Where they run.
    Environment(Box<Environment>),
    /// One is about to run.
    Started(String),
    /// One ended.
    Finished(Box<Outcome>),
    /// The kernel's log complained.
    Complaint(Complaint),
}

/// How a session ended.
pub enum End {
    /// Every case was run, and the machine is off.
    Done,
    /// The guest could give no laboratories.
    NoLab(String),
    /// Who listens wanted no more; the machine is off.
    Stopped,
    /// The machine ended before its work did.
    EndedEarly(Box<EarlyEnd>),
}

/// Has a machine run cases, and passes on what it reports, until `listen` wants no more.
/// While these cases run, nothing may be heard for `silence` at most.
pub fn run(
    mut machine: Machine,
    task: &Task,
    silence: impl Fn(&[String]) -> Duration,
    mut listen: impl FnMut(Report) -> ControlFlow<()>,
) -> End {
    machine.send(&request(task));
    let mut capture = Vec::new();
    let mut failure = None;
    let mut running: Vec<String> = Vec::new();
    loop {
        let frame = match machine.hear(silence(&running)) {
            Ok(frame) => frame,
            Err(end) => return End::EndedEarly(end),
        };
        let payload = &frame.payload;
        let report = match frame.tag {
            tag::ENVIRONMENT => parse(payload).map(|report| Report::Environment(Box::new(report))),
            tag::STARTED => Some(Report::Started(String::from_utf8_lossy(payload).into_owned())),
            tag::COMPLAINT => parse(payload).map(Report::Complaint),
            tag::CAPTURE => {
                capture = frame.payload;
                continue;
            }
            tag::OUTCOME => parse(payload).map(|mut outcome: Box<Outcome>| {
                outcome.pcapng = std::mem::take(&mut capture);
                Report::Finished(outcome)
            }),
            tag::ENDING => {
                if let Some(Ending::NoLab { why, .. }) = parse(payload) {
                    failure = Some(why);
                }
                continue;
            }
            tag::FAILURE => {
                failure = Some(String::from_utf8_lossy(payload).into_owned());
                continue;
            }
            of_every_guest::END => {
                return match (failure, exit_code(payload)) {
                    (None, code) if code != 0 => End::EndedEarly(machine.suite_ended(code)),
                    (failure, _) => {
                        machine.power_off(POWER_OFF);
                        failure.map_or(End::Done, End::NoLab)
                    }
                };
            }
            _ => None,
        };
        match report {
            Some(report) => {
                match &report {
                    Report::Started(id) => running.push(id.clone()),
                    Report::Finished(outcome) => running.retain(|id| *id != outcome.id),
                    Report::Environment(_) | Report::Complaint(_) => {}
                }
                if listen(report).is_break() {
                    return End::Stopped;
                }
            }
            None => {
                return End::EndedEarly(Box::new(EarlyEnd::of_unreadable_message(&frame)));
            }
        }
    }
}

/// A task as it travels.
pub fn request(task: &Task) -> Frame {
    let payload = serde_json::to_vec(task).expect("a task can be written as JSON");
    Frame { tag: 0, payload }
}

/// The number in a guest's last frame.
pub fn exit_code(payload: &[u8]) -> i32 {
    payload.try_into().map_or(-1, i32::from_le_bytes)
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload).ok()
}
