//! To which listeners a program can be attached, and when a group loses it.

use std::net::Shutdown;

use harness::Context;
use harness::bpf::{Attach, PASS, Program, detach, lock_filters, select_index};
use harness::lab::{Lab, outcome};
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::Draft;
use harness::socket::{BACKLOG, Listener};

use crate::case::{Case, Need, Setting, Settings};
use crate::cases::ebpf::path::{Path, begin, end};
use crate::cases::ebpf::runs::{Runs, observe_accepted_by};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::{datagram, wires};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/attach/locked",
        does: "A has SO_LOCK_FILTER. A program is attached to it, and a classic one; then both to \
               B, of the same group.",
        must: "A refuses both with EPERM. The lock belongs to the socket, not to the group: B \
               accepts them.",
        source: "sk_reuseport_attach_bpf(): SOCK_FILTER_LOCKED",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: locked,
        expect: |_| {
            Expectation::new()
                .fact("to A", "EPERM")
                .fact("a classic one to A", "EPERM")
                .fact("to B", "ok")
                .fact("a classic one to B", "ok")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/attach/shut-down-member",
        does: "A has W's request; B listens; A is shut down, and a program is attached to A; W \
               sends a bare ACK.",
        must: "A is split off into a group of its own, where it is the only choice: the ACK makes \
               a child of A, which no longer listens, and is answered by an RST that acknowledges \
               it. No migration is counted.",
        source: "reuseport_attach_prog(), reuseport_alloc(), reuseport_resurrect()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[wires::W_CONNECTS]),
        run: attach_to_shut_down,
        expect: |_| {
            Expectation::new()
                .fact("answer to the ACK", "S > W  R. 1:1(0) ack 1")
                .fact("sockets then", "a listener")
                .fact("accepted by", "none")
                .fact("received", "none")
                // It was never established.
                .counters(&[("PassiveOpens", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/attach/lone-member",
        does: "A is alone, with a program that counts its runs; A is shut down and listens again; \
               a client comes.",
        must: "A starts a new group, and the program is lost, whatever the sysctl.",
        source: "inet_csk_listen_start(), reuseport_resurrect(): no program is carried over",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| listening_again(lab, false),
        expect: |_| lost_must(true),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/attach/member-of-two",
        does: "As ebpf/attach/lone-member, but B listens too.",
        must: "The group stays with B and keeps its program, and A joins it again.",
        source: "reuseport_resurrect(): the group of another listener",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| listening_again(lab, true),
        expect: |_| lost_must(false),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/attach/without-the-option",
        does: "A program, and a classic one, is attached to a socket without SO_REUSEPORT, before \
               it listens and after.",
        must: "EINVAL each time, and no program is kept.",
        source: "reuseport_attach_prog(): sk_unhashed() and sk_reuseport, sk_reuseport_cb; \
                 sk_reuseport_attach_bpf(): bpf_prog_put() on errors",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: without_the_option,
        expect: |_| {
            Expectation::new()
                .fact("before listening", "EINVAL, classic EINVAL")
                .fact("listening", "EINVAL, classic EINVAL")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/attach/before-listening",
        does: "A is bound, gets a program, and listens; B is bound, gets another, and listens; C \
               is bound and listens; a client comes; B is closed.",
        must: "A socket that gets a program before it listens starts a group. C joins A's, whose \
               program runs. B has a group and so cannot join another: EADDRINUSE; B's program is \
               freed with B.",
        source: "reuseport_attach_prog(), reuseport_alloc(); inet_csk_bind_conflict(): \
                 reuseport_cb_ok; reuseport_free_rcu()",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: attached_before_listening,
        expect: |_| {
            Expectation::new()
                .fact("listen(A)", "ok")
                .fact("listen(B)", "EADDRINUSE")
                .fact("listen(C)", "ok")
                .fact("A's program", "new 1")
                .fact("B's program", "none")
                .fact("detaching", "ok")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/attach/datagrams",
        does: "A program that counts its runs is attached to a UDP socket with SO_REUSEPORT; a \
               datagram comes.",
        must: "Such programs choose among UDP sockets, too: it runs, and the datagram arrives.",
        source: "sk_reuseport_attach_bpf(): SOCK_DGRAM, IPPROTO_UDP",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: datagrams,
        expect: |_| {
            Expectation::new()
                .fact("attaching", "ok")
                .fact("datagrams that came", 1)
                .fact("runs", "new 1")
        },
        ..Case::DEFAULT
    },
];

fn locked(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let [a, b] = [lab.listen("A")?, lab.listen("B")?];
    let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
    lock_filters(&a).tested(|| "setsockopt(A, SO_LOCK_FILTER, 1)".into())?;
    for listener in [&a, &b] {
        let name = listener.name();
        lab.observe(&format!("to {name}"), outcome(program.attach(listener)));
        let classic = outcome(select_index(listener, 0));
        lab.observe(&format!("a classic one to {name}"), classic);
    }
    Ok(())
}

fn attach_to_shut_down(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
    let a = lab.listen("A")?;
    let mut w = begin(lab, Path::FinalAckShutdown)?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let a = end(lab, a, Path::FinalAckShutdown)?;
    if let Some(a) = &a {
        lab.attach(a, &program)?;
    }
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the ACK", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")?;
    observe_accepted_by(lab, &[&b])
}

fn listening_again(lab: &mut Lab, another: bool) -> harness::Result<()> {
    let runs = Runs::new()?;
    let program = Program::load(Attach::SelectOrMigrate, &runs.counted())?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let b = if another { Some(lab.listen("B")?) } else { None };
    let group: Vec<&Listener> = std::iter::once(&a).chain(&b).collect();
    lab.who_takes(&group, 0)?;
    lab.observe("runs before", runs.shown()?);
    lab.shut_down(&a, Shutdown::Both)?;
    lab.start_listening(&a, BACKLOG)?;
    lab.who_takes(&group, 0)?;
    lab.observe("runs after", runs.shown()?);
    lab.observe("detaching", outcome(detach(&a)));
    Ok(())
}

fn without_the_option(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
    let a = lab.socket("A")?;
    a.bind().tested(|| "bind(A)".into())?;
    for when in ["before listening", "listening"] {
        let [came, classic] = [outcome(program.attach(&a)), outcome(select_index(&a, 0))];
        lab.observe(when, format!("{came}, classic {classic}"));
        lab.start_listening(&a, BACKLOG)?;
    }
    Ok(())
}

fn attached_before_listening(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let spec = BindSpec::usual(setting.family);
    let [runs, unused] = [Runs::new()?, Runs::new()?];
    let program = Program::load(Attach::SelectOrMigrate, &runs.counted())?;
    let another = Program::load(Attach::SelectOrMigrate, &unused.counted())?;
    let mut listen = |name: &str, its: Option<&Program>| {
        let listener = lab.bind_at(name, &spec)?;
        if let Some(its) = its {
            lab.attach(&listener, its)?;
        }
        lab.observe(&format!("listen({name})"), outcome(listener.listen(BACKLOG)));
        Ok::<_, harness::Error>(listener)
    };
    let [a, b, c] =
        [listen("A", Some(&program))?, listen("B", Some(&another))?, listen("C", None)?];
    lab.who_takes(&[&a, &c], 0)?;
    lab.observe("A's program", runs.shown()?);
    lab.observe("B's program", unused.shown()?);
    lab.close(b);
    lab.observe("detaching", outcome(detach(&c)));
    Ok(())
}

fn datagrams(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let runs = Runs::new()?;
    let program = Program::load(Attach::SelectOrMigrate, &runs.counted())?;
    let a = lab.udp("A")?;
    lab.observe("attaching", outcome(program.attach(&a)));
    datagram::send(lab, b"?")?;
    lab.settle()?;
    lab.observe("datagrams that came", a.take_all());
    lab.observe("runs", runs.shown()?);
    Ok(())
}

fn lost_must(lost: bool) -> Expectation {
    let (runs, detaching) = if lost { ("new 1", "ENOENT") } else { ("new 2", "ok") };
    Expectation::new()
        .fact("runs before", "new 1")
        .fact("runs after", runs)
        .fact("detaching", detaching)
}
