//! What programs choose: for new connections, by selections that fail, and for every packet
//! of a request.

use std::os::fd::{AsFd, BorrowedFd};

use harness::bpf::Condition::{Migrating, Selected};
use harness::bpf::{
    Attach, Counts, DROP, Index, PASS, Program, SockArray, Statement, select, store_result, when,
};
use harness::lab::Lab;
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::Draft;
use harness::socket::{Listener, Stream};
use harness::{Context, Family};

use crate::case::{Case, Need, Setting, Settings};
use crate::cases::ebpf::connected_member::connected_member;
use crate::cases::ebpf::path::{Path, begin, end, go_on};
use crate::cases::ebpf::runs::{Runs, observe_accepted_by};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{data, observe_child};
use crate::steps::target::{CHILDREN, FIRST_PORT, by_the_hash, moved, observe_moved};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/choice/pass-is-the-hash",
        does: "As accept-queue/target, with the sysctl at 0 and a program that always passes.",
        must: "As accept-queue/target: each child goes to the listener that gets a new connection \
               with the same four-tuple.",
        source: "reuseport_select_sock_by_hash()",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
            let spec = BindSpec::usual(setting.family);
            let moved =
                moved(lab, &spec, CHILDREN, |lab, targets| lab.attach(&targets[0], &program))?;
            observe_moved(lab, &moved)
        },
        expect: |_| by_the_hash(),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/all-in-order",
        does: "Children of six clients wait in A's queue; B, C and D listen; when migrating, a \
               program selects index 2; A is closed.",
        must: "C has all six, in their order.",
        source: "inet_csk_listen_stop()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: all_in_order,
        expect: |_| {
            Expectation::new()
                .fact("accepted by", "C, C, C, C, C, C")
                .fact("received", "`C1`, `C2`, `C3`, `C4`, `C5`, `C6`")
                .counters(&[("TCPMigrateReqSuccess", 6)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/syn",
        does: "A, B and C listen; a program selects index 1 for everything. Eight clients come; \
               then index 1 is emptied, and four come.",
        must: "B has the first eight. Nothing is selected for the other four: the hash gives each \
               to a member of the group.",
        source: "reuseport_select_sock(), sk_select_reuseport(): -ENOENT",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: choose_for_syns,
        expect: |_| {
            Expectation::new()
                .fact("clients given to B", 8)
                .fact("clients served without a selection", 4)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/refuse-syn",
        does: "A listens; a program drops everything. W sends a SYN; C connects. Then the program \
               is detached.",
        must: "A SYN that is dropped is refused, not ignored: an RST acknowledges it, and connect \
               fails with ECONNREFUSED. Afterwards A serves a client.",
        source: "inet_lookup_reuseport(), ERR_PTR(-ECONNREFUSED); tcp_v4_rcv(): no_tcp_socket",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[(
            "W",
            "
                W > S  S 0:0(0)
                S > W  R. 0:0(0) ack 1
                ...
            ",
        )]),
        run: refuse_syn,
        expect: |_| {
            Expectation::new()
                .fact("answer to the SYN", "S > W  R. 0:0(0) ack 1")
                .fact("connect(C)", "ECONNREFUSED")
                .fact("A serves a fresh client", "yes")
                .counters(&[("OutRsts", 2), ("AttemptFails", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/errors",
        does: "Whenever it runs, a program selects an empty index, a listener of another address, \
               one of another family, and a UDP socket; records the result of each; and passes. A \
               has W's request; B listens; A is closed; W sends its ACK with data.",
        must: "ENOENT, EBADFD, EAFNOSUPPORT and EPROTOTYPE, and the hash chooses among A's own \
               group: B.",
        source: "sk_select_reuseport(), reuseport_id",
        settings: Settings::Families,
        needs: &[Need::Programs, Need::Ipv6],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: failing_selections,
        expect: |_| {
            Expectation::new()
                .fact("of an empty place", "ENOENT")
                .fact("of another address", "EBADFD")
                .fact("of another family", "EAFNOSUPPORT")
                .fact("of a UDP socket", "EPROTOTYPE")
                .fact("runs", "new 1, by segment 1")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/last-selection",
        does: "A has W's request; B, C and D listen; A is closed; W sends its ACK with data. When \
               migrating, a program selects D's index, C's, and an empty one; and passes.",
        must: "The last selection that succeeded counts: C accepts W's connection.",
        source: "sk_select_reuseport(): selected_sk",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            let group = SockArray::new(5)?;
            let selections = [3, 2, 4].map(|index| when(Selected(&group, Index::At(index)), []));
            select_and_end(lab, Path::FinalAck, &group, selections, PASS)
        },
        expect: |_| {
            Expectation::new()
                .fact("accepted by", "C")
                .fact("received", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/other-result",
        does: "W's child waits in A's queue; B, C and D listen; A is closed. When migrating, a \
               program selects C's index, and returns 2, which is neither SK_PASS nor SK_DROP.",
        must: "What is not SK_PASS is a drop: the child is reset, and a failed migration counted.",
        source: "bpf_run_sk_reuseport(): action == SK_PASS",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            let group = SockArray::new(5)?;
            let selection = [when(Selected(&group, Index::At(2)), [])];
            select_and_end(lab, Path::Close, &group, selection, Statement::End(2))
        },
        expect: |_| {
            Expectation::new().fact("accepted by", "none").fact("received", "none").counters(&[
                ("TCPMigrateReqFailure", 1),
                ("EstabResets", 1),
                ("OutRsts", 1),
            ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/every-packet",
        does: "A has W's request; B listens; A is closed. W sends its SYN again, an ACK of a \
               number that was never sent, an ACK from beyond the window, and its data.",
        must: "The program is asked for each of the four segments, and one migration is counted: \
               the request stays A's until there is a child.",
        source: "tcp_v4_rcv(), tcp_v6_rcv(): reuseport_migrate_sock() for every segment",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: every_packet,
        expect: |_| {
            Expectation::new()
                .fact("runs after the close", "new 1")
                .fact("runs", "new 1, by segment 4")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/choice/sockmap",
        does: "A program selects from a sockmap, which has C's child, that A has accepted, and D, a \
               connected socket with a group of its own; a client comes. B, a member, takes the child's \
               place; another comes.",
        must: "EINVAL for a child, which is in no group, and EBADFD for a socket of another group: no \
               reference to them is kept, and the hash chooses. A member can be selected from any map \
               of sockets.",
        source: "sk_select_reuseport(): sk_is_refcounted(), not is_sockarray",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: sockmap,
        expect: |_| {
            Expectation::new()
                .fact("selecting a child", "EINVAL")
                .fact("selecting a member of another group", "EBADFD")
                .fact("who serves then", "A or B")
                .fact("who serves now", "B")
        },
        ..Case::DEFAULT
    },
];

fn all_in_order(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let group = SockArray::new(4)?;
    let statements = [when(Migrating, [select(&group, 2)]), PASS];
    let program = Program::load(Attach::SelectOrMigrate, &statements)?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let mut clients = Vec::new();
    for name in ["C1", "C2", "C3", "C4", "C5", "C6"] {
        let client = lab.connect(name)?;
        client.reset_on_close()?;
        client.send(name.as_bytes())?;
        lab.until_wire(&format!("S > {name}  . 1:1(0) ack 3"))?;
        clients.push(client);
    }
    let [b, c, d] = [lab.listen("B")?, lab.listen("C")?, lab.listen("D")?];
    lab.fill_array(&group, &[&a, &b, &c, &d])?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe_counters(&before)?;
    observe_accepted_by(lab, &[&b, &c, &d])
}

fn choose_for_syns(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let group = SockArray::new(3)?;
    let program = Program::load(Attach::SelectOrMigrate, &[select(&group, 1), PASS])?;
    let listeners = [lab.listen("A")?, lab.listen("B")?, lab.listen("C")?];
    let all: Vec<&Listener> = listeners.iter().collect();
    lab.fill_array(&group, &all)?;
    lab.attach(&listeners[0], &program)?;
    let mut to_b = 0_i64;
    for _ in 0..8 {
        to_b += i64::from(lab.who_takes(&all, 0)? == "B");
    }
    lab.observe("clients given to B", to_b);
    lab.remove_from_array(&group, 1)?;
    let mut served = 0_i64;
    for _ in 0..4 {
        lab.who_takes(&all, 0)?;
        served += 1;
    }
    lab.observe("clients served without a selection", served);
    Ok(())
}

fn refuse_syn(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let program = Program::load(Attach::SelectOrMigrate, &[DROP])?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let before = lab.counters()?;
    let mut w = lab.wire_client("W")?;
    let answer = lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe("answer to the SYN", answer);
    let refused = match lab.connect("C") {
        Ok(_) => "ok".to_owned(),
        Err(harness::Error::Tested { source, .. }) => harness::errno_name(&source),
        Err(e) => return Err(e),
    };
    lab.observe("connect(C)", refused);
    lab.observe_counters(&before)?;
    lab.select_by_hash(&a)?;
    lab.observe_service(&a)
}

/// A ends with W's connection. When it migrates, a program makes the selections among A, B,
/// C and D, and ends.
fn select_and_end<'m>(
    lab: &mut Lab,
    path: Path,
    group: &'m SockArray,
    selections: impl IntoIterator<Item = Statement<'m>>,
    result: Statement<'m>,
) -> harness::Result<()> {
    let migrating = when(Migrating, selections.into_iter().chain([result]));
    let program = Program::load(Attach::SelectOrMigrate, &[migrating, PASS])?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let mut w = begin(lab, path)?;
    let [b, c, d] = [lab.listen("B")?, lab.listen("C")?, lab.listen("D")?];
    lab.fill_array(group, &[&a, &b, &c, &d])?;
    let before = lab.counters()?;
    end(lab, a, path)?;
    go_on(lab, &mut w, path)?;
    lab.observe_counters(&before)?;
    observe_accepted_by(lab, &[&b, &c, &d])
}

fn sockmap(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (sockets, results) = (SockArray::of_any_sockets(2)?, Counts::new(2)?);
    let select = |index| when(Selected(&sockets, Index::At(index)), [PASS]);
    let statements =
        [select(0), store_result(&results, 0), select(1), store_result(&results, 1), PASS];
    let program = Program::load(Attach::SelectOrMigrate, &statements)?;
    let put = |index, socket: BorrowedFd<'_>| {
        let call = || format!("bpf(BPF_MAP_UPDATE_ELEM, a sockmap, {index})");
        sockets.put_unrecorded(index, socket).tested(call)
    };
    let a = lab.listen("A")?;
    let _client = lab.connect("C")?;
    let child = a.accept()?;
    put(0, child.as_fd())?;
    let d = connected_member(lab)?;
    put(1, d.as_fd())?;
    let b = lab.listen("B")?;
    lab.attach(&a, &program)?;
    // D's child is A's, too.
    drop(a.accept()?);
    let served = lab.who_takes(&[&a, &b], FIRST_PORT)?;
    lab.observe("selecting a child", errno(results.get(0)?));
    lab.observe("selecting a member of another group", errno(results.get(1)?));
    let one_of_them = served == a.name() || served == b.name();
    lab.observe("who serves then", if one_of_them { "A or B" } else { "nobody" });
    put(0, b.as_fd())?;
    let served = lab.who_takes(&[&a, &b], FIRST_PORT + 1)?;
    lab.observe("who serves now", served);
    Ok(())
}

/// The index of each selection that fails, and what it is called.
const FAILING: [&str; 4] = ["an empty place", "another address", "another family", "a UDP socket"];

fn failing_selections(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let (group, results, runs) = (SockArray::new(4)?, Counts::new(4)?, Runs::new()?);
    let mut statements = runs.counted();
    for index in 0..4 {
        statements.push(when(Selected(&group, Index::At(index)), []));
        statements.push(store_result(&results, index));
    }
    statements.push(PASS);
    let program = Program::load(Attach::SelectOrMigrate, &statements)?;
    let other = if setting.family == Family::V4 { Family::V6 } else { Family::V4 };
    let neighbour = lab.listen_at("N", &BindSpec::neighbour(setting.family))?;
    let stranger = lab.listen_at("X", &BindSpec::any(other).v6_only())?;
    let udp = lab.udp("U")?;
    lab.put_in_array(&group, 1, &neighbour)?;
    lab.put_in_array(&group, 2, &stranger)?;
    group.put(3, &udp).map_err(|source| harness::Error::Tested {
        call: "bpf(BPF_MAP_UPDATE_ELEM, the register, 3, a UDP socket)".into(),
        source,
    })?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let mut w = begin(lab, Path::FinalAck)?;
    let b = lab.listen("B")?;
    lab.close(a);
    lab.wire_send(&mut w, &data())?;
    for (index, what) in (0..).zip(FAILING) {
        lab.observe(&format!("of {what}"), errno(results.get(index)?));
    }
    lab.observe("runs", runs.shown()?);
    observe_child(lab, &b)
}

fn every_packet(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let runs = Runs::new()?;
    let program = Program::load(Attach::SelectOrMigrate, &runs.counted())?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let mut w = begin(lab, Path::FinalAck)?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe("runs after the close", runs.shown()?);
    let beyond = Draft::new(".", 1 << 30, 1);
    for draft in [Draft::syn(), Draft::new(".", 1, 5), beyond, data()] {
        lab.wire_send(&mut w, &draft)?;
    }
    lab.observe("runs", runs.shown()?);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)
}

/// What a helper returned: `ok`, or the errno below zero.
fn errno(result: i64) -> String {
    match result {
        0 => "ok".to_owned(),
        _ => harness::errno_name(&std::io::Error::from_raw_os_error(-result as i32)),
    }
}
