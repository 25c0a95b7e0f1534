//! Who may bind to one address, and who may listen on it.

use std::net::Shutdown;

use harness::Context;
use harness::kernel::SECOND_UID;
use harness::lab::{Lab, outcome};
use harness::socket::{BACKLOG, Listener};

use crate::case::{Case, Need, Setting, Settings};
use crate::document::TALK;
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};

pub(super) const PREFIX: Prefix = Prefix {
    id: "bind",
    about: "who may bind to one address: the option on one or both sockets, the rule of the \
            same user",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "bind/kernel-chosen-port",
        does: "A binds to port 0, listens, and is shut down; a socket without SO_REUSEPORT binds to \
               the port that A had; A listens again.",
        must: "A port that the kernel chose is given back by the shutdown: the other socket may have \
               it, and A listens on another.",
        source: "tcp_disconnect() and inet_unhash(): the port is kept only with \
                 SOCK_BINDPORT_LOCK",
        settings: Settings::FamiliesOn,
        wire: WireRule::Silent,
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
        source: "sk_setsockopt(): sk_is_inet()",
        settings: Settings::Once,
        needs: &[Need::UnixSockets],
        wire: WireRule::Silent,
        run: |lab, _| {
            let set = outcome(harness::net::scm_rights::reuse_port_of_unix_socket()?);
            lab.observe("setsockopt(SO_REUSEPORT) of a UNIX socket", set);
            Ok(())
        },
        expect: |_| {
            Expectation::new().fact("setsockopt(SO_REUSEPORT) of a UNIX socket", "EOPNOTSUPP")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "bind/without-option",
        does: "A listens; B binds to the same address; neither has SO_REUSEPORT.",
        must: "B's bind fails with EADDRINUSE, and A keeps the port.",
        documents: &[TALK.at("")],
        source: "inet_csk_get_port(), inet_csk_bind_conflict()",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| two_binds(lab, NOT_SET, NOT_SET),
        expect: |_| refused(),
        ..Case::DEFAULT
    },
    Case {
        name: "bind/option-on-the-first",
        does: "A listens with SO_REUSEPORT; B binds to the same address without.",
        must: "B's bind fails with EADDRINUSE, and A keeps the port.",
        source: "inet_bind_conflict(): both sockets need sk_reuseport",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| two_binds(lab, SET, NOT_SET),
        expect: |_| refused(),
        ..Case::DEFAULT
    },
    Case {
        name: "bind/option-on-the-second",
        does: "A listens without SO_REUSEPORT; B binds to the same address with it.",
        must: "B's bind fails with EADDRINUSE, and A keeps the port.",
        source: "inet_bind_conflict(): both sockets need sk_reuseport",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| two_binds(lab, NOT_SET, SET),
        expect: |_| refused(),
        ..Case::DEFAULT
    },
    Case {
        name: "bind/option-on-both",
        does: "A and B bind and listen on the same address, both with SO_REUSEPORT.",
        must: "Both listen.",
        documents: &[TALK.at("")],
        source: "c617f398edd4 (Linux 3.9)",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| two_binds(lab, SET, SET),
        expect: |_| both_listen(),
        ..Case::DEFAULT
    },
    Case {
        name: "bind/option-set-late",
        does: "A sets SO_REUSEPORT only after it listens; B has it before it binds.",
        must: "Both listen: the first socket's option is read when the second one binds.",
        source: "inet_bind_conflict() reads sk2->sk_reuseport",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| {
            two_binds(
                lab,
                |a| {
                    listen(a)?;
                    a.reuse_port()
                },
                SET,
            )
        },
        expect: |_| both_listen(),
        ..Case::DEFAULT
    },
    Case {
        name: "bind/reuseaddr-only",
        does: "A and B have SO_REUSEADDR and not SO_REUSEPORT; both bind, then A listens, then B.",
        must: "Both binds succeed; B's listen fails with EADDRINUSE.",
        source: "inet_csk_listen_start() asks get_port() again",
        settings: Settings::Families,
        wire: WireRule::Silent,
        run: reuseaddr_only,
        expect: |_| {
            Expectation::new()
                .fact("bind(A)", "ok")
                .fact("bind(B)", "ok")
                .fact("listen(A)", "ok")
                .fact("listen(B)", "EADDRINUSE")
                .fact("sockets then", "a listener")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "bind/other-uid",
        does: "Root listens with SO_REUSEPORT; another user, in a process of its own, binds to \
               the same address with it, and again when root's listener is gone.",
        must: "EADDRINUSE while root listens; then the other user may, twice.",
        source: "inet_bind_conflict(): uid_eq(uid, sk_uid(sk2)), against port stealing",
        settings: Settings::Families,
        needs: &[Need::SecondUid],
        wire: WireRule::Silent,
        run: other_uid,
        expect: |_| {
            Expectation::new()
                .fact("bind(root's)", "ok")
                .fact("bind(the other user's), while root's is bound", "EADDRINUSE")
                .fact("bind(the other user's)", "EADDRINUSE")
                .fact("sockets meanwhile", "a listener")
                .fact("bind(the other user's), without root's", "ok, ok")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "bind/given-away",
        does: "Root listens with SO_REUSEPORT and gives the socket to another user (fchown); that \
               user binds to the same address, and then root does.",
        must: "The rule applies to the new owner, and makes no exception for root: EADDRINUSE for \
               root, not for the other user. (If root came first, the port's cached uid would let \
               it pass.)",
        source: "sockfs_setattr() updates sk_uid; inet_bind_conflict(); sk_reuseport_match() and \
                 its tb->fastuid",
        settings: Settings::Families,
        needs: &[Need::SecondUid],
        wire: WireRule::Silent,
        run: given_away,
        expect: |_| {
            Expectation::new()
                .fact("bind(root's)", "EADDRINUSE")
                .fact("bind(the other user's)", "ok")
                .fact("sockets then", "a listener")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "bind/uid-of-the-socket",
        does: "Root listens with SO_REUSEPORT; root binds a socket with it that was created \
               under another user's effective uid, and one that was not.",
        must: "The uid that created the socket counts: EADDRINUSE for the first, not for the \
               second.",
        source: "sock_alloc() takes the creator's fsuid; sk_uid",
        settings: Settings::Families,
        needs: &[Need::SecondUid],
        wire: WireRule::Silent,
        run: uid_of_the_socket,
        expect: |_| {
            Expectation::new()
                .fact("bind(created by the other user)", "EADDRINUSE")
                .fact("bind(created by root)", "ok")
                .fact("sockets then", "a listener, a listener")
        },
        ..Case::DEFAULT
    },
];

type Prepare = fn(&Listener) -> std::io::Result<()>;

const SET: Prepare = |socket| socket.reuse_port();

const NOT_SET: Prepare = |_| Ok(());

fn listen(socket: &Listener) -> std::io::Result<()> {
    socket.bind()?;
    socket.listen(BACKLOG)
}

/// A is prepared and listens; then B is prepared and tries to.
fn two_binds(lab: &mut Lab, prepare_a: Prepare, prepare_b: Prepare) -> harness::Result<()> {
    let (a, b) = (lab.socket("A")?, lab.socket("B")?);
    let mut listening = Vec::new();
    for (socket, prepare) in [(&a, prepare_a), (&b, prepare_b)] {
        let came = prepare(socket)
            .and_then(|()| if socket.is_listening()? { Ok(()) } else { listen(socket) });
        listening.extend(came.is_ok().then_some(socket));
        lab.observe(socket.name(), outcome(came));
    }
    lab.observe_sockets("then")?;
    lab.observe_who_serves(&listening)
}

fn refused() -> Expectation {
    Expectation::new()
        .fact("A", "ok")
        .fact("B", "EADDRINUSE")
        .fact("sockets then", "a listener")
        .fact("a fresh client is served by", "A")
}

fn both_listen() -> Expectation {
    Expectation::new()
        .fact("A", "ok")
        .fact("B", "ok")
        .fact("sockets then", "a listener, a listener")
        .one_of("a fresh client is served by", &["A", "B"])
}

fn reuseaddr_only(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, b) = (lab.socket("A")?, lab.socket("B")?);
    for socket in [&a, &b] {
        let bound = socket.reuse_address().and_then(|()| socket.bind());
        lab.observe(&format!("bind({})", socket.name()), outcome(bound));
    }
    for socket in [&a, &b] {
        let listening = socket.listen(BACKLOG);
        lab.observe(&format!("listen({})", socket.name()), outcome(listening));
    }
    lab.observe_sockets("then")
}

/// Sets SO_REUSEPORT on a fresh socket, binds it and listens.
fn attempt(lab: &mut Lab, name: &str) -> String {
    lab.socket(name).map_or_else(
        |e| e.to_string(),
        |socket| outcome(socket.reuse_port().and_then(|()| listen(&socket))),
    )
}

fn other_uid(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    // To be bound is enough to keep others out.
    let bound = lab.socket("A")?;
    let came = outcome(bound.reuse_port().and_then(|()| bound.bind()));
    lab.observe("bind(root's)", came);
    let refused = lab.as_second_user(|lab| attempt(lab, "B"))?;
    lab.observe("bind(the other user's), while root's is bound", refused);
    lab.close(bound);
    let a = lab.listen("A")?;
    let refused = lab.as_second_user(|lab| attempt(lab, "B"))?;
    lab.observe("bind(the other user's)", refused);
    lab.observe_sockets("meanwhile")?;
    lab.close(a);
    let allowed = lab.as_second_user(|lab| match (lab.socket("B"), lab.socket("C")) {
        (Ok(b), Ok(c)) => {
            let [b, c] = [b, c].map(|socket| {
                let came = outcome(socket.reuse_port().and_then(|()| listen(&socket)));
                (socket, came)
            });
            format!("{}, {}", b.1, c.1)
        }
        (Err(e), _) | (_, Err(e)) => e.to_string(),
    })?;
    lab.observe("bind(the other user's), without root's", allowed);
    Ok(())
}

fn given_away(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    a.give_to(SECOND_UID)?;
    let by_the_other = lab.as_second_user(|lab| attempt(lab, "C"))?;
    lab.observe("bind(the other user's)", by_the_other);
    let by_root = attempt(lab, "B");
    lab.observe("bind(root's)", by_root);
    lab.observe_sockets("then")
}

fn uid_of_the_socket(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let _a = lab.listen("A")?;
    let refused =
        lab.with_socket_of_second_user("B", |b| outcome(b.reuse_port().and_then(|()| b.bind())))?;
    let refused = refused.unwrap_or_else(|e| e);
    lab.observe("bind(created by the other user)", refused);
    let c = lab.socket("C")?;
    let allowed = c.reuse_port().and_then(|()| listen(&c));
    lab.observe("bind(created by root)", outcome(allowed));
    lab.observe_sockets("then")
}

fn kernel_chosen_port(lab: &mut Lab, _: crate::case::Setting) -> harness::Result<()> {
    let family = lab.family();
    let a = lab.socket("A")?;
    let chosen = a.reuse_port().and_then(|()| a.bind_port(0));
    chosen.tested(|| "bind(A, 0)".into())?;
    lab.start_listening(&a, BACKLOG)?;
    let port = a.port()?;
    lab.shut_down(&a, Shutdown::Both)?;
    let other = lab.client_at("another", family.loopback(), port);
    let bound = other.as_ref().map_or_else(ToString::to_string, |_| "ok".into());
    lab.observe("bind(another, A's port)", bound);
    lab.observe("listen(A), again", outcome(a.listen(BACKLOG)));
    lab.observe("A's port", if a.port()? == port { "the same" } else { "another" });
    Ok(())
}
