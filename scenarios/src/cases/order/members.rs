//! The order of a group's members, and which of them the kernel chooses.

use std::net::Shutdown;

use harness::lab::Lab;
use harness::net::sysctl::MIGRATE_REQ;
use harness::socket::BACKLOG;
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::Draft;

use crate::case::{Case, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::statistics::binomial_bounds;
use crate::steps::target::{CHILDREN, FIRST_PORT, by_the_hash, moved, observe_moved};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "order/leaving",
        does: "D, C, B and A are bound, and listen in the order A, B, C, D. B is closed; A is shut \
               down, and listens again; A is closed; C is closed. Each time a program chooses the \
               first member, the second, and so on.",
        must: "Members stand in the order in which they began to listen. When one leaves, in \
               whatever way, the last one moves into its place; one that listens again becomes the \
               last.",
        source: "reuseport_add_sock(), __reuseport_detach_sock(), reuseport_resurrect()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: leaving,
        expect: |_| {
            Expectation::new()
                .fact("order of listening", "A, B, C, D")
                .fact("order without B", "A, D, C")
                .fact("order without A", "C, D")
                .fact("order with A again", "C, D, A")
                .fact("order without A again", "C, D")
                .fact("order without C", "D")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "order/listening-again",
        does: "A, B, C and D listen; A, B and C are shut down; then B listens again, A, and C. A \
               program chooses each member in turn.",
        must: "They stand after D, in the order in which they listened again; each gets a client.",
        source: "__reuseport_detach_closed_sock(), reuseport_resurrect()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: listening_again,
        expect: |_| {
            Expectation::new()
                .fact("order with D alone", "D")
                .fact("order with B again", "D, B")
                .fact("order with A again", "D, B, A")
                .fact("order with C again", "D, B, A, C")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "order/no-such-member",
        does: "A group of three; 16 clients connect when a program returns 2, when one returns 3, \
               when one returns the largest number, and when there is no program.",
        must: "2 is the last member. A number without a member has the same effect as no program: \
               each client goes to the listener that the hash chooses.",
        source: "run_bpf_filter(), reuseport_select_sock()",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: no_such_member,
        expect: |_| {
            Expectation::new()
                .fact("clients not given to C by the program that returns 2", 0)
                .fact("clients given elsewhere by the program that returns 3", 0)
                .fact("clients given elsewhere by the program that returns the largest", 0)
                .between("listeners that were chosen by the hash", (2, 3))
        },
        ..Case::DEFAULT
    },
    Case {
        name: "order/closed-member",
        does: "A has W's request; B and C listen; A is closed, and kept for its request. 16 \
               clients connect without a program, and when one returns 127, which is A's place \
               among the closed.",
        must: "Closed members cannot be chosen: each client goes to the listener that the hash \
               chooses.",
        source: "run_bpf_filter(): num_socks, and not max_socks, is the bound",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::W_CONNECTS]),
        run: closed_member,
        expect: |_| {
            Expectation::new()
                .fact("clients given elsewhere by the program", 0)
                .fact("answer to W's ACK", "nothing")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "order/program-and-migration",
        does: "As accept-queue/target, but the group has a classic BPF program that always chooses \
               the first member when A is closed, and none when the clients connect again.",
        must: "As accept-queue/target: the program is for new connections, and says nothing about \
               those that migrate.",
        source: "reuseport_migrate_sock() runs only programs of \
                 BPF_SK_REUSEPORT_SELECT_OR_MIGRATE",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::usual(setting.family);
            let moved =
                moved(lab, &spec, CHILDREN, |lab, targets| lab.select_index(&targets[0], 0))?;
            observe_moved(lab, &moved)
        },
        expect: |_| by_the_hash(),
        ..Case::DEFAULT
    },
    Case {
        name: "order/wildcard-target",
        does: "As accept-queue/target, with 96 clients and listeners at the wildcard address.",
        must: "The listener that a child moves to and the one that gets a new connection with its \
               four-tuple are independent: a third of them agree by chance. The bounds fail on a \
               correct kernel less than once in ten million runs.",
        source: "__inet_lookup_listener() hashes a SYN with INADDR_ANY, while a child has the \
                 hash of its real address",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, setting| {
            let spec = BindSpec::any(setting.family);
            let moved = moved(lab, &spec, MANY, |_, _| Ok(()))?;
            lab.observe("children that moved as a new connection would", moved.alike());
            lab.observe("children that moved", moved.0.len());
            Ok(())
        },
        expect: |_| {
            Expectation::new().fact("children that moved", i64::from(MANY)).between(
                "children that moved as a new connection would",
                binomial_bounds(MANY.into(), 1.0 / 3.0, 3e-8),
            )
        },
        ..Case::DEFAULT
    },
    Case {
        name: "order/alone-again",
        does: "A's group has a program that returns 1. A, alone in it, is shut down and listens \
               again; then B listens; 24 clients connect.",
        must: "A starts a new group, without the program, and B joins it: the hash gives some \
               clients to each. (All to one, by chance: less than once in eight million runs.)",
        source: "reuseport_alloc(), reuseport_resurrect() without a group to join, 333bb73f620e",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, _| {
            let a = lab.listen("A")?;
            lab.select_index(&a, 1)?;
            lab.shut_down(&a, Shutdown::Both)?;
            lab.start_listening(&a, BACKLOG)?;
            let b = lab.listen("B")?;
            let got = lab.who_takes_each(&[&a, &b], FIRST_PORT..FIRST_PORT + 24)?;
            let mut names: Vec<String> = got.into_values().collect();
            names.sort();
            names.dedup();
            lab.observe("who got clients", names.join(", "));
            Ok(())
        },
        expect: |_| Expectation::new().fact("who got clients", "A, B"),
        ..Case::DEFAULT
    },
    Case {
        name: "order/gone-for-good",
        does: "A is shut down, and listens again, in B's group; migration is switched off; A is \
               closed; 16 clients connect.",
        must: "A left the closed members when it listened again, and leaves the open ones when it \
               is closed: B gets every client.",
        source: "reuseport_resurrect() in the same group; reuseport_detach_sock()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: |lab, _| {
            let (a, b) = (lab.listen("A")?, lab.listen("B")?);
            lab.shut_down(&a, Shutdown::Both)?;
            lab.start_listening(&a, BACKLOG)?;
            lab.sysctl(MIGRATE_REQ, "0")?;
            lab.close(a);
            lab.until_freed_but(0)?;
            let got = lab.who_takes_each(&[&b], FIRST_PORT..FIRST_PORT + 16)?;
            lab.observe("clients that B got", got.len());
            Ok(())
        },
        expect: |_| Expectation::new().fact("clients that B got", 16),
        ..Case::DEFAULT
    },
];

const MANY: u16 = 96;

fn leaving(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let spec = BindSpec::usual(setting.family);
    let (d, c) = (lab.bind_at("D", &spec)?, lab.bind_at("C", &spec)?);
    let (b, a) = (lab.bind_at("B", &spec)?, lab.bind_at("A", &spec)?);
    for listener in [&a, &b, &c, &d] {
        lab.start_listening(listener, BACKLOG)?;
    }
    lab.observe_order("of listening", &[&a, &b, &c, &d])?;
    lab.close(b);
    lab.observe_order("without B", &[&a, &c, &d])?;
    lab.shut_down(&a, Shutdown::Both)?;
    lab.observe_order("without A", &[&c, &d])?;
    lab.start_listening(&a, BACKLOG)?;
    lab.observe_order("with A again", &[&a, &c, &d])?;
    lab.close(a);
    lab.observe_order("without A again", &[&c, &d])?;
    lab.close(c);
    lab.observe_order("without C", &[&d])
}

fn listening_again(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let [a, b, c] = [lab.listen("A")?, lab.listen("B")?, lab.listen("C")?];
    let d = lab.listen("D")?;
    for listener in [&a, &b, &c] {
        lab.shut_down(listener, Shutdown::Both)?;
    }
    let mut group = vec![&d];
    lab.observe_order("with D alone", &group)?;
    for listener in [&b, &a, &c] {
        lab.start_listening(listener, BACKLOG)?;
        group.push(listener);
        lab.observe_order(&format!("with {} again", listener.name()), &group)?;
    }
    Ok(())
}

fn no_such_member(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let [a, b, c] = [lab.listen("A")?, lab.listen("B")?, lab.listen("C")?];
    let group = [&a, &b, &c];
    let ports = FIRST_PORT..FIRST_PORT + CHILDREN;
    let by_hash = lab.who_takes_each(&group, ports.clone())?;
    lab.select_index(&a, 2)?;
    let by_program = lab.who_takes_each(&group, ports.clone())?;
    let others = by_program.values().filter(|name| *name != "C").count();
    lab.observe("clients not given to C by the program that returns 2", others);
    for (index, shown) in [(3, "3"), (u32::MAX, "the largest")] {
        lab.select_index(&a, index)?;
        let given = lab.who_takes_each(&group, ports.clone())?;
        let elsewhere = given.iter().filter(|(port, name)| by_hash.get(port) != Some(name)).count();
        lab.observe(
            &format!("clients given elsewhere by the program that returns {shown}"),
            elsewhere,
        );
    }
    let mut chosen: Vec<String> = by_hash.into_values().collect();
    chosen.sort();
    chosen.dedup();
    lab.observe("listeners that were chosen by the hash", chosen.len());
    Ok(())
}

fn closed_member(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let [b, c] = [lab.listen("B")?, lab.listen("C")?];
    lab.close(a);
    let ports = FIRST_PORT..FIRST_PORT + CHILDREN;
    let by_hash = lab.who_takes_each(&[&b, &c], ports.clone())?;
    lab.select_index(&b, 127)?;
    let given = lab.who_takes_each(&[&b, &c], ports)?;
    let elsewhere = given.iter().filter(|(port, name)| by_hash.get(port) != Some(name)).count();
    lab.observe("clients given elsewhere by the program", elsewhere);
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to W's ACK", answer);
    Ok(())
}
