//! A history as a Python program that stands alone: for a mail to a list.

use std::collections::BTreeSet;
use std::fmt::Write;

use harness::trace::Direction;

use crate::history::History;
use crate::model::{CallResult, Model, Seen};
use crate::step::{ClientId, ListenerId, Step};

/// What every program begins with: a namespace, a wire, clients that are no sockets.
const BEGINNING: &str =
    concat!(include_str!("../data/namespace.py"), include_str!("../data/script.py"));

/// What every program ends with.
const END: &str = "\
print(f\"{deviations} acts were not as expected\")
sys.exit(1 if deviations else 0)
";

/// The program: Python 3.8 and its standard library, as root or where unprivileged user
/// namespaces are allowed. It does what the history says, shows what it sees of each act, and
/// what a correct kernel does where that is something else. Its exit code is 1 then.
pub fn python(history: &History) -> String {
    let mut program = format!("#!/usr/bin/env python3\n# {NOTE}\n#\n");
    for line in history.to_string().lines() {
        let _ = writeln!(program, "#   {line}");
    }
    let _ = write!(program, "\n{BEGINNING}");
    let slots: Vec<String> = history.slots.iter().map(ToString::to_string).collect();
    let _ = writeln!(program, "clients = clients_with([{}])", slots.join(", "));
    program.push_str("by_name = {client.name: client for client in clients}\n");
    let names: Vec<String> = (0..history.slots.len()).map(|at| client(ClientId(at))).collect();
    for (at, name) in names.iter().enumerate() {
        let _ = writeln!(program, "{name} = clients[{at}]");
    }
    program.push_str("print(\"Linux\", os.uname().release)\n");
    program.push_str("poller.poll(0)\nbefore, since = counters(), time.monotonic()\n\n");
    let mut model = Model::new(BTreeSet::new(), &history.slots);
    // How many descriptors each listener has.
    let mut descriptors = vec![0_usize; crate::step::MOST_LISTENERS];
    for step in &history.steps {
        let (before, had_child) = (model.now(), model.clients_with_child());
        let numbers = match step {
            Step::Send { client, segment } => model.numbers(*client, *segment),
            _ => (0, 0),
        };
        let seen = model.step(step);
        let passes = model.now() - before;
        let established = &had_child | &model.clients_with_child();
        act(&mut program, step, numbers, passes, &mut descriptors);
        let established: Vec<String> = established.into_iter().map(client).collect();
        let of = match established.as_slice() {
            [] => String::new(),
            names => format!(", established=({},)", names.join(", ")),
        };
        let waited = if *step == Step::Wait { ", waited=True" } else { "" };
        let (what, expected) = (words(step), expected(&seen));
        let _ = writeln!(program, "seen(\"{what}\", result, \"{expected}\"{of}{waited})\n");
    }
    program.push_str(END);
    program
}

const NOTE: &str = "Made by sockmig from this history; a correct kernel does what it expects.";

/// The lines that do a step and leave in `result` what the call returned.
fn act(
    program: &mut String,
    step: &Step,
    numbers: (u32, u32),
    passes: u64,
    descriptors: &mut [usize],
) {
    let call = |call: String| format!("result = attempt({call})\n");
    let done = |what: String| format!("{what}\nresult = \"ok\"\n");
    let lines = match *step {
        Step::Set(setting) => {
            done(format!("set_sysctl(\"{}\", {})", setting.name(), setting.value()))
        }
        Step::Listen { listener, backlog, defer_accept, fast_open } => {
            descriptors[listener.0] = 1;
            let name = server(listener);
            let mut options = String::new();
            if defer_accept {
                options.push_str(", defer_accept=True");
            }
            if fast_open > 0 {
                let _ = write!(options, ", fast_open={fast_open}");
            }
            done(format!(
                "{name} = servers[\"{name}\"] = listener({backlog}{options})\nwatch({name})"
            ))
        }
        Step::ListenAgain { listener, backlog } => {
            call(format!("{}.listen, {backlog}", server(listener)))
        }
        Step::Shutdown { listener, how } => {
            let how = match how {
                Direction::Read => "SHUT_RD",
                Direction::Write => "SHUT_WR",
                Direction::Both => "SHUT_RDWR",
            };
            call(format!("{}.shutdown, socket.{how}", server(listener)))
        }
        Step::Duplicate { listener } => {
            let (first, other) = (server(listener), descriptor(listener, descriptors[listener.0]));
            descriptors[listener.0] += 1;
            done(format!("{other} = {first}.dup()"))
        }
        Step::Close { listener } => {
            let left = descriptors[listener.0].saturating_sub(1);
            descriptors[listener.0] = left;
            let mut what = format!("{}.close()", descriptor(listener, left));
            if left == 0 {
                let _ = write!(what, "\ndel servers[\"{}\"]", server(listener));
            }
            done(what)
        }
        Step::Accept { listener } => format!("result = accept({})\n", server(listener)),
        Step::SelectIndex { listener, index } => {
            format!("result = select_index({}, {index})\n", server(listener))
        }
        // SO_DETACH_REUSEPORT_BPF.
        Step::SelectByHash { listener } => {
            call(format!("{}.setsockopt, socket.SOL_SOCKET, 68, 0", server(listener)))
        }
        Step::Send { client: of, segment } => {
            let (seq, ack) = numbers;
            let payload = match segment.bytes() {
                0 => String::new(),
                bytes => format!(", b\"x\" * {bytes}"),
            };
            done(format!("{}.send(\"{}\", {seq}, {ack}{payload})", client(of), segment.flags()))
        }
        Step::Wait => done(format!("wait({})", passes as f64 / 1000.0)),
    };
    program.push_str(&lines);
}

/// As the talk calls listeners.
fn server(listener: ListenerId) -> String {
    format!("server_{}", listener.0 + 1)
}

/// The variable of a listener's descriptor, the first of which is 0.
fn descriptor(listener: ListenerId, index: usize) -> String {
    match index {
        0 => server(listener),
        other => format!("{}_descriptor_{}", server(listener), other + 1),
    }
}

fn client(client: ClientId) -> String {
    format!("client_{}", client.0 + 1)
}

/// The step, as the program shows it.
fn words(step: &Step) -> String {
    match *step {
        Step::Set(setting) => format!("{} = {}", setting.name(), setting.value()),
        Step::Listen { listener, backlog, .. } => {
            format!("listen({}, {backlog})", server(listener))
        }
        Step::ListenAgain { listener, backlog } => {
            format!("listen({}, {backlog}) again", server(listener))
        }
        Step::Shutdown { listener, how } => format!("shutdown({}, {how})", server(listener)),
        Step::Duplicate { listener } => format!("dup({})", server(listener)),
        Step::Close { listener } => format!("close({})", server(listener)),
        Step::Accept { listener } => format!("accept({})", server(listener)),
        Step::SelectIndex { listener, index } => {
            format!("the program of {}'s group returns {index}", server(listener))
        }
        Step::SelectByHash { listener } => format!("{}'s group has no program", server(listener)),
        Step::Send { client: of, .. } => format!("{} sends: {}", client(of), step.word()),
        Step::Wait => "a timer fires".to_owned(),
    }
}

/// What must be seen of a step, as the program writes it.
fn expected(seen: &Seen) -> String {
    let result = match &seen.result {
        CallResult::Done | CallResult::Refused(_) => seen.result.to_string(),
        CallResult::Accepted { client: of, bytes, then } => {
            format!("{}'s connection, {bytes} bytes, then {then}", client(*of))
        }
    };
    let answers = seen.answers.iter().map(|(of, answer)| format!("to {}: {answer}", client(*of)));
    let counters = seen.counters.iter().map(|(counter, grown)| format!("{counter} +{grown}"));
    let woken = seen.woken.iter().map(|listener| format!("epoll({})", server(*listener)));
    let parts: Vec<String> =
        [result].into_iter().chain(answers).chain(counters).chain(woken).collect();
    parts.join("; ")
}
