//! A run of a written case as a Python program that stands alone: for a mail to a list, or to play
//! with.
//!
//! | file | what is in it |
//! |---|---|
//! | `unprintable` | why a case cannot be printed |
//! | `names` | the talk's names for listeners and clients |
//! | `call` | an act as a call |
//! | `hash` | whether the hash may decide, where the model does not say |

mod call;
mod hash;
mod names;
mod unprintable;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use harness::Family;
use harness::lab::{SERVER, WATCHED};
use harness::trace::{Act, Kind, Line, Notation, Part};

use crate::case_script::call::{Call, call};
use crate::case_script::hash::{has_shared_name, hash_may_decide};
use crate::case_script::names::Names;
use crate::model::Slot;
use crate::recorded::{ByHash, Compared, LeftOut, compare};

pub use unprintable::Unprintable;

/// What every program begins with.
const BEGINNING: &str =
    concat!(include_str!("../data/namespace.py"), include_str!("../data/case.py"));

/// What was seen of a case.
#[derive(Debug, Clone, Copy)]
pub struct CaseRun<'r> {
    /// Its id.
    pub id: &'r str,
    /// What it does, in a sentence.
    pub does: &'r str,
    /// What must be seen, in a sentence.
    pub must: &'r str,
    /// On which kernel it was run.
    pub kernel: &'r str,
    /// In which family.
    pub family: Family,
    /// What was recorded.
    pub trace: &'r [Line],
    /// In what this kernel differs from what must be seen, each in a line.
    pub deviations: &'r [String],
}

/// Time that passes between two acts is left out where it is shorter than this: nothing waits for
/// it.
const SHORT: Duration = Duration::from_millis(250);

/// The program: Python 3.8 and its standard library, as root, or where unprivileged user namespaces
/// are allowed and the case has no program in eBPF. It does what was done in the case, and shows
/// what it sees of each act and, where that is something else, what was seen then. Its exit code is
/// 1 if anything was.
///
/// # Errors
/// Something is done in the case that no program can do; the first such thing.
pub fn python(run: CaseRun<'_>) -> Result<String, Unprintable> {
    let slots = slots(run.trace)?;
    if has_shared_name(run.trace) {
        return Err(Unprintable::SharedName);
    }
    // What takes the case down shows nothing.
    let is_over = |line: &&Line| !matches!(line.act(), Some(Act::Begin(Part::TakingDown)));
    let mut lines: Vec<&Line> = run.trace.iter().take_while(is_over).collect();
    let unrecorded = unrecorded_client(&lines);
    if let Some(at) = unrecorded {
        lines.truncate(at);
        if !lines.iter().any(|line| line.act().is_some_and(shows_something)) {
            return Err(Unprintable::UnrecordedClient);
        }
    }
    let mut names = Names::of(&lines)?;
    let mut acts = String::new();
    let (mut gate_was_opened, mut has_multipath) = (false, false);
    let mut before = Duration::ZERO;
    for (at, line) in lines.iter().enumerate() {
        let gap = line.since_start.saturating_sub(before);
        before = line.since_start;
        match &line.kind {
            Kind::Segment { from, to } => {
                let again =
                    gate_was_opened || names.is_built(if from == SERVER { to } else { from });
                acts.push_str(&segment(line, (from, to), &names, gap, again)?);
            }
            Kind::Act { act, refused } => {
                gate_was_opened |= matches!(act, Act::OpenGate);
                check(act, refused.as_deref(), run.family)?;
                has_multipath |= matches!(act, Act::OpenMultipath { .. });
                if has_multipath && matches!(act, Act::Destroy(_)) {
                    return Err(Unprintable::DestroyedMultipath);
                }
                if gap > SHORT {
                    // A timer may fire later than it did: the kernel's wheel rounds up by an
                    // eighth at most.
                    let seconds = gap.as_secs_f64() * 1.15 + 0.05;
                    let _ = writeln!(acts, "time.sleep({seconds:.3})");
                }
                let following = lines[at + 1..].iter().take_while(|line| line.act().is_none());
                let following: Vec<&Line> = following.copied().collect();
                if let Some(Call { what, does, sees }) = call(act, &following, &mut names)? {
                    let sees = refused.as_ref().map_or(sees, |errno| format!("{errno:?}"));
                    let _ = writeln!(acts, "did({what:?}, {does}, {sees})");
                }
            }
        }
    }
    if unrecorded.is_some() {
        acts.push_str("# The case goes on with clients whose connecting is not recorded.\n");
    }
    let slots = names.slots(&slots)?;
    Ok(whole(run, &names, &slots, &acts))
}

/// Of each client, slots for its connections with which the hash decides as it did in the run;
/// nothing if it decides nothing.
fn slots(trace: &[Line]) -> Result<BTreeMap<String, Vec<Option<Slot>>>, Unprintable> {
    match compare(trace, &BTreeSet::new()) {
        Compared::Agree { by_hash: ByHash::Slots(slots), .. } => Ok(slots),
        Compared::Agree { by_hash: ByHash::NoSlot, .. }
        | Compared::LeftOut(LeftOut::ManyHashes) => Err(Unprintable::Hash),
        Compared::LeftOut(LeftOut::SharedName) => Err(Unprintable::SharedName),
        Compared::LeftOut(LeftOut::IncomingCpu) => Err(Unprintable::Processor),
        // The model does not say what the hash decides there.
        Compared::LeftOut(_) if hash_may_decide(trace) => Err(Unprintable::Hash),
        Compared::Agree { by_hash: ByHash::Nothing, .. }
        | Compared::LeftOut(_)
        | Compared::Disagree { .. } => Ok(BTreeMap::new()),
    }
}

/// Whether an act can be done as it was: in one family, and with maps that say no more than is
/// recorded.
fn check(act: &Act, refused: Option<&str>, family: Family) -> Result<(), Unprintable> {
    match act {
        Act::Bind { to, .. } if to.is_ipv6() != (family != Family::V4) => {
            Err(Unprintable::OtherFamily)
        }
        Act::SetEntry { .. } if refused.is_some() => Err(Unprintable::Vacancy),
        _ => Ok(()),
    }
}

/// Where something is done with a client whose connecting is not recorded: at the act before its
/// first segment.
fn unrecorded_client(lines: &[&Line]) -> Option<usize> {
    let names = Names::of(lines).ok()?;
    let is_unrecorded = |line: &&Line| {
        line.ends().is_some_and(|(from, to)| names.end(from).is_err() || names.end(to).is_err())
    };
    let segment = lines.iter().position(is_unrecorded)?;
    Some(lines[..segment].iter().rposition(|line| line.act().is_some()).unwrap_or(0))
}

/// Whether something is seen of an act that a program can compare.
fn shows_something(act: &Act) -> bool {
    matches!(
        act,
        Act::Accept { .. }
            | Act::Receive { .. }
            | Act::ReadCounters { .. }
            | Act::ReadQueue { .. }
            | Act::ReadSockets { .. }
            | Act::ReadWaiter { .. }
    )
}

fn whole(run: CaseRun<'_>, names: &Names, slots: &str, acts: &str) -> String {
    let mut program =
        format!("#!/usr/bin/env python3\n# {}\n#\n# {}\n# {}\n", run.id, run.does, run.must);
    let _ = writeln!(program, "# Made by sockmig from a run on {}.", run.kernel);
    for deviation in run.deviations {
        let _ = writeln!(program, "# This kernel is wrong: {deviation}");
    }
    let called = names.shown();
    let _ = write!(program, "#\n# {called}\n\n{BEGINNING}");
    let (family, server, wire) = match run.family {
        Family::V4 => ("AF_INET", "127.0.0.1", "127.0.0.1"),
        Family::V6 => ("AF_INET6", "::1", "::1"),
        Family::V4Mapped => ("AF_INET6", "::ffff:127.0.0.1", "127.0.0.1"),
    };
    let _ = writeln!(program, "FAMILY, SERVER, WIRE = socket.{family}, {server:?}, {wire:?}");
    let _ = writeln!(program, "WATCHED = \"{}\".split()", WATCHED.join(" "));
    program.push_str("enter_namespaces()\nsysctl(\"net.ipv4.tcp_syncookies\", 0)\n");
    program.push_str("sysctl(\"net.ipv4.ip_unprivileged_port_start\", 0)\n");
    let _ = writeln!(program, "ports = ports_with({{{slots}}})\nwire = Wire()");
    let maps = names.maps().iter().map(|map| {
        let (number, kind, key, value, entries) =
            (map.number, map.kind, map.key, map.value, map.entries);
        format!("{number}: bpf_map({kind}, {key}, {value}, {entries})")
    });
    let _ = writeln!(program, "maps = {{{}}}", maps.collect::<Vec<_>>().join(", "));
    program.push_str("print(\"Linux\", os.uname().release)\ngrown(WATCHED)\n\n");
    program.push_str(acts);
    program.push_str("\nfinish()\n");
    program
}

/// A segment that must be seen, if its sending does not depend on the time alone.
fn segment(
    line: &Line,
    (from, to): (&str, &str),
    names: &Names,
    gap: Duration,
    again: bool,
) -> Result<String, Unprintable> {
    let notation = Notation::of(&line.what);
    let of = if from == SERVER { to } else { from };
    let is_built = names.is_built(of);
    let is_second = notation.is_some_and(|segment| segment.is_syn_ack() && segment.seq != 0);
    if is_second && from == SERVER {
        return Err(Unprintable::Numbers);
    }
    let acknowledges = notation.is_some_and(|segment| {
        segment.len == 0 && !segment.is_fin() && !segment.flags.syn() && !segment.flags.rst()
    });
    let is_own = is_built && from != SERVER;
    if is_own || (acknowledges && !is_built) {
        return Ok(String::new());
    }
    let (from, to) = (names.end(from)?, names.end(to)?);
    let what = format!("{from} > {to}  {}", Notation::text_of(&line.what));
    let again = if again { "True" } else { "False" };
    let mut expected = format!("wire.expect({what:?}, {again}");
    if gap > SHORT {
        let _ = write!(expected, ", {:.0}", 5.0 + 2.0 * gap.as_secs_f64());
    }
    Ok(expected + ")\n")
}
