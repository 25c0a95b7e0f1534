//! Memory: after hundreds of migrations nothing is kept of what was closed.

use std::net::Shutdown;
use std::time::Duration;

use harness::bpf::{Attach, PASS, Program, detach, select_index};
use harness::gate::{GateKind, Whose};
use harness::lab::{HELD, Lab};
use harness::process::limits::use_every_descriptor;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{BACKLOG, Child, Client, Listener, Stream};
use harness::{Context, net::witness, wait};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::fast_open::FAST_OPEN;
use crate::steps::syn_ack_timer::FIRST;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "accounting/freed/groups",
        does: "300 times: A and B listen; A is shut down, and listens again; both are shut \
               down; A listens again, then B; both are closed.",
        must: "Every group is freed with its last member: the one that both had left, the one that \
               A started, and the one that B left for A's.",
        source: "reuseport_detach_sock(), reuseport_resurrect(), __reuseport_detach_closed_sock()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| often(lab, groups),
        expect: |_| nothing_is_kept(0, 0),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/accept-queue",
        does: "300 children wait in A's queue; B listens; A is closed, then B.",
        must: "All move to B, and are reset by its close. All children and listeners are freed.",
        source: "inet_csk_listen_stop(), inet_reqsk_clone(), inet_child_forget()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| often(lab, accept_queue),
        expect: |_| nothing_is_kept(TIMES, TIMES),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/by-program",
        does: "As accounting/freed/accept-queue, with a program that passes.",
        must: "As accounting/freed/accept-queue; and the empty packets that the program was shown \
               are all freed.",
        source: "reuseport_migrate_sock(): alloc_skb(), kfree_skb()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine, Need::Programs],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| {
            often(lab, |lab, times| {
                let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
                accept_queue_of(lab, times, |a| {
                    program.attach(a).tested(|| "setsockopt(A, SO_ATTACH_REUSEPORT_EBPF)".into())
                })
            })
        },
        expect: |_| nothing_is_kept(TIMES, TIMES),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/classic-programs",
        does: "300 times: a classic program is attached to A, replaced by another, detached, and \
               attached again; a socket that cannot be in a group refuses one; A is closed.",
        must: "Every program is freed: those that were replaced, detached or refused, and A's \
               last.",
        source: "reuseport_attach_prog(), reuseport_detach_prog(), sk_reuseport_attach_filter(), \
                 sk_reuseport_prog_free()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| often(lab, classic_programs),
        expect: |_| nothing_is_kept(0, 0),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/final-ack",
        does: "300 handshakes are in flight to A behind a gate, and their clients have \
               sent data; B listens; the gate opens, and A is closed; when all children wait, B is \
               closed.",
        must: "All move to B, by their data, and are reset by its close. All requests, children \
               and listeners are freed.",
        source: "inet_csk_complete_hashdance(), reqsk_put()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine, Need::Gate],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| often(lab, final_ack),
        expect: |_| nothing_is_kept(TIMES, TIMES),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/timer",
        does: "300 handshakes are in flight to A behind a gate; B listens; A is closed; \
               when the SYN+ACK timer has moved all, their clients reset them; B is closed.",
        must: "All move to B, as clones. All requests, clones and listeners are freed.",
        source: "reqsk_timer_handler(), inet_reqsk_clone()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine, Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| often(lab, timer),
        expect: |_| nothing_is_kept(TIMES, 0),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/fast-open",
        does: "300 Fast Open children wait in A's queue, their handshakes unfinished behind \
               a gate; B listens; A is closed, then B.",
        must: "All move to B, with clones of their requests, and are reset by its close. All \
               children, requests, clones and listeners are freed.",
        source: "inet_csk_listen_stop(), inet_reqsk_clone(), reqsk_fastopen_remove()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine, Need::Gate],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| {
            lab.sysctl(FAST_OPEN.0, FAST_OPEN_AT_BOTH_ENDS)?;
            often(lab, fast_open)
        },
        expect: |_| nothing_is_kept(TIMES, TIMES),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/freed/fast-open-resets",
        does: "300 Fast Open children are accepted from A, their handshakes unfinished behind a \
               gate; their clients reset them; A is closed.",
        must: "A has kept a request for each of them, as a defence against forged addresses. All \
               are freed with A, and so are the children.",
        source: "reqsk_fastopen_remove(), inet_csk_listen_stop(): rskq_rst_head",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine, Need::Gate],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: |lab, _| {
            lab.sysctl(FAST_OPEN.0, FAST_OPEN_AT_BOTH_ENDS)?;
            often(lab, fast_open_resets)
        },
        expect: |_| nothing_is_kept(0, 0),
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/orphans",
        does: "There is an orphan. 20 children wait in A's queue; A is closed, the only listener. \
               B listens; three clients come that never acknowledge a FIN; B's children are \
               closed; then the clients reset.",
        must: "Children without a target do not count as orphans once they are reset: three more \
               are counted while the three clients keep silent, and none in the end.",
        source: "inet_child_forget(): tcp_orphan_count_inc(); inet_csk_destroy_sock()",
        settings: Settings::FamiliesOn,
        needs: &[Need::OwnMachine],
        wire: WireRule::Shows(&[
            (
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  . 1:1(0) ack 1
                S > W  F. 1:1(0) ack 1
                W > S  R 1:1(0)
                ...
            ",
            ),
            (
                "X",
                "
                X > S  S 0:0(0)
                S > X  S. 0:0(0) ack 1
                X > S  . 1:1(0) ack 1
                S > X  F. 1:1(0) ack 1
                X > S  R 1:1(0)
                ...
            ",
            ),
            (
                "Y",
                "
                Y > S  S 0:0(0)
                S > Y  S. 0:0(0) ack 1
                Y > S  . 1:1(0) ack 1
                S > Y  F. 1:1(0) ack 1
                Y > S  R 1:1(0)
                ...
            ",
            ),
        ]),
        run: orphans,
        expect: |_| {
            Expectation::new().fact("orphans of silent clients", 3).fact("orphans in the end", 0)
        },
        ..Case::DEFAULT
    },
];

/// How often everything is done: often enough to distinguish what is lost each time from what a
/// kernel allocates for reasons of its own.
const TIMES: usize = 300;

/// How often before memory is first read: what is allocated only once has been by then.
const AT_FIRST: usize = 50;

/// [`FAST_OPEN`], and TFO_CLIENT_ENABLE and TFO_CLIENT_NO_COOKIE.
const FAST_OPEN_AT_BOTH_ENDS: &str = "519";

/// Without cookies, a listener takes no more handshakes than three quarters of this, whatever
/// its backlog.
const HANDSHAKES: (&str, &str) = ("net.ipv4.tcp_max_syn_backlog", "4096");

fn nothing_is_kept(moved: usize, failed: usize) -> Expectation {
    Expectation::new()
        .fact("migrations", moved as i64)
        .fact("failed migrations", failed as i64)
        .fact(HELD, "none")
}

fn often(lab: &mut Lab, way: fn(&mut Lab, usize) -> harness::Result<()>) -> harness::Result<()> {
    use_every_descriptor()?;
    lab.sysctl(HANDSHAKES.0, HANDSHAKES.1)?;
    lab.unseen(&format!("{AT_FIRST} times"), |lab| way(lab, AT_FIRST))?;
    let (held, before) = (lab.held()?, lab.counters()?);
    lab.unseen(&format!("{TIMES} times"), |lab| way(lab, TIMES))?;
    let now = lab.counters()?;
    for (fact, counter) in
        [("migrations", "TCPMigrateReqSuccess"), ("failed migrations", "TCPMigrateReqFailure")]
    {
        lab.observe(fact, now.grown(&before, counter).unwrap_or(-1));
    }
    lab.observe_held(&held, TIMES)
}

fn groups(lab: &mut Lab, times: usize) -> harness::Result<()> {
    for _ in 0..times {
        let (a, b) = (listen(lab, BACKLOG)?, listen(lab, BACKLOG)?);
        shut_down(&a)?;
        listen_again(&a)?;
        [&a, &b].into_iter().try_for_each(shut_down)?;
        [&a, &b].into_iter().try_for_each(listen_again)?;
    }
    Ok(())
}

fn accept_queue(lab: &mut Lab, times: usize) -> harness::Result<()> {
    accept_queue_of(lab, times, |_| Ok(()))
}

fn accept_queue_of(
    lab: &mut Lab,
    times: usize,
    prepare: impl FnOnce(&Listener) -> harness::Result<()>,
) -> harness::Result<()> {
    let a = listen(lab, times as i32)?;
    prepare(&a)?;
    let _clients = clients(lab, times)?;
    until_waiting(&a, times)?;
    let b = listen(lab, times as i32)?;
    drop(a);
    until_waiting(&b, times)
}

fn classic_programs(lab: &mut Lab, times: usize) -> harness::Result<()> {
    let groupless = lab.socket("a socket without the option")?;
    for _ in 0..times {
        let a = listen(lab, BACKLOG)?;
        for index in [0, 1] {
            select_index(&a, index).tested(|| "setsockopt(A, SO_ATTACH_REUSEPORT_CBPF)".into())?;
        }
        detach(&a).tested(|| "setsockopt(A, SO_DETACH_REUSEPORT_BPF)".into())?;
        select_index(&a, 0).tested(|| "setsockopt(A, SO_ATTACH_REUSEPORT_CBPF)".into())?;
        if select_index(&groupless, 0).is_ok() {
            lab.observe("a program at a socket without the option", "ok");
        }
    }
    Ok(())
}

fn final_ack(lab: &mut Lab, times: usize) -> harness::Result<()> {
    let a = listen(lab, times as i32)?;
    let gate = lab.close_gate(&a, Whose::Everyone)?;
    let clients = clients(lab, times)?;
    until_in_flight(lab, times)?;
    clients.iter().try_for_each(|client| client.send(b"?"))?;
    let b = listen(lab, times as i32)?;
    // A filter would end with its listener.
    gate.open()?;
    drop(a);
    until_waiting(&b, times)
}

fn timer(lab: &mut Lab, times: usize) -> harness::Result<()> {
    let a = listen(lab, times as i32)?;
    let mut gate = lab.close_gate(&a, Whose::Everyone)?;
    let clients = clients(lab, times)?;
    until_in_flight(lab, times)?;
    let before = lab.counters()?;
    let b = listen(lab, times as i32)?;
    // Of a filter's gate, each listener needs one.
    let of_b = (gate.kind() == GateKind::Filter).then(|| lab.close_gate(&b, Whose::Everyone));
    let _of_b = of_b.transpose()?;
    lab.close_gated(a, &mut gate)?;
    wait::until_within(FIRST + wait::deadline(), "the timer to move every request", || {
        let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(0);
        Ok((moved >= times as i64).then_some(()))
    })?;
    drop(clients);
    until_in_flight(lab, 0)
}

fn fast_open(lab: &mut Lab, times: usize) -> harness::Result<()> {
    let (family, server) = (lab.family(), lab.family().server());
    let start = |_| Client::start_with_data(family, server, b"?");
    let a = listen(lab, times as i32)?;
    a.fast_open(times as i32).tested(|| "setsockopt(A, TCP_FASTOPEN)".into())?;
    let mut gate = lab.close_gate(&a, Whose::Everyone)?;
    let _clients = (0..times).map(start).collect::<harness::Result<Vec<Client>>>()?;
    until_waiting(&a, times)?;
    let b = listen(lab, times as i32)?;
    b.fast_open(times as i32).tested(|| "setsockopt(B, TCP_FASTOPEN)".into())?;
    lab.close_gated(a, &mut gate)?;
    until_waiting(&b, times)
}

fn fast_open_resets(lab: &mut Lab, times: usize) -> harness::Result<()> {
    let (family, server) = (lab.family(), lab.family().server());
    let start = |_| Client::start_with_data(family, server, b"?");
    let a = listen(lab, times as i32)?;
    a.fast_open(times as i32).tested(|| "setsockopt(A, TCP_FASTOPEN)".into())?;
    let gate = lab.close_gate(&a, Whose::Everyone)?;
    let clients = (0..times).map(start).collect::<harness::Result<Vec<Client>>>()?;
    until_waiting(&a, times)?;
    let accept = |_| a.accept();
    let children = (0..times).map(accept).collect::<harness::Result<Vec<Child>>>()?;
    until_in_flight(lab, times)?;
    drop(clients);
    until_in_flight(lab, 0)?;
    gate.open()?;
    drop(children);
    drop(a);
    Ok(())
}

fn orphans(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    wait::until("orphans of others to end", || Ok((witness::orphans()? == 0).then_some(())))?;
    let before = until_orphans_count(lab)?;
    let already = witness::orphans()?;
    let a = listen(lab, BACKLOG)?;
    let refused = clients(lab, 20)?;
    until_waiting(&a, 20)?;
    lab.close(a);
    drop(refused);
    let b = lab.listen("B")?;
    let silent = ["W", "X", "Y"].map(|name| orphan(lab, &b, name));
    lab.observe("orphans of silent clients", witness::orphans()? - already);
    for client in silent {
        reset(lab, client?)?;
    }
    lab.observe("orphans in the end", witness::orphans()? - already);
    before.into_iter().try_for_each(|client| reset(lab, client))
}

/// Makes orphans until the kernel counts one. It shows no number below 0, and other cases may
/// have left the count of the whole machine there: it would be unsteady how many of these count.
fn until_orphans_count(lab: &mut Lab) -> harness::Result<Vec<WireClient>> {
    let listener = lab.listen("a listener")?;
    let mut clients = Vec::new();
    while witness::orphans()? < 1 {
        if clients.len() == MOST_BELOW_ZERO {
            let what = format!("one of {MOST_BELOW_ZERO} orphans to be counted");
            return Err(harness::Error::NeverHappened {
                what,
                waited: Duration::ZERO,
                shortened: false,
            });
        }
        let name = format!("V{}", clients.len());
        clients.push(orphan(lab, &listener, &name)?);
    }
    Ok(clients)
}

/// How far below 0 the count of orphans is looked for.
const MOST_BELOW_ZERO: usize = 100;

/// A client whose connection was accepted and closed, and that does not acknowledge the FIN.
fn orphan(lab: &mut Lab, listener: &Listener, name: &str) -> harness::Result<WireClient> {
    let mut client = lab.wire_client_to_be_finished(name)?;
    lab.wire_syn(&mut client, &Draft::syn())?;
    lab.wire_send(&mut client, &Draft::new(".", 1, 1))?;
    drop(listener.accept_now()?);
    Ok(client)
}

fn reset(lab: &mut Lab, mut client: WireClient) -> harness::Result<()> {
    lab.wire_send(&mut client, &Draft::new("R", 1, 0)).map(drop)
}

/// A listener that the trace says nothing of.
fn listen(lab: &Lab, backlog: i32) -> harness::Result<Listener> {
    let listener = lab.socket("a listener")?;
    listener.reuse_port().tested(|| "setsockopt(SO_REUSEPORT)".into())?;
    listener.bind().tested(|| "bind()".into())?;
    listener.listen(backlog).tested(|| "listen()".into())?;
    Ok(listener)
}

fn listen_again(listener: &Listener) -> harness::Result<()> {
    listener.listen(BACKLOG).tested(|| "listen(), again".into())
}

fn shut_down(listener: &Listener) -> harness::Result<()> {
    listener.shutdown(Shutdown::Both).tested(|| "shutdown(SHUT_RDWR)".into())
}

fn clients(lab: &Lab, count: usize) -> harness::Result<Vec<Client>> {
    let (family, server) = (lab.family(), lab.family().server());
    (0..count).map(|_| Client::start(family, server)).collect()
}

fn until_waiting(listener: &Listener, children: usize) -> harness::Result<()> {
    wait::until(&format!("{children} children to wait"), || {
        Ok((listener.queue()?.waiting as usize == children).then_some(()))
    })
}

fn until_in_flight(lab: &Lab, handshakes: usize) -> harness::Result<()> {
    wait::until(&format!("{handshakes} handshakes in flight"), || {
        Ok((lab.requests()? == handshakes as i64).then_some(()))
    })
}
