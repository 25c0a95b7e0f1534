//! Listeners and groups of Multipath TCP: which connections survive a migration, and what
//! they speak then.

use harness::lab::Lab;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Child, Listener, Stream};

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::cases::mptcp::keys::{
    ACKNOWLEDGED, ListenerProtocol, accepts, asked, data_with, end, multipath_counters,
    observe_child, syn,
};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{RESET, data};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "mptcp/child",
        does: "A and B are listeners of Multipath TCP. W's child, which speaks it, waits in A's \
               queue with data; A is closed.",
        must: "Such a child is lost with or without migration: MPTCP resets those that wait \
               (MP_FASTCLOSE) before TCP empties the queue. On: what is left of the child moves \
               nevertheless, and counts as a success: B accepts a TCP connection without data, \
               whose client is gone.",
        source: "mptcp_subflow_queue_clean(), mptcp_do_fastclose(), inet_csk_listen_stop(); \
                 fff0c8799667",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Multipath],
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
            let key = lab.server_key(&w).unwrap_or_default();
            lab.wire_send(&mut w, &data_with(key))?;
            let b = lab.listen_multipath("B")?;
            ends(lab, a, &b, &mut w, None)
        },
        expect: |setting| match setting.migration {
            Migration::Off => lost("MPTCP", "R. with mp_fastclose, R.")
                .counters(&[("OutRsts", 2), ("EstabResets", 1)]),
            Migration::On => kept("MPTCP", "TCP")
                .with(&[("recv(B's child)".into(), "EAGAIN".into())])
                .fact("resets to W", "R. with mp_fastclose")
                .counters(&[("OutRsts", 1), ("TCPMigrateReqSuccess", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/plain-child",
        does: "As mptcp/child, but W does not ask for Multipath TCP.",
        must: "The child of such a client is an ordinary one of TCP. Off: it is reset. On: B \
               accepts it, as a TCP connection with its data, and nothing is seen on the wire.",
        source: "subflow_ulp_clone(), mptcp_subflow_queue_clean(): sk_is_mptcp()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Multipath],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &Draft::syn())?;
            lab.wire_send(&mut w, &data())?;
            let b = lab.listen_multipath("B")?;
            ends(lab, a, &b, &mut w, None)
        },
        expect: |setting| match setting.migration {
            Migration::Off => lost("TCP", "R.").counters(&[("OutRsts", 1), ("EstabResets", 1)]),
            Migration::On => kept("TCP", "TCP")
                .fact("resets to W", "none")
                .counters(&[("TCPMigrateReqSuccess", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/request",
        does: "A and B are listeners of Multipath TCP. W's request, which asks for it, is A's; A \
               is closed. W ends the handshake with both keys and data.",
        must: "Off: an RST without ACK. On: B accepts a connection of Multipath TCP with its data; \
               A's key is valid at B too, since it belongs to the request.",
        source: "subflow_syn_recv_sock(): mptcp_token_accept(); inet_csk_complete_hashdance()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Multipath],
        wire: WireRule::OffAndOn(&[wires::W_REFUSED], &[wires::W_SENDS]),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
            let key = lab.server_key(&w).unwrap_or_default();
            let b = lab.listen_multipath("B")?;
            ends(lab, a, &b, &mut w, Some(data_with(key)))
        },
        expect: |setting| request_must(setting, "MPTCP"),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/plain-request",
        does: "As mptcp/request, but W does not ask for Multipath TCP.",
        must: "Off: an RST without ACK. On: the data completes the handshake on B, which accepts \
               a TCP connection.",
        source: "subflow_check_req(), subflow_syn_recv_sock()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Multipath],
        wire: WireRule::OffAndOn(&[wires::W_REFUSED], &[wires::W_SENDS]),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &Draft::syn())?;
            let b = lab.listen_multipath("B")?;
            ends(lab, a, &b, &mut w, Some(data()))
        },
        expect: |setting| request_must(setting, "TCP"),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/cookie",
        does: "As mptcp/request, but tcp_syncookies is 2: A keeps no request.",
        must: "With or without migration, nothing has to migrate: the keys come back with the \
               data, and B accepts a connection of Multipath TCP.",
        source: "mptcp_subflow_init_cookie_req(): mptcp_token_new_request()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Multipath, Need::SynCookies],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            lab.sysctl("net.ipv4.tcp_syncookies", "2")?;
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
            let key = lab.server_key(&w).unwrap_or_default();
            let b = lab.listen_multipath("B")?;
            ends(lab, a, &b, &mut w, Some(data_with(key)))
        },
        expect: |_| {
            kept("MPTCP", "MPTCP")
                .fact("answer to data", ACKNOWLEDGED)
                .fact("resets to W", "none")
                .counters(&[("SyncookiesRecv", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/tcp-to-mptcp",
        does: "A is a listener of TCP, B of Multipath TCP, in one group. V and W ask for Multipath \
               TCP: A has V's child in its queue, and W's request; A is closed; W sends data.",
        must: "A has answered in TCP, so both are plain, and stay so: B accepts both as TCP \
               connections.",
        source: "reuseport_migrate_sock(), subflow_syn_recv_sock(): is_mptcp of the request",
        settings: Settings::FamiliesOn,
        needs: &[Need::Multipath],
        wire: WireRule::Shows(&[
            (
                "V",
                "
                V > S  S 0:0(0)
                S > V  S. 0:0(0) ack 1
                V > S  P. 1:12(11) ack 1
                S > V  . 1:1(0) ack 12
                S > V  R. 1:1(0) ack 12
                ...
            ",
            ),
            wires::W_SENDS,
        ]),
        run: tcp_to_multipath,
        expect: |_| tcp_to_multipath_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/mptcp-to-tcp",
        does: "A is a listener of Multipath TCP, B of TCP, in one group. W, which does not ask for \
               Multipath TCP, has its child in A's queue, with data; A is closed.",
        must: "A group does not distinguish its members by protocol: B accepts the child, as a TCP \
               connection with its data.",
        source: "inet_csk_listen_stop(), reuseport_migrate_sock()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Multipath],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &Draft::syn())?;
            lab.wire_send(&mut w, &data())?;
            let b = lab.listen("B")?;
            ends(lab, a, &b, &mut w, None)
        },
        expect: |_| {
            kept("TCP", "TCP").fact("resets to W", "none").counters(&[("TCPMigrateReqSuccess", 1)])
        },
        ..Case::DEFAULT
    },
];

/// A is closed; W ends its handshake if it has not yet; what does B accept?
pub(super) fn ends(
    lab: &mut Lab,
    a: Listener,
    b: &Listener,
    w: &mut WireClient,
    last: Option<Draft>,
) -> harness::Result<()> {
    let before = lab.counters()?;
    lab.close(a);
    lab.settle()?;
    if let Some(last) = last {
        let answer = lab.wire_send(w, &last)?;
        lab.observe("answer to data", answer);
    }
    let child = observe_child(lab, b)?;
    lab.observe_counters(&before)?;
    lab.observe_multipath(&before)?;
    end(lab, child, w)?;
    lab.observe_service(b)
}

/// B accepts nothing.
fn lost(agreed: &str, resets: &str) -> Expectation {
    Expectation::new()
        .fact("the SYN+ACK speaks", agreed)
        .fact("accept(B)", "EAGAIN")
        .fact("B's child speaks", "no child")
        .fact("recv(B's child)", "no child")
        .fact("resets to W", resets)
        .fact("B serves a fresh client", "yes")
        .with(&multipath_counters(0))
}

/// B accepts W's connection, with its data, and is as good as before.
fn kept(agreed: &str, protocol: &str) -> Expectation {
    accepts(agreed, protocol).fact("B serves a fresh client", "yes")
}

fn request_must(setting: Setting, protocol: &str) -> Expectation {
    match setting.migration {
        Migration::Off => {
            lost(protocol, "R").fact("answer to data", RESET).counters(&[("OutRsts", 1)])
        }
        Migration::On => kept(protocol, protocol)
            .fact("answer to data", ACKNOWLEDGED)
            .fact("resets to W", "none")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
    }
}

/// A has V's child and W's request when it is closed. What does B accept?
fn tcp_to_multipath(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = asked(lab, ListenerProtocol::Tcp, &syn())?;
    let mut v = lab.wire_client("V")?;
    lab.wire_syn(&mut v, &syn())?;
    lab.wire_send(&mut v, &data())?;
    let b = lab.listen_multipath("B")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.settle()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    let children = [b.accept()?, b.accept()?];
    for (which, client, child) in [("first", "V", &children[0]), ("second", "W", &children[1])] {
        let whose = lab.trace().name_of(child.peer);
        let what = format!("{whose}'s, {}, {}", child.protocol()?, child.receive_now()?);
        lab.observe(&format!("the {which} that B accepts"), what);
        lab.observe_resets(client);
    }
    lab.observe_counters(&before)?;
    children.iter().try_for_each(Child::abort)?;
    lab.observe_service(&b)
}

fn tcp_to_multipath_must() -> Expectation {
    Expectation::new()
        .fact("the SYN+ACK speaks", "TCP")
        .fact("answer to data", ACKNOWLEDGED)
        .fact("the first that B accepts", "V's, TCP, `Hello World`")
        .fact("the second that B accepts", "W's, TCP, `Hello World`")
        .fact("resets to V", "none")
        .fact("resets to W", "none")
        .fact("B serves a fresh client", "yes")
        .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 1)])
}
