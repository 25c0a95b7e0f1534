//! Members that want the connections of a CPU (`SO_INCOMING_CPU`): the kernel looks for them only
//! while it counts one that does.

use std::net::Shutdown;

use harness::lab::Lab;
use harness::socket::bind_spec::BindSpec;
use harness::socket::{BACKLOG, Listener, attribute};
use harness::{Context, Family};

use crate::case::{Case, Need, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::target::{CHILDREN, FIRST_PORT, Moved, by_the_hash, moved, observe_moved};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "order/incoming-cpu",
        does: "As accept-queue/target, but C has SO_INCOMING_CPU, set to the CPU that closes A.",
        must: "All children move to C.",
        source: "reuseport_select_sock_by_hash(), b261eda84ec1 (Linux 6.2)",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::usual(setting.family);
            let moved = moved(lab, &spec, CHILDREN, |_, targets| {
                attribute::incoming_cpu(&targets[1], attribute::this_cpu()?)
            })?;
            observe_moved_to_c(lab, &moved)
        },
        expect: |_| all_to_c(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-before-listening",
        does: "As order/incoming-cpu, but C has the option before it listens.",
        must: "All children move to C.",
        source: "__reuseport_add_sock(): reuseport_get_incoming_cpu(), b261eda84ec1 (Linux 6.2)",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::usual(setting.family);
            let moved = moved(lab, &spec, CHILDREN, |lab, targets| {
                lab.shut_down(&targets[1], Shutdown::Both)?;
                attribute::incoming_cpu(&targets[1], attribute::this_cpu()?)?;
                // Bound before, so that it listens again with the option.
                lab.start_listening(&targets[1], BACKLOG)
            })?;
            observe_moved_to_c(lab, &moved)
        },
        expect: |_| all_to_c(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-after-a-close",
        does: "As order/incoming-cpu, but E, which has the option too, has listened, and was closed \
               and freed.",
        must: "E takes only its own preference with it: all children move to C.",
        source: "reuseport_stop_listen_sock(): put, get and put again of reuse->incoming_cpu",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::usual(setting.family);
            let moved = moved(lab, &spec, CHILDREN, |lab, targets| {
                let e = lab.listen_at("E", &spec)?;
                for listener in [&e, &targets[1]] {
                    attribute::incoming_cpu(listener, attribute::this_cpu()?)?;
                }
                lab.close(e);
                // Those that wait in A's queue are nobody's descriptors either.
                lab.until_freed_but(CHILDREN.into())
            })?;
            observe_moved_to_c(lab, &moved)
        },
        expect: |_| all_to_c(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-of-others",
        does: "As accept-queue/target, but C has SO_INCOMING_CPU, set to another CPU than the one \
               that closes A.",
        must: "As accept-queue/target: the hash chooses among all, C too.",
        source: "reuseport_select_sock_by_hash(), b261eda84ec1 (Linux 6.2)",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::usual(setting.family);
            let moved = moved(lab, &spec, CHILDREN, |_, targets| {
                attribute::incoming_cpu(&targets[1], attribute::this_cpu()? + 1)
            })?;
            observe_moved(lab, &moved)
        },
        expect: |_| by_the_hash(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-changed",
        does: "A and B listen. A has SO_INCOMING_CPU set to another CPU than this one, and then to \
               this one; 32 clients connect.",
        must: "A member that changes its mind is still counted as one that wants a CPU: all \
               clients are A's.",
        source: "reuseport_update_incoming_cpu(), b261eda84ec1 (Linux 6.2)",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, _| {
            let (a, b) = (lab.listen("A")?, lab.listen("B")?);
            let this = attribute::this_cpu()?;
            attribute::incoming_cpu(&a, this + 1)?;
            attribute::incoming_cpu(&a, this)?;
            observe_whose_clients(lab, &a, &b)
        },
        expect: |_| all_to_a(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-of-both-before-listening",
        does: "A and B have SO_INCOMING_CPU before they listen: A set to this CPU, B to another; \
               32 clients connect.",
        must: "Both are counted when they listen: all clients are A's.",
        source: "reuseport_alloc(), __reuseport_add_sock(): reuseport_get_incoming_cpu(), \
                 b261eda84ec1 (Linux 6.2)",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::usual(setting.family);
            let (a, b) = (lab.bind_at("A", &spec)?, lab.bind_at("B", &spec)?);
            let this = attribute::this_cpu()?;
            for (listener, cpu) in [(&a, this), (&b, this + 1)] {
                attribute::incoming_cpu(listener, cpu)?;
                lab.start_listening(listener, BACKLOG)?;
            }
            observe_whose_clients(lab, &a, &b)
        },
        expect: |_| all_to_a(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-many-times",
        does: "A has SO_INCOMING_CPU set to this CPU. B's is set and cleared in turn, 65,535 times \
               in all; 32 clients connect.",
        must: "Each time B is counted, or no longer counted: what is counted in 16 bits does not \
               pass zero, and all clients are A's.",
        source: "reuseport_get_incoming_cpu(), reuseport_put_incoming_cpu(), b261eda84ec1 (Linux \
                 6.2)",
        settings: Settings::OnceOn(Family::V4),
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, _| {
            let (a, b) = (lab.listen("A")?, lab.listen("B")?);
            let this = attribute::this_cpu()?;
            attribute::incoming_cpu(&a, this)?;
            lab.unseen("SO_INCOMING_CPU of B is set and cleared, 65,535 times", |_| {
                (0..u16::MAX).try_for_each(|nth| {
                    attribute::incoming_cpu(&b, if nth % 2 == 0 { this + 1 } else { NO_CPU })
                })
            })?;
            observe_whose_clients(lab, &a, &b)
        },
        expect: |_| all_to_a(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-many-changes",
        does: "A has SO_INCOMING_CPU set to this CPU. 65,535 times B's is set to CPU 0 and cleared; \
               32 clients connect. 65,535 times it is changed from one CPU to another; 32 more \
               connect.",
        must: "CPU 0 is one like the others, -1 is none, and a member that changes its mind is \
               counted once: what is counted in 16 bits does not pass zero, and all clients are \
               A's.",
        source: "reuseport_update_incoming_cpu(), b261eda84ec1 (Linux 6.2)",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::LongWork],
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, _| {
            let (a, b) = (lab.listen("A")?, lab.listen("B")?);
            let this = attribute::this_cpu()?;
            attribute::incoming_cpu(&a, this)?;
            lab.unseen("SO_INCOMING_CPU of B is set to CPU 0 and cleared, 65,535 times", |_| {
                (0..u16::MAX).try_for_each(|_| {
                    attribute::incoming_cpu(&b, 0)?;
                    attribute::incoming_cpu(&b, NO_CPU)
                })
            })?;
            observe_whose_clients(lab, &a, &b)?;
            lab.unseen("SO_INCOMING_CPU of B is changed, 65,535 times", |_| {
                (0..u16::MAX)
                    .try_for_each(|nth| attribute::incoming_cpu(&b, this + 1 + i32::from(nth % 2)))
            })?;
            observe_whose(lab, (&a, &b), FIRST_PORT + CLIENTS, "all clients are A's, later")
        },
        expect: |_| all_to_a().fact("all clients are A's, later", "yes"),
        ..Case::DEFAULT
    },
    Case {
        name: "order/incoming-cpu-many-members",
        does: "A and B listen, with tcp_migrate_req at 0; A has SO_INCOMING_CPU set to this CPU. \
               65,535 times another listener with the same option begins to listen and is closed; 32 \
               clients connect.",
        must: "Each time the other one is counted, and no longer counted when it leaves: what is \
               counted in 16 bits does not pass zero, and all clients are A's.",
        source: "__reuseport_add_sock(), __reuseport_detach_sock(): reuseport_get_incoming_cpu(), \
                 reuseport_put_incoming_cpu(), b261eda84ec1 (Linux 6.2)",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::LongWork],
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let (a, b) = (lab.listen("A")?, lab.listen("B")?);
            let this = attribute::this_cpu()?;
            attribute::incoming_cpu(&a, this)?;
            let spec = BindSpec::usual(setting.family);
            // With migration each would be counted twice: as a member, and as a closed one.
            lab.sysctl("net.ipv4.tcp_migrate_req", "0")?;
            lab.unseen("others with SO_INCOMING_CPU listen and are closed, 65,535 times", |lab| {
                (0..u16::MAX).try_for_each(|_| {
                    let other = lab.bind_at("another", &spec)?;
                    attribute::incoming_cpu(&other, this)?;
                    other.listen(BACKLOG).tested(|| "listen(another)".into())
                })
            })?;
            observe_whose_clients(lab, &a, &b)
        },
        expect: |_| all_to_a(),
        ..Case::DEFAULT
    },
];

/// SO_INCOMING_CPU as a socket has it that wants none.
const NO_CPU: i32 = -1;

const CLIENTS: u16 = 32;

fn observe_whose_clients(lab: &mut Lab, a: &Listener, b: &Listener) -> harness::Result<()> {
    observe_whose(lab, (a, b), FIRST_PORT, "all clients are A's")
}

/// Whether all clients from a port on are A's, which B would get half of.
fn observe_whose(
    lab: &mut Lab,
    (a, b): (&Listener, &Listener),
    first_port: u16,
    fact: &str,
) -> harness::Result<()> {
    let got = lab.who_takes_each(&[a, b], first_port..first_port + CLIENTS)?;
    let all = got.values().all(|name| name == a.name());
    lab.observe(fact, if all { "yes" } else { "no" });
    Ok(())
}

fn all_to_a() -> Expectation {
    Expectation::new().fact("all clients are A's", "yes")
}

fn observe_moved_to_c(lab: &mut Lab, moved: &Moved) -> harness::Result<()> {
    lab.observe("children that moved to C", moved.to("C"));
    observe_moved(lab, moved)
}

fn all_to_c() -> Expectation {
    Expectation::new()
        .fact("children that moved", i64::from(CHILDREN))
        .fact("children that moved to C", i64::from(CHILDREN))
        .fact("children that moved elsewhere than a new connection", 0)
        .fact("listeners that got some", 1)
        .counters(&[("TCPMigrateReqSuccess", CHILDREN.into())])
}
