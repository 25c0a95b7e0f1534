//! Groups that outgrow their array, with members inside that have closed.

use harness::lab::Lab;
use harness::place::Place;
use harness::socket::{Listener, Stream};
use harness::wire_client::Draft;

use crate::case::{Case, Setting, Settings};
use crate::expectation::Expectation;
use crate::quiz::hello;

const MUST: &str = "Nothing gets lost by the move to a larger array: W's ACK and X's complete their \
                    handshakes on listeners of the group, C's child is at another, the program \
                    chooses as before, and the members stand in the same order.";
const SOURCE: &str = "G-22; reuseport_grow(), reuseport_add_sock(): INIT_SOCKS is 128";

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "growth/past-128",
        does: "A group of 126 listeners, with a program that chooses the first. W's request is the \
               first one's, which is closed; so are X's request and C's child the next one's. \
               Then five more listen, so that the group outgrows 128 members, the closed ones \
               included; all others close; and W and X send their ACKs.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        run: |lab, setting| growth(lab, setting, 128),
        expect: |_| growth_must(128),
        ..Case::DEFAULT
    },
    Case {
        name: "growth/past-256",
        does: "As growth/past-128, past 256.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        run: |lab, setting| growth(lab, setting, 256),
        expect: |_| growth_must(256),
        ..Case::DEFAULT
    },
];

/// How many listen before anything closes, less than the array has room for.
const fn first(size: usize) -> usize {
    size - 2
}

const MORE: usize = 5;

fn growth(lab: &mut Lab, setting: Setting, size: usize) -> harness::Result<()> {
    let place = Place::usual(setting.family);
    let name = |index| format!("L{index}");
    let mut group = Vec::new();
    for index in 0..first(size) {
        group.push(lab.listen_at(&name(index), &place)?);
    }
    let mut later = Vec::new();
    for index in first(size)..first(size) + MORE {
        later.push(lab.bind_at(&name(index), &place)?);
    }
    let [mut w, mut x] = [lab.wire_client("W")?, lab.wire_client("X")?];
    lab.select_index(&group[0], 0)?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.close(group.remove(0));
    // The last one is the first now.
    lab.wire_syn(&mut x, &Draft::syn())?;
    let _client = hello(lab, "C")?;
    let before = lab.counters()?;
    let next = group.pop().map_or_else(|| lab.listen("nobody"), Ok)?;
    lab.close(next);
    let (_, child) = lab.accept_on_any(&members(&group))?;
    let whose = lab.trace().name_of(child.peer);
    lab.observe("whose child moved", whose);
    for listener in later {
        listener
            .listen(harness::socket::BACKLOG)
            .map_err(|source| harness::Error::Tested { call: "listen".into(), source })?;
        group.push(listener);
    }
    let by_the_program = lab.who_takes(&members(&group), 0)?;
    lab.observe("the program's choice", by_the_program);
    for index in places(size) {
        lab.select_index(&group[0], index as u32)?;
        let served = lab.who_takes(&members(&group), 0)?;
        lab.observe(&format!("at {index}"), served);
    }
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("TCPMigrateReqSuccess by the close", moved);
    // Whoever still looked into the small array would find nobody alive there.
    drop(group.drain(..first(size) - 2));
    let before = lab.counters()?;
    for (client, observed) in [(&mut w, "answer to W's ACK"), (&mut x, "answer to X's ACK")] {
        let answer = lab.wire_send(client, &Draft::new(".", 1, 1))?;
        lab.observe(observed, answer);
    }
    lab.observe_counters(&before)?;
    let mut moved = Vec::new();
    for _ in 0..2 {
        let (_, child) = lab.accept_on_any(&members(&group))?;
        child.reset_on_close()?;
        moved.push(lab.trace().name_of(child.peer));
    }
    moved.sort();
    lab.observe("whose requests moved", moved.join(", "));
    Ok(())
}

fn members(group: &[Listener]) -> Vec<&Listener> {
    group.iter().collect()
}

/// Where is looked who stands there: the second, who was last when the array was full, and
/// the last.
fn places(size: usize) -> [usize; 3] {
    [1, first(size) - 3, first(size) - 3 + MORE]
}

fn growth_must(size: usize) -> Expectation {
    // The first has left, and the last took its place; that has left too.
    let at = |index: usize| match index {
        0 => format!("L{}", first(size) - 2),
        index if index <= first(size) - 3 => format!("L{index}"),
        index => format!("L{}", index + 2),
    };
    let must = Expectation::new()
        .fact("whose child moved", "C")
        .fact("answer to W's ACK", "nothing")
        .fact("answer to X's ACK", "nothing")
        .fact("whose requests moved", "W, X")
        .fact("the program's choice", at(0))
        .fact("TCPMigrateReqSuccess by the close", 1)
        .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 2)]);
    places(size).into_iter().fold(must, |must, index| must.fact(&format!("at {index}"), at(index)))
}
