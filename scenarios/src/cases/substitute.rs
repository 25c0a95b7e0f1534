//! What is no substitute for handing a listener over, or for migration.

use harness::Context;
use harness::lab::{Lab, outcome};
use harness::socket::wire_client::Draft;
use harness::socket::{BACKLOG, Stream};

use crate::case::{Case, Migration, Setting, Settings};
use crate::document::{COVER_LETTER, REPLY, TALK};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::queued_child::{SERVED, hello};
use crate::steps::statistics::binomial_bounds;
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "substitute",
    about: "what is no substitute: `SO_REUSEADDR`, draining, stopping a member of a group",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "substitute/reuse-address",
        does: "A and B have SO_REUSEADDR and no SO_REUSEPORT; A is closed with C's child in its \
               queue; W's SYN comes; then B binds and listens.",
        must: "B can bind and listen at once, but there is still a gap: C is reset, and so is W. \
               Later clients are served.",
        documents: &[REPLY.at("SO_REUSEADDR by itself does not prevent an RST")],
        source: "inet_csk_listen_stop(), tcp_v4_send_reset()",
        settings: Settings::Families,
        run: reuse_address,
        expect: |_| {
            Expectation::new()
                .fact("recv(C)", "ECONNRESET")
                .fact("answer to W", "S > W  R. 0:0(0) ack 1")
                .fact("bind(B)", "ok")
                .fact("listen(B)", "ok")
                .fact("B serves a fresh client", "yes")
                .counters(&[("OutRsts", 2), ("EstabResets", 2)])
                .wire("C", &format!("{SERVED}-- close(A) --\nS > C  R. 1:1(0) ack 12"))
        },
        ..Case::DEFAULT
    },
    Case {
        name: "substitute/draining",
        does: "C's child waits in A's queue, and W's request is in flight; B listens; A accepts \
               until EAGAIN and is closed; then W sends its ACK with data.",
        must: "Draining saves the child, but not the request. Off: W is answered by an RST without \
               ACK. On: B has its connection.",
        documents: &[TALK.at("draining"), COVER_LETTER.at("draining")],
        source: "inet_csk_accept(); tcp_v4_rcv()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::OffAndOn(
            &[wires::C_IS_ANSWERED, wires::W_REFUSED],
            &[wires::C_IS_ANSWERED, wires::W_SENDS],
        ),
        run: draining,
        expect: draining_must,
        ..Case::DEFAULT
    },
    Case {
        name: "substitute/stopped-member",
        does: "A's process is stopped; 100 clients connect to the group of A and B; then A's \
               process goes on and serves what waits.",
        must: "Every connect succeeds. B gets about half, and the other half waits for A, not for \
               B, until A goes on. The bounds fail on a correct kernel less than once in ten \
               million runs.",
        source: "the blog post's test with two servers, 46 of 100; \
                 reuseport_select_sock_by_hash()",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: stopped_member,
        expect: |_| {
            let share = binomial_bounds(CLIENTS as u64, 0.5, RISK);
            Expectation::new()
                .fact("connections", CLIENTS)
                .between("connections to B", share)
                .between("connections to A", share)
                .fact("connections to A and B", CLIENTS)
                .fact("served by A when it goes on", "all that waited, each once")
                .counters(&[("PassiveOpens", CLIENTS as i64)])
        },
        ..Case::DEFAULT
    },
];

const CLIENTS: usize = 100;

/// How seldom the bounds may fail on a correct kernel, in one family.
const RISK: f64 = 3e-8;

fn reuse_address(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.socket("A")?;
    let ready = a.reuse_address().and_then(|()| a.bind()).and_then(|()| a.listen(BACKLOG));
    ready.tested(|| "bind(A), listen(A)".into())?;
    let client = hello(lab, "C")?;
    let mut w = lab.wire_client("W")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe("recv(C)", client.receive()?.to_string());
    let answer = lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe("answer to W", answer);
    lab.observe_counters(&before)?;
    let b = lab.socket("B")?;
    lab.observe("bind(B)", outcome(b.reuse_address().and_then(|()| b.bind())));
    lab.observe("listen(B)", outcome(b.listen(BACKLOG)));
    lab.observe_service(&b)
}

fn draining(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let drained = lab.accept_now(&a)?;
    lab.observe("accept(A), again", a.try_accept());
    lab.close(a);
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    lab.observe("answer to W's data", answer);
    lab.observe_counters(&before)?;
    if let Some(child) = drained {
        lab.observe("recv(A's child)", child.receive_now()?.to_string());
        child.send(b"Hi")?;
        lab.observe("recv(C)", client.receive()?.to_string());
    }
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
    }
    lab.observe_service(&b)
}

fn draining_must(setting: Setting) -> Expectation {
    let common = Expectation::new()
        .fact("accept(A)", "C's connection")
        .fact("accept(A), again", "EAGAIN")
        .fact("recv(A's child)", "`Hello World`")
        .fact("recv(C)", "`Hi`")
        .fact("B serves a fresh client", "yes");
    match setting.migration {
        Migration::Off => common
            .fact("answer to W's data", "S > W  R 1:1(0)")
            .fact("accept(B)", "EAGAIN")
            .counters(&[("OutRsts", 1)]),
        Migration::On => common
            .fact("answer to W's data", "S > W  . 1:1(0) ack 12")
            .fact("accept(B)", "W's connection")
            .fact("recv(B's child)", "`Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
    }
}

fn stopped_member(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen_with_backlog("A", CLIENTS as i32)?;
    let mut server = lab.start_server("the server", &a)?;
    let b = lab.listen_with_backlog("B", CLIENTS as i32)?;
    server.stop()?;
    let before = lab.counters()?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = lab.connect("a client")?;
        client.send(b"?")?;
        clients.push(client);
    }
    lab.settle()?;
    let [waiting, others] = [a.queue()?, b.queue()?].map(|queue| i64::from(queue.waiting));
    // The process is the only one that has A open.
    lab.close(a);
    lab.observe("connections", clients.len());
    lab.observe("connections to A", waiting);
    lab.observe("connections to B", others);
    lab.observe("connections to A and B", waiting + others);
    lab.observe_counters(&before)?;
    server.resume()?;
    let served = server.serve(waiting as usize)?;
    let mut ports: Vec<u16> = served.iter().map(|one| one.peer.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let answered = clients.iter().filter(|client| ports.contains(&client.local.port()));
    let mut hi = 0_i64;
    for client in answered {
        hi += i64::from(client.receive()?.to_string() == "`Hi`");
    }
    let all = hi == waiting && ports.len() as i64 == waiting;
    let shown =
        if all { "all that waited, each once".into() } else { format!("{hi} of {waiting}") };
    lab.observe("served by A when it goes on", shown);
    server.end()
}
