//! Listeners that were shut down and listen again: what they find of their group, and of
//! their port.

use harness::Context;
use std::net::Shutdown;

use harness::lab::{Lab, outcome};
use harness::socket::{BACKLOG, Client, Listener};
use harness::sysctl::MIGRATE_REQ;

use crate::case::{Case, Settings};
use crate::expectation::Expectation;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "order/alone-again",
        does: "A's group has a program that returns 1. A, alone in it, is shut down and listens \
               again; then B listens; 24 clients connect.",
        must: "A begins a group of its own, without the program, and B joins it: the hash gives \
               some clients to each. (All to one, by chance: less than once in eight million \
               runs.)",
        source: "reuseport_alloc(), reuseport_resurrect() without a group to join, 333bb73f620e",
        settings: Settings::FamiliesOn,
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
        must: "A was taken from the closed when it listened again, and is taken from the living \
               when it is closed: B gets every client.",
        source: "reuseport_resurrect() in the same group; reuseport_detach_sock()",
        settings: Settings::FamiliesOn,
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
    Case {
        name: "bind/kernel-chosen-port",
        does: "A binds to port 0, listens, and is shut down; a socket without SO_REUSEPORT binds to \
               the port that A had; A listens again.",
        must: "A port that the kernel chose is given back by the shutdown: the other socket may have \
               it, and A listens on another.",
        source: "X-09; tcp_disconnect() and inet_unhash(): the port is kept only with \
                 SOCK_BINDPORT_LOCK",
        settings: Settings::FamiliesOn,
        run: kernel_chosen_port,
        expect: |_| {
            Expectation::new()
                .fact("bind(another, A's port)", "ok")
                .fact("listen(A), again", "ok")
                .fact("A's port", "another")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "bind/unix-socket",
        does: "A UNIX socket gets SO_REUSEPORT.",
        must: "EOPNOTSUPP: the option is for sockets of IPv4 and IPv6.",
        source: "G-19; sk_setsockopt(): sk_is_inet()",
        settings: Settings::Once,
        run: |lab, _| {
            let set = outcome(harness::passing::reuse_port_of_unix_socket()?);
            lab.observe("setsockopt(SO_REUSEPORT) of a UNIX socket", set);
            Ok(())
        },
        expect: |_| {
            Expectation::new().fact("setsockopt(SO_REUSEPORT) of a UNIX socket", "EOPNOTSUPP")
        },
        ..Case::DEFAULT
    },
];

/// The clients' first port, outside of the range that the kernel chooses from by itself.
const FIRST_PORT: u16 = 20_000;

fn kernel_chosen_port(lab: &mut Lab, _: crate::case::Setting) -> harness::Result<()> {
    let family = lab.family();
    let a = Listener::bare("A", family)?;
    let chosen = a.reuse_port().and_then(|()| a.bind_port(0));
    chosen.tested(|| "bind(A, 0)".into())?;
    lab.start_listening(&a, BACKLOG)?;
    let port = a.port()?;
    lab.shut_down(&a, Shutdown::Both)?;
    let other = Client::bound("another", family, family.loopback(), port);
    let bound = other.as_ref().map_or_else(ToString::to_string, |_| "ok".into());
    lab.observe("bind(another, A's port)", bound);
    lab.observe("listen(A), again", outcome(a.listen(BACKLOG)));
    lab.observe("A's port", if a.port()? == port { "the same" } else { "another" });
    Ok(())
}
