//! Handshakes in flight, by what has become of the listeners when W's segment comes: who
//! inherits, who cannot, and what the connection keeps.

use std::net::Shutdown;

use harness::lab::Lab;
use harness::segment::TcpOption;
use harness::socket::{Child, Client, Listener, Stream};
use harness::wire_client::{Draft, WireClient};

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::expectation::Expectation;
use crate::handshake::{
    NOTHING, RESET, SYN_ACK, data, observe_child, observe_fresh_syn, requested,
};
use crate::timer::FIRST;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "handshake/full-target",
        does: "W's SYN was A's; B listens, and its accept queue is full; A is closed. W sends \
               data; B accepts; W sends its data again.",
        must: "The first data is dropped, as an overflow of B's and a failed migration; the \
               request lives on, and the second completes the handshake on B.",
        source: "N-13, N-15; tcp_check_req(): listen_overflow, 55d444b310c6",
        settings: Settings::FamiliesOn,
        run: full_target,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", NOTHING)
                .fact(
                    "sockets then",
                    "C ESTABLISHED, C's child ESTABLISHED, W's request, a listener",
                )
                .fact("answer to data again", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[
                    ("ListenOverflows", 1),
                    ("ListenDrops", 1),
                    ("TCPMigrateReqFailure", 1),
                    ("TCPMigrateReqSuccess", 1),
                    ("PassiveOpens", 1),
                ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/full-target-aborts",
        does: "As handshake/full-target, with tcp_abort_on_overflow at 1; and after B has \
               accepted, somebody else begins a handshake.",
        must: "The data is answered by an RST without ACK, and the request is gone. B takes the \
               new handshake.",
        source: "N-14; tcp_check_req(): listen_overflow, embryonic_reset",
        settings: Settings::FamiliesOn,
        run: full_target_aborts,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("sockets then", "C ESTABLISHED, C's child ESTABLISHED, a listener")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[
                    ("ListenOverflows", 1),
                    ("ListenDrops", 1),
                    ("TCPMigrateReqFailure", 1),
                    ("EmbryonicRsts", 1),
                    ("OutRsts", 1),
                ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/no-target",
        does: "W's SYN was A's, the only listener, which is closed. W sends data.",
        must: "An RST without ACK; on, a failed migration is counted. Nothing is left.",
        source: "N-16; reuseport_migrate_sock(), tcp_v4_rcv(): inet_csk_reqsk_queue_drop_and_put()",
        settings: Settings::FamiliesOffAndOn,
        run: no_target,
        expect: |setting| {
            let failed = i64::from(setting.migration == Migration::On);
            Expectation::new()
                .fact("sockets after the close", "W's request")
                .fact("answer to data", RESET)
                .fact("sockets at the end", "none")
                .counters(&[("OutRsts", 1), ("TCPMigrateReqFailure", failed)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/late-target",
        does: "W's SYN was A's, the only listener, which is closed. Then B listens; W sends data.",
        must: "B founds a group of its own, and does not inherit: an RST without ACK; on, a \
               failed migration is counted.",
        source: "N-17; reuseport_alloc()",
        settings: Settings::FamiliesOffAndOn,
        run: late_target,
        expect: |setting| {
            let failed = i64::from(setting.migration == Migration::On);
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("accept(B)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[("OutRsts", 1), ("TCPMigrateReqFailure", failed)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/listens-again",
        does: "W's SYN was A's; B listens; A is shut down for reading, and listens again. W sends \
               data.",
        must: "A is a listener again, and its request never left it: the data completes the \
               handshake on A, and no migration is counted.",
        source: "N-18; reuseport_resurrect(); tcp_v4_rcv() looks at the state of A now",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        run: listens_again,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(A)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("handshakes that A has room for", "as many as a fresh listener")
                .counters(&[("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/chain",
        does: "W's SYN was A's; B and C listen; A is closed, then B. W sends data.",
        must: "Off: an RST without ACK. On: nothing moved before; the data completes the \
               handshake on C, with one migration.",
        source: "N-19; reuseport_migrate_sock()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        run: chain,
        expect: |setting| match setting.migration {
            Migration::Off => healthy("C")
                .fact("answer to data", RESET)
                .fact("accept(C)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .counters(&[("OutRsts", 1)]),
            Migration::On => healthy("C")
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(C)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/two-requests",
        does: "The SYNs of W and X were A's; B listens; A is shut down for reading. X sends its \
               ACK, then W. At the end A listens again.",
        must: "Each moves by its own ACK: B accepts X's child, then W's. Both listeners have room \
               for as many as a fresh one: no request is left on A's count, or taken off B's.",
        source: "inet_csk_complete_hashdance(): reqsk_queue_removed() on the old listener",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        run: two_requests,
        expect: |_| {
            healthy("B")
                .fact("sockets after X's ACK", "W's request, X's child ESTABLISHED, a listener")
                .fact("accepted", "X, W")
                .fact("handshakes that A has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 2)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/options",
        does: "W's SYN, which was A's, has every option; B listens; A is closed; W sends data, \
               which completes the handshake on B. A fresh client does the same on B.",
        must: "The two children are alike: segment sizes, window scales, SACK, timestamps and ECN.",
        source: "tcp_create_openreq_child(), inet_reqsk_clone()",
        settings: Settings::FamiliesOn,
        run: |lab, _| options(lab, false),
        expect: |_| alike(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/options",
        does: "As handshake/options, but W waits until the SYN+ACK timer has moved its request.",
        must: "The clone of the request has lost nothing: SYN+ACK and child are as those of a \
               fresh client.",
        source: "inet_reqsk_clone(): the copied part of the request",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        run: |lab, _| options(lab, true),
        expect: |_| alike(),
        ..Case::DEFAULT
    },
];

fn healthy(heir: &str) -> Expectation {
    Expectation::new()
        .fact(&format!("handshakes that {heir} has room for"), "as many as a fresh listener")
}

fn alike() -> Expectation {
    Expectation::new()
        .fact("timestamp of the answer", "echoed")
        .fact("clock of W's SYN+ACKs", "one")
        .fact("options of the SYN+ACKs", "alike")
        .fact("W's child, and a fresh one", "alike")
        .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
}

/// W's request is A's, and A is closed; B listens, and C's child fills its accept queue.
pub(crate) fn full(lab: &mut Lab) -> harness::Result<(WireClient, Listener, Client)> {
    let (a, w) = requested(lab)?;
    // A backlog of none has room for one.
    let b = lab.listen_with_backlog("B", 0)?;
    lab.close(a);
    let c = lab.connect("C")?;
    lab.settle()?;
    Ok((w, b, c))
}

fn full_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b, _c) = full(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_sockets("then")?;
    let _child = b.accept()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data again", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

fn full_target_aborts(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_abort_on_overflow", "1")?;
    let (mut w, b, _c) = full(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")?;
    let _child = b.accept()?;
    observe_fresh_syn(lab)
}

/// W's request is A's, and A is closed; nobody listens.
fn orphaned(lab: &mut Lab) -> harness::Result<WireClient> {
    let (a, w) = requested(lab)?;
    lab.close(a);
    Ok(w)
}

fn no_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut w = orphaned(lab)?;
    lab.observe_sockets("after the close")?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("at the end")
}

fn late_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut w = orphaned(lab)?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

fn listens_again(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = requested(lab)?;
    let b = lab.listen("B")?;
    lab.shut_down(&a, Shutdown::Read)?;
    lab.start_listening(&a, 8)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.close(b);
    observe_child(lab, &a)?;
    lab.observe_room(a)
}

/// W's request is A's; B, which has a small backlog to be filled, listens.
pub(crate) fn request_in_flight(
    lab: &mut Lab,
) -> harness::Result<(Listener, WireClient, Listener)> {
    let (a, w) = requested(lab)?;
    let b = lab.listen_with_backlog("B", 8)?;
    Ok((a, w, b))
}

fn chain(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = requested(lab)?;
    let (b, c) = (lab.listen("B")?, lab.listen_with_backlog("C", 8)?);
    lab.close(a);
    lab.close(b);
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &c)?;
    lab.observe_room(c)
}

fn two_requests(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let (mut w, mut x) = (lab.wire_client("W")?, lab.wire_client("X")?);
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.wire_syn(&mut x, &Draft::syn())?;
    let b = lab.listen_with_backlog("B", 8)?;
    lab.shut_down(&a, Shutdown::Read)?;
    let before = lab.counters()?;
    lab.wire_send(&mut x, &Draft::new(".", 1, 1))?;
    lab.observe_sockets("after X's ACK")?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe_counters(&before)?;
    let mut accepted = Vec::new();
    while let Some((whose, child)) = lab.accept_next(&b)? {
        child.reset_on_close()?;
        accepted.push(whose);
    }
    lab.observe("accepted", accepted.join(", "));
    lab.observe_room(b)?;
    lab.start_listening(&a, 8)?;
    lab.observe_room(a)
}

/// Kinds of TCP options.
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

/// W's clock at its data.
const LATER: u32 = 1001;

fn syn_with_options() -> Draft {
    let timestamps = [1000_u32.to_be_bytes(), [0; 4]].concat();
    Draft::syn()
        .asking_for_ecn()
        .option(SACK_PERMITTED, &[])
        .option(TIMESTAMPS, &timestamps)
        .option(WINDOW_SCALE, &[5])
}

fn options(lab: &mut Lab, by_timer: bool) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &syn_with_options())?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    if by_timer {
        lab.until_syn_acks(&w, 2, FIRST)?;
    }
    let child = finish(lab, &mut w, &b)?;
    lab.observe_counters(&before)?;
    let answer = lab.trace().segments().last().map(|segment| segment.options.clone());
    let is_echo = |option: &TcpOption| matches!(option, TcpOption::Timestamps(_, LATER));
    let echoed = answer.is_some_and(|options| options.iter().any(is_echo));
    lab.observe("timestamp of the answer", if echoed { "echoed" } else { "not echoed" });
    // Each connection's clock begins at random; the copy goes on with the same.
    let times = times_of_syn_acks(lab, &w);
    let goes_on = times.windows(2).all(|two| two[1].wrapping_sub(two[0]) < 1 << 20);
    lab.observe("clock of W's SYN+ACKs", if goes_on { "one" } else { "several" });
    let mut fresh = lab.wire_client("fresh")?;
    lab.wire_syn(&mut fresh, &syn_with_options())?;
    let usual = finish(lab, &mut fresh, &b)?;
    observe_syn_acks(lab);
    let endowed = |child: &Child| -> harness::Result<String> {
        Ok(format!("{}, sends {}", child.endowment()?, child.segment_size()?))
    };
    let (own, usual) = (endowed(&child)?, endowed(&usual)?);
    let compared = if own == usual { "alike".to_owned() } else { format!("{own}; {usual}") };
    lab.observe("W's child, and a fresh one", compared);
    Ok(())
}

/// Completes a handshake with data, and accepts the child. It resets on close.
fn finish(lab: &mut Lab, w: &mut WireClient, b: &Listener) -> harness::Result<Child> {
    // The first that it got: what it echoes must be as good as the last.
    let echo = times_of_syn_acks(lab, w).first().copied().unwrap_or(0);
    let timestamps = [LATER.to_be_bytes(), echo.to_be_bytes()].concat();
    lab.wire_send(w, &data().option(TIMESTAMPS, &timestamps))?;
    let child = b.accept()?;
    child.reset_on_close()?;
    Ok(child)
}

/// The timestamps of the SYN+ACKs to `w`.
fn times_of_syn_acks(lab: &mut Lab, w: &WireClient) -> Vec<u32> {
    let local = std::net::SocketAddr::new(w.local.ip().to_canonical(), w.local.port());
    let time = |option: &TcpOption| match option {
        TcpOption::Timestamps(time, _) => Some(*time),
        _ => None,
    };
    let syn_acks =
        lab.trace().segments().filter(|s| s.to == local && s.flags.syn() && s.flags.ack());
    syn_acks.filter_map(|s| s.options.iter().find_map(time)).collect()
}

/// Observes whether all SYN+ACKs have the same options; the server's clock aside.
fn observe_syn_acks(lab: &mut Lab) {
    let syn_acks = lab.trace().segments().filter(|s| s.flags.syn() && s.flags.ack());
    let mut shown: Vec<String> = syn_acks
        .map(|s| {
            let timeless = s.options.iter().map(|option| match option {
                TcpOption::Timestamps(_, echo) => format!("TS ecr {echo}"),
                option => option.to_string(),
            });
            format!("win {} <{}>", s.window, timeless.collect::<Vec<_>>().join(","))
        })
        .collect();
    shown.dedup();
    let compared = if shown.len() == 1 { "alike".to_owned() } else { shown.join("; ") };
    lab.observe("options of the SYN+ACKs", compared);
}
