//! What a listener of Multipath TCP leaves in its requests, which other listeners complete.
//! Kernels with a bug warn in their log, or leak a socket and its network namespace, so that
//! these cases run only by name.
//!
//! One thing is a token, by which the kernel knows whose key is taken: it must move with the
//! request.
//! Whether a token is taken shows in a handshake that claims its key: V brings it back with a
//! SYN cookie, as if it were its own server's, and the kernel must refuse.

use harness::lab::Lab;
use harness::socket::Listener;
use harness::socket::wire_client::{Draft, WireClient};

use crate::case::{Case, Need, Settings};
use crate::cases::mptcp::keys::{
    ACKNOWLEDGED, ListenerProtocol, accepts, asked, data_with, end, listen, observe_child, reset,
    syn,
};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::data;
use crate::steps::syn_ack_timer::FIRST;

/// A cookie brings back the key that is claimed.
const NEEDS: &[Need] = &[Need::Multipath, Need::SynCookies, Need::ExplicitOnly];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "mptcp/timer",
        does: "A and B are listeners of Multipath TCP. A is closed with W's request, which asks \
               for it; the SYN+ACK timer fires. V claims the server's key of W's request; then W \
               completes its handshake.",
        must: "The second SYN+ACK has the same key. The token moved with the request, so that V is \
               refused; W's connection is one of Multipath TCP, on B. The kernel does not warn.",
        source: "reqsk_timer_handler(), inet_reqsk_clone(): token_node; mptcp_token_accept()",
        settings: Settings::FamiliesOn,
        needs: NEEDS,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| timer(lab, ListenerProtocol::Multipath),
        expect: |_| timer_must("MPTCP"),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/timer-to-tcp",
        does: "As mptcp/timer, but B is a listener of TCP, and V connects to another one.",
        must: "The second SYN+ACK, which B sends, still has A's key. The token moved with the \
               request, so that V is refused; W's connection is one of TCP.",
        source: "tcp_synack_options(): rsk_is_mptcp(); mptcp_token_destroy_request()",
        settings: Settings::FamiliesOn,
        needs: NEEDS,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| timer(lab, ListenerProtocol::Tcp),
        expect: |_| timer_must("TCP"),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/plain-request-to-tcp",
        does: "A is a listener of Multipath TCP, B of TCP, in one group. A is closed with the \
               request of W, which does not ask for Multipath TCP; W sends data.",
        must: "Multipath TCP plays no part any more: the data completes the handshake on B, which \
               accepts a TCP connection.",
        source: "subflow_v4_route_req(): is_mptcp; tcp_check_req(): rsk_drop_req()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Multipath, Need::ExplicitOnly],
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &Draft::syn())?;
            let b = lab.listen("B")?;
            let before = lab.counters()?;
            close(lab, a)?;
            let answer = lab.wire_send(&mut w, &data())?;
            lab.observe("answer to data", answer);
            let child = observe_child(lab, &b)?;
            lab.observe_counters(&before)?;
            lab.observe_multipath(&before)?;
            end(lab, child, &mut w)
        },
        expect: |_| {
            accepts("TCP", "TCP")
                .fact("answer to data", ACKNOWLEDGED)
                .fact("resets to W", "none")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/request-to-tcp",
        does: "A is a listener of Multipath TCP, B of TCP. A is closed with W's request, which asks \
               for it; W ends its handshake with both keys and data. V claims the server's key.",
        must: "W's child is plain, and waits in B's queue. Its request has the token until B \
               accepts: V is refused.",
        source: "inet_csk_complete_hashdance(), inet_reqsk_clone(): token_node",
        settings: Settings::FamiliesOn,
        needs: NEEDS,
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
            let key = lab.server_key(&w).unwrap_or_default();
            let b = lab.listen("B")?;
            close(lab, a)?;
            ended(lab, &mut w, key)?;
            let c = claims(lab, key, None)?;
            accepted(lab, &mut w, b, c)
        },
        expect: |_| must("TCP").fact("answer to data", ACKNOWLEDGED),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/fallback-child",
        does: "A and B are listeners of Multipath TCP. W asks for it and does not bring the keys: \
               its child, which fell back to TCP, waits in A's queue; A is closed. V claims the \
               server's key.",
        must: "The child migrates as a plain one. Its request has the token until B accepts: V is \
               refused.",
        source: "subflow_syn_recv_sock(): fallback; inet_csk_listen_stop(), inet_reqsk_clone(): \
                 token_node",
        settings: Settings::FamiliesOn,
        needs: NEEDS,
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| {
            let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
            let key = lab.server_key(&w).unwrap_or_default();
            lab.wire_send(&mut w, &data())?;
            let b = lab.listen_multipath("B")?;
            close(lab, a)?;
            let c = claims(lab, key, None)?;
            accepted(lab, &mut w, b, c)
        },
        expect: |_| must("TCP"),
        ..Case::DEFAULT
    },
];

fn must(protocol: &str) -> Expectation {
    accepts("MPTCP", protocol).fact("resets to W", "none").fact("W's token", "taken")
}

fn timer_must(protocol: &str) -> Expectation {
    must(protocol)
        .fact("TCPMigrateReqSuccess by the timer", 1)
        .fact("the second SYN+ACK's key", "the same")
        .fact("answer to data", ACKNOWLEDGED)
}

fn timer(lab: &mut Lab, of_b: ListenerProtocol) -> harness::Result<()> {
    let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
    let key = lab.server_key(&w).unwrap_or_default();
    let b = listen(lab, of_b, "B")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    let again = lab.server_key(&w);
    lab.observe(
        "the second SYN+ACK's key",
        match again {
            Some(again) if again == key => "the same",
            Some(_) => "another",
            None => "none",
        },
    );
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("TCPMigrateReqSuccess by the timer", moved);
    let c = claims(lab, key, Some(&b))?;
    ended(lab, &mut w, key)?;
    accepted(lab, &mut w, b, c)
}

fn close(lab: &mut Lab, a: Listener) -> harness::Result<()> {
    lab.close(a);
    lab.settle()
}

/// W brings the keys, and data.
fn ended(lab: &mut Lab, w: &mut WireClient, key: u64) -> harness::Result<()> {
    let answer = lab.wire_send(w, &data_with(key))?;
    lab.observe("answer to data", answer);
    Ok(())
}

/// B accepts W's connection; `c` was there for V.
fn accepted(lab: &mut Lab, w: &mut WireClient, b: Listener, c: Listener) -> harness::Result<()> {
    let before = lab.counters()?;
    let child = observe_child(lab, &b)?;
    lab.observe_multipath(&before)?;
    end(lab, child, w)?;
    lab.close(c);
    lab.close(b);
    Ok(())
}

/// At most this many clients connect until the hash gives one of them to a listener of Multipath TCP.
const TRIES: usize = 24;

/// V ends a handshake with a key that is not its own server's: observed as `W's token`, which
/// is taken if V is refused. It connects to a listener of its own, which is returned, or to another
/// one of Multipath TCP. Where `b` has nobody waiting, V's connection is ended before anybody
/// else can have the same token.
fn claims(lab: &mut Lab, key: u64, b: Option<&Listener>) -> harness::Result<Listener> {
    let c = lab.listen_multipath("C")?;
    lab.sysctl(SYNCOOKIES, "2")?;
    let mut clients: Vec<WireClient> = Vec::new();
    let mut answer = "nobody spoke MPTCP".to_owned();
    while clients.len() < TRIES {
        let name = format!("V{}", clients.len());
        let mut v = lab.wire_client(&name)?;
        lab.wire_syn(&mut v, &syn())?;
        let met = lab.server_key(&v).is_some();
        if met {
            answer = lab.wire_send(&mut v, &data_with(key))?;
        }
        // All stay: the next one must not get the port of the last.
        clients.push(v);
        if met {
            break;
        }
    }
    let last = clients.len().saturating_sub(1);
    let taken = match answer.as_str() {
        "nothing" => "taken".to_owned(),
        acknowledged if acknowledged == format!("S > V{last}  . 1:1(0) ack 12") => "free".into(),
        _ => answer,
    };
    if let ("free", Some(b)) = (taken.as_str(), b) {
        let (_, child) = lab.accept_on_any(&[b, &c])?;
        if let Some(v) = clients.last_mut() {
            let _ended = reset(lab, &child, v)?;
        }
    }
    lab.observe("W's token", taken);
    lab.sysctl(SYNCOOKIES, "0")?;
    Ok(c)
}

const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";
