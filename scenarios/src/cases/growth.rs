//! Groups that outgrow their array, with members inside that have closed.

use std::net::Shutdown;

use harness::Family;
use harness::lab::{Holder, Lab, outcome};
use harness::socket::attribute;
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::Draft;
use harness::socket::{BACKLOG, Listener, Stream};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::queued_child::hello;
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "growth",
    about: "groups past 128 and 256 members, with closed ones among them",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const MUST: &str = "Nothing is lost in the move to a larger array: W's ACK and X's complete their \
                    handshakes on listeners of the group, C's child is with another, the program \
                    chooses as before, and the members stand in the same order.";

const SOURCE: &str =
    "reuseport_grow(), reuseport_add_sock(): INIT_SOCKS is 128; __reuseport_detach_closed_sock()";

const CASES: &[Case] = &[
    Case {
        name: "growth/past-128",
        does: "A group of 126 listeners, with a program that chooses the first. The first has V's \
               request and is closed; so are the second, which has W's request, and the third, \
               which has X's request and C's child. V sends its ACK, so that the first is freed. \
               Then five more listen, and the group outgrows 128 members, the closed ones \
               included; all others close; and W and X send their ACKs.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[
            wires::C_CONNECTS_AND_SENDS,
            wires::V_CONNECTS,
            wires::W_CONNECTS,
            wires::X_CONNECTS,
        ]),
        run: |lab, setting| growth(lab, setting, 128, 5),
        expect: |_| growth_must(128, 5),
        ..Case::DEFAULT
    },
    Case {
        name: "growth/past-256",
        does: "As growth/past-128, past 256.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[
            wires::C_CONNECTS_AND_SENDS,
            wires::V_CONNECTS,
            wires::W_CONNECTS,
            wires::X_CONNECTS,
        ]),
        run: |lab, setting| growth(lab, setting, 256, 5),
        expect: |_| growth_must(256, 5),
        ..Case::DEFAULT
    },
    Case {
        name: "growth/twice",
        does: "As growth/past-128, but 140 more listen: the group outgrows 128 members and then \
               256 while W and X keep silent.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[
            wires::C_CONNECTS_AND_SENDS,
            wires::V_CONNECTS,
            wires::W_CONNECTS,
            wires::X_CONNECTS,
        ]),
        run: |lab, setting| growth(lab, setting, 128, 140),
        expect: |_| growth_must(128, 140),
        ..Case::DEFAULT
    },
    Case {
        name: "growth/cookies",
        does: "tcp_syncookies is 2: A answers W's SYN with a cookie; 129 more listen, so that the \
               group outgrows 128 members; A is closed; W sends data.",
        must: "The larger group still knows that cookies are in use: the data completes the \
               handshake on one of its members.",
        source: "reuseport_grow(): synq_overflow_ts; tcp_synq_no_recent_overflow()",
        settings: Settings::Families,
        needs: &[Need::SynCookies],
        // Mostly it waits for nothing: see the function.
        waits_for: Lab::JIFFIES_NEAR_ZERO,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: cookies,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("whose child", "W")
                .counters(&[("SyncookiesRecv", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "growth/incoming-cpu",
        does: "The first of 127 listeners has SO_INCOMING_CPU, set to the only CPU that the lab \
               uses; three more listen, so that the group outgrows 128 members; eight clients \
               come.",
        must: "The larger group still counts the first one's preference: it gets them all.",
        source: "reuseport_grow(): incoming_cpu; reuseport_select_sock_by_hash(), b261eda84ec1 \
                 (Linux 6.2)",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: incoming_cpu,
        expect: |_| Expectation::new().fact("who got the clients", "L0"),
        ..Case::DEFAULT
    },
    Case {
        name: "growth/listening-again",
        does: "A is shut down; 128 others listen, whose group does not have A and whose array is \
               full; A listens again. A program gives W's SYN to the sixth of them, which is shut \
               down; then it chooses the sixth member again, and the 128th; W sends its ACK.",
        must: "A joins the others in a larger array, which has room for the one that is shut down \
               too: A takes the sixth place, the 128th listener keeps its own, and W's ACK \
               completes the handshake.",
        source: "reuseport_add_sock(), reuseport_resurrect(): the group of another listener",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::W_CONNECTS]),
        run: listening_again,
        expect: |_| {
            Expectation::new()
                .fact("at 5", "A")
                .fact("at 127", "L127")
                .fact("answer to W's ACK", "nothing")
                .fact("whose request moved", "W")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "growth/full",
        does: "32,768 listeners are a group's members; one more begins to listen. Then one of them \
               is closed and freed, and it tries again.",
        must: "No group has room for more: listen() returns ENOMEM, and succeeds when there is room \
               again.",
        source: "reuseport_grow(): INIT_SOCKS, doubled while it does not pass U16_MAX; \
                 reuseport_add_sock()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::LongWork],
        wire: WireRule::Silent,
        run: full,
        expect: |_| {
            Expectation::new()
                .fact("listen, to a full group", "ENOMEM")
                .fact("listen, when one has left", "ok")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "growth/full-of-closed",
        does: "32,767 listeners and A are a group's members. A has W's request, and is shut down; one \
               more begins to listen; W sends its ACK with data.",
        must: "A closed member makes room: listen() succeeds. A's requests then have no group to \
               move to, and W's data is refused.",
        source: "reuseport_grow(): \"Make room by removing a closed sk\"",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::LongWork],
        wire: WireRule::Shows(&[wires::W_REFUSED]),
        run: full_of_closed,
        expect: |_| {
            Expectation::new()
                .fact("listen, to a full group", "ok")
                .fact("answer to W's data", "S > W  R 1:1(0)")
                .counters(&[("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
];

/// How many listen before anything closes, less than the array has room for.
const fn first(size: usize) -> usize {
    size - 2
}

fn name(index: usize) -> String {
    format!("L{index}")
}

/// `count` listeners, named by their order.
fn listen_all(lab: &mut Lab, setting: Setting, count: usize) -> harness::Result<Vec<Listener>> {
    let spec = BindSpec::usual(setting.family);
    (0..count).map(|index| lab.listen_at(&name(index), &spec)).collect()
}

fn growth(lab: &mut Lab, setting: Setting, size: usize, more: usize) -> harness::Result<()> {
    let spec = BindSpec::usual(setting.family);
    let mut group = listen_all(lab, setting, first(size))?;
    let later: Vec<Listener> = (first(size)..first(size) + more)
        .map(|index| lab.bind_at(&name(index), &spec))
        .collect::<harness::Result<_>>()?;
    let [mut v, mut w, mut x] =
        [lab.wire_client("V")?, lab.wire_client("W")?, lab.wire_client("X")?];
    lab.select_index(&group[0], 0)?;
    lab.wire_syn(&mut v, &Draft::syn())?;
    lab.close(group.remove(0));
    // The last one is the first now.
    lab.wire_syn(&mut w, &Draft::syn())?;
    close_last(lab, &mut group);
    lab.wire_syn(&mut x, &Draft::syn())?;
    let _client = hello(lab, "C")?;
    let before = lab.counters()?;
    close_last(lab, &mut group);
    observe_moved(lab, &group, "whose child moved", 1)?;
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("TCPMigrateReqSuccess by the close", moved);
    // The first of the closed ones goes, and leaves a hole before the others.
    lab.wire_send(&mut v, &Draft::new(".", 1, 1))?;
    observe_moved(lab, &group, "whose request moved at once", 1)?;
    lab.until_freed_but(2)?;
    for listener in later {
        lab.start_listening(&listener, BACKLOG)?;
        group.push(listener);
    }
    observe_members(lab, &group, size, more)?;
    // Whoever still looked into a smaller array would find nobody alive there.
    drop(group.drain(..first(size) + more - 5 - 3));
    let before = lab.counters()?;
    for (client, observed) in [(&mut w, "answer to W's ACK"), (&mut x, "answer to X's ACK")] {
        let answer = lab.wire_send(client, &Draft::new(".", 1, 1))?;
        lab.observe(observed, answer);
    }
    lab.observe_counters(&before)?;
    observe_moved(lab, &group, "whose requests moved", 2)
}

/// Closes the member that is the first for the kernel: the last one moved into its place.
fn close_last(lab: &mut Lab, group: &mut Vec<Listener>) {
    if let Some(first) = group.pop() {
        lab.close(first);
    }
}

/// The clients of the next `count` children, wherever in the group they wait.
fn observe_moved(
    lab: &mut Lab,
    group: &[Listener],
    what: &str,
    count: usize,
) -> harness::Result<()> {
    let mut moved = Vec::new();
    for _ in 0..count {
        let (_, child) = lab.accept_on_any(&members(group))?;
        child.reset_on_close()?;
        moved.push(lab.trace().name_of(child.peer));
    }
    moved.sort();
    lab.observe(what, moved.join(", "));
    Ok(())
}

/// Which listener the program chooses, and which are at the indices that matter.
fn observe_members(
    lab: &mut Lab,
    group: &[Listener],
    size: usize,
    more: usize,
) -> harness::Result<()> {
    let by_the_program = lab.who_takes(&members(group), 0)?;
    lab.observe("the program's choice", by_the_program);
    for index in places(size, more) {
        lab.select_index(&group[0], index as u32)?;
        let served = lab.who_takes(&members(group), 0)?;
        lab.observe(&format!("at {index}"), served);
    }
    Ok(())
}

fn cookies(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    lab.until_jiffies_are_far_from_zero()?;
    lab.sysctl("net.ipv4.tcp_syncookies", "2")?;
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let group = listen_all(lab, setting, 129)?;
    lab.close(a);
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_moved(lab, &group, "whose child", 1)
}

fn incoming_cpu(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let spec = BindSpec::usual(setting.family);
    let mut group = listen_all(lab, setting, 127)?;
    attribute::incoming_cpu(&group[0], attribute::this_cpu()?)?;
    for index in 127..130 {
        group.push(lab.listen_at(&name(index), &spec)?);
    }
    let mut got = Vec::new();
    for _ in 0..8 {
        got.push(lab.who_takes(&members(&group), 0)?);
    }
    got.sort();
    got.dedup();
    lab.observe("who got the clients", got.join(", "));
    Ok(())
}

fn listening_again(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    lab.shut_down(&a, Shutdown::Both)?;
    let mut group = listen_all(lab, setting, 128)?;
    lab.start_listening(&a, BACKLOG)?;
    group.push(a);
    lab.select_index(&group[0], 5)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let sixth = group.remove(5);
    lab.shut_down(&sixth, Shutdown::Both)?;
    for index in [5, 127] {
        lab.select_index(&group[0], index)?;
        let served = lab.who_takes(&members(&group), 0)?;
        lab.observe(&format!("at {index}"), served);
    }
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to W's ACK", answer);
    observe_moved(lab, &group, "whose request moved", 1)
}

/// As many members as an array has room for that is not doubled any more.
const FULL: usize = 128 << 8;

fn full(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let others = FULL - 1;
    let _holders = listen_elsewhere(lab, setting, others)?;
    let leaver = lab.listen("L")?;
    let last = lab.bind_at("M", &BindSpec::usual(setting.family))?;
    lab.observe("listen, to a full group", outcome(last.listen(BACKLOG)));
    lab.close(leaver);
    lab.until_freed_but(others as i64)?;
    lab.observe("listen, when one has left", outcome(last.listen(BACKLOG)));
    Ok(())
}

fn full_of_closed(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let others = FULL - 1;
    let _holders = listen_elsewhere(lab, setting, others)?;
    let a = lab.listen("A")?;
    lab.select_index(&a, others as u32)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.shut_down(&a, Shutdown::Both)?;
    let last = lab.bind_at("M", &BindSpec::usual(setting.family))?;
    lab.observe("listen, to a full group", outcome(last.listen(BACKLOG)));
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    lab.observe("answer to W's data", answer);
    lab.observe_counters(&before)
}

/// Listeners that other processes have open, so that none needs more descriptors than users have.
fn listen_elsewhere(lab: &mut Lab, setting: Setting, count: usize) -> harness::Result<Vec<Holder>> {
    /// How many a process has.
    const EACH: usize = 2048;
    lab.unseen(&format!("{count} others listen"), |lab| {
        let counts = (0..count).step_by(EACH).map(|begun| EACH.min(count - begun));
        counts
            .map(|count| {
                let _listeners = listen_all(lab, setting, count)?;
                lab.fork_holder("a process that has others open")
            })
            .collect()
    })
}

fn members(group: &[Listener]) -> Vec<&Listener> {
    group.iter().collect()
}

/// The indices that are checked: the second, the one that was last when the array was full, and
/// the last.
fn places(size: usize, more: usize) -> [usize; 3] {
    [1, first(size) - 4, first(size) - 4 + more]
}

fn growth_must(size: usize, more: usize) -> Expectation {
    // The first has left, and the last took its place; that has left too, and the next.
    let at = |index: usize| match index {
        0 => name(first(size) - 3),
        index if index <= first(size) - 4 => name(index),
        index => name(index + 3),
    };
    let must = Expectation::new()
        .fact("whose child moved", "C")
        .fact("whose request moved at once", "V")
        .fact("answer to W's ACK", "nothing")
        .fact("answer to X's ACK", "nothing")
        .fact("whose requests moved", "W, X")
        .fact("the program's choice", at(0))
        .fact("TCPMigrateReqSuccess by the close", 1)
        .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 2)]);
    let places = places(size, more);
    places.into_iter().fold(must, |must, index| must.fact(&format!("at {index}"), at(index)))
}
