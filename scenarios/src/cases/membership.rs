//! Who is a group: the listeners among which connections migrate are those that agree in
//! everything but the socket.

use std::net::Ipv4Addr;

use harness::kernel::SECOND_UID;
use harness::lab::{Lab, outcome};
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{BACKLOG, Client, Listener, Stream};
use harness::{Context, Family, PORT};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::datagram;
use crate::steps::other_ports::listening_at;
use crate::steps::queued_child::{SERVED, hello};

pub(super) const PREFIX: Prefix = Prefix {
    id: "membership",
    about: "which listeners are one group: address, family, IPv6 only, device; on members and on \
            others",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const APART: &str = "They are two groups. C is reset with its data acknowledged, W by an RST \
                     without ACK; each is a failed migration, and B has nothing to accept.";

const TOGETHER: &str = "They are one group: B accepts C's child and W's, and nothing is reset.";

/// Two listeners that are not a group.
const fn apart(name: &'static str, does: &'static str, run: Run) -> Case {
    Case {
        name,
        does,
        must: APART,
        source: "inet_reuseport_add_sock(), inet_rcv_saddr_equal() without wildcards; \
                 reuseport_migrate_sock(), LINUX_MIB_TCPMIGRATEREQFAILURE",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run,
        expect: |_| apart_must(),
        ..Case::DEFAULT
    }
}

/// Two listeners that are one.
const fn together(name: &'static str, does: &'static str, run: Run) -> Case {
    Case {
        must: TOGETHER,
        source: "inet_reuseport_add_sock(), inet_rcv_saddr_equal() without wildcards",
        expect: |_| together_must(),
        ..apart(name, does, run)
    }
}

type Run = fn(&mut Lab, Setting) -> harness::Result<()>;

const CASES: &[Case] = &[
    together(
        "membership/wildcards",
        "A and B listen at the wildcard address. A has C's child in its queue, and W's request; A \
         is closed; W sends its ACK.",
        |lab, setting| close_at(lab, BindSpec::any(setting.family), BindSpec::any(setting.family)),
    ),
    apart(
        "membership/wildcard-and-address",
        "As membership/wildcards, but B listens at the address that both clients have connected \
         to.",
        |lab, setting| {
            close_at(lab, BindSpec::any(setting.family), BindSpec::usual(setting.family))
        },
    ),
    apart(
        "membership/address-and-wildcard",
        "As membership/wildcards, but A listens at the address that both clients connect to.",
        |lab, setting| {
            close_at(lab, BindSpec::usual(setting.family), BindSpec::any(setting.family))
        },
    ),
    apart(
        "membership/two-addresses",
        "As membership/wildcards, but A listens at the loopback address, and B at the next one.",
        |lab, setting| {
            close_at(lab, BindSpec::usual(setting.family), BindSpec::neighbour(setting.family))
        },
    ),
    Case {
        needs: &[Need::Ipv6],
        ..apart(
            "membership/two-families",
            "As membership/wildcards, but A listens at a loopback address, and B at the same of \
             the other family: 127.0.0.1 and ::ffff:127.0.0.1, or ::1 and 127.0.0.1.",
            |lab, setting| {
                close_at(lab, BindSpec::usual(setting.family), BindSpec::usual(other(setting)))
            },
        )
    },
    Case {
        needs: &[Need::Ipv6],
        ..apart(
            "membership/wildcards-of-two-families",
            "As membership/wildcards, but A's address is 0.0.0.0 and B's :: for both families, or \
             the other way round.",
            |lab, setting| {
                close_at(lab, BindSpec::any(setting.family), BindSpec::any(other(setting)))
            },
        )
    },
    Case {
        settings: Settings::OnceOn(Family::V6),
        ..together(
            "membership/v6-only",
            "As membership/wildcards, but A and B have IPV6_V6ONLY.",
            |lab, _| close_at(lab, ANY_V6().v6_only(), ANY_V6().v6_only()),
        )
    },
    Case {
        settings: Settings::OnceOn(Family::V6),
        ..apart(
            "membership/v6-only-closes",
            "As membership/wildcards, but A has IPV6_V6ONLY.",
            |lab, _| close_at(lab, ANY_V6().v6_only(), ANY_V6()),
        )
    },
    Case {
        settings: Settings::OnceOn(Family::V6),
        ..apart(
            "membership/v6-only-stays",
            "As membership/wildcards, but B has IPV6_V6ONLY.",
            |lab, _| close_at(lab, ANY_V6(), ANY_V6().v6_only()),
        )
    },
    together(
        "membership/same-device",
        "As membership/wildcards, but both listen at the loopback address on `lo` alone.",
        |lab, setting| {
            let spec = BindSpec::usual(setting.family).on_lo();
            close_at(lab, spec, spec)
        },
    ),
    apart(
        "membership/device-closes",
        "As membership/same-device, but B is not bound to a device.",
        |lab, setting| {
            close_at(lab, BindSpec::usual(setting.family).on_lo(), BindSpec::usual(setting.family))
        },
    ),
    apart(
        "membership/device-stays",
        "As membership/same-device, but A is not bound to a device.",
        |lab, setting| {
            close_at(lab, BindSpec::usual(setting.family), BindSpec::usual(setting.family).on_lo())
        },
    ),
    Case {
        source: "a group is joined in inet_hash(), by listen",
        ..apart(
            "membership/bound-only",
            "As membership/wildcards, but at the loopback address, and B is bound and does not \
             listen.",
            |lab, setting| {
                let (a, clients) = clients_of(lab, &BindSpec::usual(setting.family))?;
                let b = lab.bind_at("B", &BindSpec::usual(setting.family))?;
                close(lab, a, &b, clients)
            },
        )
    },
    Case {
        source: "sk_reuseport is for bind, a group is by its pointer",
        expect: |_| {
            together_must()
                .fact("clear SO_REUSEPORT of A", "ok")
                .fact("clear SO_REUSEPORT of B", "ok")
        },
        ..together(
            "membership/option-cleared",
            "As membership/wildcards, but at the loopback address, and SO_REUSEPORT is cleared on \
             A and on B when both listen.",
            |lab, setting| {
                let (a, clients) = clients_of(lab, &BindSpec::usual(setting.family))?;
                let b = lab.listen("B")?;
                for listener in [&a, &b] {
                    let came = outcome(listener.forbid_reuse_port());
                    lab.observe(&format!("clear SO_REUSEPORT of {}", listener.name()), came);
                }
                close(lab, a, &b, clients)
            },
        )
    },
    Case {
        source: "inet_reuseport_add_sock(): sk2->sk_reuseport",
        ..apart(
            "membership/option-cleared-before",
            "SO_REUSEPORT is cleared on A, which has C's child in its queue and W's request; then B, \
             which has it, binds and listens.",
            |lab, setting| {
                let (a, clients) = clients_of(lab, &BindSpec::usual(setting.family))?;
                a.forbid_reuse_port().tested(|| "setsockopt(A, SO_REUSEPORT, 0)".into())?;
                let b = lab.listen("B")?;
                close(lab, a, &b, clients)
            },
        )
    },
    Case {
        source: "sockfs_setattr() changes sk_uid, a group is by its pointer",
        needs: &[Need::SecondUid],
        ..together(
            "membership/given-away",
            "As membership/wildcards, but at the loopback address, and B is given to another user \
             (fchown) when it listens.",
            |lab, setting| {
                let (a, clients) = clients_of(lab, &BindSpec::usual(setting.family))?;
                let b = lab.listen("B")?;
                b.give_to(SECOND_UID)?;
                close(lab, a, &b, clients)
            },
        )
    },
    Case {
        source: "inet_reuseport_add_sock(): uid_eq()",
        needs: &[Need::SecondUid],
        ..apart(
            "membership/given-away-before",
            "A, which has C's child in its queue and W's request, is given to another user (fchown); \
             then B binds and listens.",
            |lab, setting| {
                let (a, clients) = clients_of(lab, &BindSpec::usual(setting.family))?;
                a.give_to(SECOND_UID)?;
                let b = lab.listen("B")?;
                close(lab, a, &b, clients)
            },
        )
    },
    Case {
        name: "membership/program-before-listen",
        does: "A listens; B is bound, attaches a classic BPF program that chooses among its \
               group, and listens.",
        must: "B's listen fails with EADDRINUSE: its program has given it a group of its own, so \
               that it cannot join A's. A serves as before.",
        source: "inet_csk_bind_conflict() and sk_reuseport_match(): reuseport_cb_ok",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: program_before_listen,
        expect: |_| {
            Expectation::new()
                .fact("listen(B)", "EADDRINUSE")
                .fact("sockets then", "a listener")
                .fact("A serves a fresh client", "yes")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "membership/program-of-the-first",
        does: "A is bound, and attaches a classic BPF program that returns 1; then A, B and C \
               listen, and eight clients come.",
        must: "The program belongs to the group: B gets all eight.",
        source: "reuseport_add_sock(): who comes gets the group that is there",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: program_of_the_first,
        expect: |_| Expectation::new().fact("served by", "B, B, B, B, B, B, B, B"),
        ..Case::DEFAULT
    },
    Case {
        name: "membership/many-addresses",
        does: "A listens at the wildcard address, with a classic BPF program that returns 1. 500 \
               other listeners have an address each; a client connects to yet another address. \
               This is done twelve times, with 6000 addresses in all.",
        must: "A stays alone in its group: there is no member with the index that the program \
               returns, and A serves each client.",
        source: "inet_reuseport_add_sock(): listeners of one hash bucket are compared; there are \
                 some where little memory makes the table small",
        settings: Settings::OnceOn(Family::V4),
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: many_addresses,
        expect: |_| Expectation::new().fact("served by", "A"),
        ..Case::DEFAULT
    },
    Case {
        name: "membership/two-ports",
        does: "A listens; another listens at the same address, at a port in the same bucket of the \
               kernel's hash table (of up to 32768 buckets, for 64 GB of memory); A gets a classic \
               BPF program that returns 1, and a client.",
        must: "A is alone in its group: there is no member with the index that the program \
               returns, and A serves the client.",
        source: "inet_reuseport_add_sock(): icsk_bind_hash; ipv4_portaddr_hash(), whose lowest \
                 bits are the port's",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: two_ports,
        expect: |_| Expectation::new().fact("served by", "A"),
        ..Case::DEFAULT
    },
    Case {
        name: "membership/udp",
        does: "Two datagrams wait in a UDP socket; another one with SO_REUSEPORT is bound to the \
               address; the first is closed.",
        must: "They are lost, and no migration is counted: it is for TCP listeners.",
        source: "reuseport_stop_listen_sock() asks for IPPROTO_TCP",
        settings: Settings::FamiliesOn,
        wire: WireRule::Silent,
        run: udp,
        expect: |_| {
            Expectation::new()
                .fact("datagrams in the second socket", 0)
                .fact("datagrams in the second socket, sent later", 1)
                .counters(&[])
        },
        ..Case::DEFAULT
    },
];

/// A port that differs from the lab's in its highest bit alone. What the port is mixed with
/// is the same for both, and a table's buckets are chosen by the lowest bits.
const SAME_PLACE: u16 = PORT ^ 1 << 15;

#[allow(non_snake_case, reason = "a constant, but for a call that is not const")]
fn ANY_V6() -> BindSpec {
    BindSpec::any(Family::V6)
}

/// The family whose sockets never share a group with those of the setting's.
fn other(setting: Setting) -> Family {
    match setting.family {
        Family::V4 => Family::V4Mapped,
        Family::V6 | Family::V4Mapped => Family::V4,
    }
}

/// A has C's child in its queue, and W's request.
fn clients_of(lab: &mut Lab, spec: &BindSpec) -> harness::Result<(Listener, (Client, WireClient))> {
    let a = lab.listen_at("A", spec)?;
    let client = hello(lab, "C")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    Ok((a, (client, w)))
}

fn close_at(lab: &mut Lab, at: BindSpec, then: BindSpec) -> harness::Result<()> {
    let (a, clients) = clients_of(lab, &at)?;
    let b = lab.listen_at("B", &then)?;
    close(lab, a, &b, clients)
}

fn close(
    lab: &mut Lab,
    a: Listener,
    b: &Listener,
    (client, mut w): (Client, WireClient),
) -> harness::Result<()> {
    let before = lab.counters()?;
    lab.close(a);
    lab.settle()?;
    lab.observe("recv(C)", client.receive_now()?.to_string());
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to W's ACK", answer);
    lab.observe_counters(&before)?;
    let mut accepted = Vec::new();
    while b.is_listening().unwrap_or(false) {
        let Some(child) = b.accept_now()? else { break };
        // W would never acknowledge a FIN.
        child.reset_on_close()?;
        accepted.push(lab.trace().name_of(child.peer));
    }
    let accepted = if accepted.is_empty() { "nobody".to_owned() } else { accepted.join(", ") };
    lab.observe("B accepts", accepted);
    Ok(())
}

fn apart_must() -> Expectation {
    Expectation::new()
        .fact("recv(C)", "ECONNRESET")
        .fact("answer to W's ACK", "S > W  R 1:1(0)")
        .fact("B accepts", "nobody")
        .counters(&[("TCPMigrateReqFailure", 2), ("OutRsts", 2), ("EstabResets", 2)])
        .wire("C", &format!("{SERVED}-- close(A) --\nS > C  R. 1:1(0) ack 12"))
}

fn together_must() -> Expectation {
    Expectation::new()
        .fact("recv(C)", "EAGAIN")
        .fact("answer to W's ACK", "nothing")
        .fact("B accepts", "C, W")
        .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 1)])
}

fn program_before_listen(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let b = lab.bind_at("B", &BindSpec::usual(setting.family))?;
    lab.select_index(&b, 0)?;
    let listened = outcome(b.listen(BACKLOG));
    lab.observe("listen(B)", listened);
    lab.observe_sockets("then")?;
    lab.observe_service(&a)
}

fn program_of_the_first(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = lab.bind_at("A", &BindSpec::usual(setting.family))?;
    lab.select_index(&a, 1)?;
    lab.start_listening(&a, BACKLOG)?;
    let (b, c) = (lab.listen("B")?, lab.listen("C")?);
    let group = [&a, &b, &c];
    let served = (0..8).map(|_| lab.who_takes(&group, 0)).collect::<harness::Result<Vec<_>>>()?;
    lab.observe("served by", served.join(", "));
    Ok(())
}

fn many_addresses(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    /// How many listen at a time.
    const BATCH: u16 = 500;
    const BATCHES: u8 = 12;
    let a = lab.listen_at("A", &BindSpec::any(setting.family))?;
    lab.select_index(&a, 1)?;
    let mut served = Vec::new();
    for batch in 1..=BATCHES {
        let mut others = Vec::new();
        for index in 0..BATCH {
            let [high, low] = index.to_be_bytes();
            let address = Ipv4Addr::new(127, batch, high, low).into();
            let spec = BindSpec { address, ..BindSpec::usual(setting.family) };
            let other = lab.bind_at("another", &spec)?;
            other.listen(1).tested(|| "listen(another, 1)".into())?;
            others.push(other);
        }
        let group: Vec<&Listener> = std::iter::once(&a).chain(&others).collect();
        served.push(lab.who_takes(&group, 0)?);
    }
    served.dedup();
    lab.observe("served by", served.join(", "));
    Ok(())
}

fn two_ports(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let other = listening_at(lab, "another", SAME_PLACE)?;
    lab.select_index(&a, 1)?;
    let served = lab.who_takes(&[&a, &other], 0)?;
    lab.observe("served by", served);
    Ok(())
}

fn udp(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.udp("A")?;
    datagram::send(lab, b"one")?;
    datagram::send(lab, b"two")?;
    let b = lab.udp("B")?;
    let before = lab.counters()?;
    drop(a);
    lab.settle()?;
    lab.observe("datagrams in the second socket", b.take_all());
    datagram::send(lab, b"three")?;
    lab.settle()?;
    lab.observe("datagrams in the second socket, sent later", b.take_all());
    lab.observe_counters(&before)
}
