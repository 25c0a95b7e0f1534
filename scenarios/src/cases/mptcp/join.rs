//! Subflows that join a connection of Multipath TCP, and listeners that close meanwhile. J asks to
//! join W's connection, which A has accepted; its request is A's, and has a reference to the
//! connection. A subflow that has joined is in no accept queue.

use harness::lab::{JOINS_WATCHED, Lab};
use harness::net::multipath::{End, hmac, initial_data_sequence, token};
use harness::net::witness::Counters;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Child, Listener, Stream};
use harness::trace::observation::Value;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::cases::mptcp::keys::{
    CLIENT_KEY, ListenerProtocol, abort_of, asked, data_with, end_of, listen, syn,
};
use crate::document::RFC_8684;
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::syn_ack_timer::FIRST;

const NEEDS: &[Need] = &[Need::Multipath];

/// For what gives a connection back twice on kernels with a bug, which use it after it was freed.
const HARMFUL: &[Need] = &[Need::Multipath, Need::ExplicitOnly];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "mptcp/join",
        does: "A is a listener of Multipath TCP, and has accepted W's connection. J asks to join \
               it, ends its handshake, and sends data.",
        must: "J becomes a subflow: A accepts nothing, and J's data arrives in W's connection.",
        source: "subflow_syn_recv_sock(): mptcp_finish_join(); tcp_check_req(): drop_req",
        settings: Settings::Families,
        needs: NEEDS,
        wire: WireRule::Shows(&[J_JOINS]),
        run: |lab, _| {
            lab.allow_subflows()?;
            let (a, mut connection) = connected(lab)?;
            let before = lab.counters()?;
            let join = asks(lab, &connection)?;
            ends(lab, &a, &mut connection, join, &before)
        },
        expect: |_| joined("A").with(&joins(1, 1, 0)).counters(&[("PassiveOpens", 1)]),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/join-after-close",
        does: "As mptcp/join, but A is closed before J asks, and B, another listener of Multipath \
               TCP, listens.",
        must: "With or without migration the token says which connection is meant, whichever \
               listener has accepted it: J becomes a subflow by a request that is B's.",
        source: "subflow_check_req(): mptcp_token_get_sock()",
        settings: Settings::FamiliesOffAndOn,
        needs: NEEDS,
        wire: WireRule::Shows(&[J_JOINS]),
        run: |lab, _| {
            lab.allow_subflows()?;
            let (a, mut connection) = connected(lab)?;
            let b = lab.listen_multipath("B")?;
            lab.close(a);
            let before = lab.counters()?;
            let join = asks(lab, &connection)?;
            ends(lab, &b, &mut connection, join, &before)
        },
        expect: |_| joined("B").with(&joins(1, 1, 0)).counters(&[("PassiveOpens", 1)]),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/join-request",
        does: "A and B are listeners of Multipath TCP. A has accepted W's connection, and has the \
               request of J, which asks to join it; A is closed. J ends its handshake, and sends \
               data.",
        must: "Off: an RST without ACK answers both. On: J becomes a subflow of W's connection, by \
               way of B, which accepts nothing. No request moves, so none is counted as moved.",
        source: "reuseport_migrate_sock(); tcp_check_req(): drop_req comes before \
                 inet_csk_complete_hashdance()",
        settings: Settings::FamiliesOffAndOn,
        needs: NEEDS,
        wire: WireRule::OffAndOn(&[J_REFUSED], &[J_JOINS]),
        run: |lab, _| {
            lab.allow_subflows()?;
            let (a, mut connection) = connected(lab)?;
            let join = asks(lab, &connection)?;
            let b = lab.listen_multipath("B")?;
            lab.close(a);
            let before = lab.counters()?;
            ends(lab, &b, &mut connection, join, &before)
        },
        expect: |setting| match setting.migration {
            Migration::Off => refused("B").counters(&[("OutRsts", 2)]),
            Migration::On => joined("B").with(&joins(0, 1, 0)).counters(&[("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/join-wrong-hmac",
        does: "As mptcp/join-request, but J's HMAC is wrong.",
        must: "With migration, B's answer is an RST with MP_TCPRST, as A's would be. The request is \
               gone, and W's connection is unaffected.",
        source: "subflow_syn_recv_sock(): subflow_hmac_valid(), dispose_child",
        settings: Settings::FamiliesOn,
        needs: NEEDS,
        wire: WireRule::Shows(&[J_DISPOSED_OF]),
        run: |lab, _| {
            lab.allow_subflows()?;
            let (mut connection, mut join, b) = closed(lab)?;
            let before = lab.counters()?;
            let wrong = join.hmac.map(|byte| !byte);
            let end = Draft::new(".", 1, 1).mp_join_end(&wrong);
            disposed_of(lab, &mut join, &end, &b, &mut connection, &before)?;
            lab.observe_joins(&before)
        },
        expect: |_| disposed_of_must().with(&joins(0, 0, 1)),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/join-limit",
        does: "As mptcp/join-request, but W's connection may have no further subflow, which the \
               kernel looks at only when J's handshake ends.",
        must: "With migration, B's answer is an RST with MP_TCPRST, as A's would be. The request is \
               gone, and W's connection is unaffected.",
        source: "subflow_syn_recv_sock(): mptcp_can_accept_new_subflow(), dispose_child",
        settings: Settings::FamiliesOn,
        needs: NEEDS,
        wire: WireRule::Shows(&[J_DISPOSED_OF]),
        run: |lab, _| {
            lab.limit_subflows(0)?;
            let (mut connection, mut join, b) = closed(lab)?;
            let before = lab.counters()?;
            let end = Draft::new(".", 1, 1).mp_join_end(&join.hmac);
            disposed_of(lab, &mut join, &end, &b, &mut connection, &before)?;
            let joined = lab.counters()?.grown(&before, "MPJoinAckRx");
            lab.observe("MPJoinAckRx", joined.unwrap_or(-1));
            Ok(())
        },
        expect: |_| disposed_of_must().fact("MPJoinAckRx", 0),
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/join-cookie",
        does: "As mptcp/join-request, but tcp_syncookies is 2 when J asks: A keeps no request.",
        must: "With or without migration, nothing has to migrate: what the final ACK does not \
               bring, the kernel has kept for it, and J becomes a subflow by way of B.",
        source: "subflow_init_req_cookie_join_save(), mptcp_token_join_cookie_init_state()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Multipath, Need::SynCookies],
        wire: WireRule::Shows(&[J_JOINS]),
        run: |lab, _| {
            lab.allow_subflows()?;
            let (a, mut connection) = connected(lab)?;
            lab.sysctl("net.ipv4.tcp_syncookies", "2")?;
            let join = asks(lab, &connection)?;
            let b = lab.listen_multipath("B")?;
            lab.close(a);
            let before = lab.counters()?;
            ends(lab, &b, &mut connection, join, &before)
        },
        expect: |_| {
            joined("B")
                .with(&joins(0, 1, 0))
                .counters(&[("SyncookiesRecv", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/timer-join",
        does: "As mptcp/join-request, but the SYN+ACK timer fires before J ends its handshake.",
        must: "Off: the timer drops the request in silence. On: it moves the request to B, whose \
               SYN+ACK has the same HMAC, and J becomes a subflow. The clone of the request has a \
               reference of its own to W's connection, which is freed once, at its end.",
        source: "reqsk_timer_handler(), inet_reqsk_clone(): msk; subflow_req_destructor()",
        settings: Settings::FamiliesOffAndOn,
        needs: HARMFUL,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: timer,
        expect: |setting| match setting.migration {
            Migration::Off => refused("B").counters(&[("OutRsts", 2)]),
            Migration::On => joined("B")
                .fact("the second SYN+ACK's HMAC", "the same")
                .with(&joins(0, 1, 0))
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/timer-join-reset",
        does: "As mptcp/timer-join, but J resets its request when the timer has moved it.",
        must: "The request is gone, and W's connection is unaffected: what comes by W arrives, and \
               the connection is freed once, at its end.",
        source: "inet_reqsk_clone(): msk; subflow_req_destructor()",
        settings: Settings::FamiliesOn,
        needs: HARMFUL,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: timer_reset,
        expect: |_| {
            asked_must()
                .fact("the second SYN+ACK's HMAC", "the same")
                .fact("sockets then", "W's child ESTABLISHED, a listener")
                .fact("accept(B)", "EAGAIN")
                .with(&joins(0, 0, 0))
                .counters(&[("TCPMigrateReqSuccess", 1), ("EmbryonicRsts", 1), ("AttemptFails", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "mptcp/request-to-tcp-join",
        does: "As mptcp/join-request, but B is a listener of TCP.",
        must: "A subflow cannot become a connection of its own: J is reset, and B accepts nothing.",
        documents: &[RFC_8684.at("3.7, fallback")],
        source: "subflow_syn_recv_sock(): fallback_is_fatal",
        settings: Settings::FamiliesOn,
        needs: HARMFUL,
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| {
            lab.allow_subflows()?;
            let (a, mut connection) = connected(lab)?;
            let join = asks(lab, &connection)?;
            let b = listen(lab, ListenerProtocol::Tcp, "B")?;
            lab.close(a);
            let before = lab.counters()?;
            ends(lab, &b, &mut connection, join, &before)
        },
        expect: |_| refused("B").counters(&[("OutRsts", 2)]),
        ..Case::DEFAULT
    },
];

/// J becomes a subflow: its final ACK is acknowledged, as RFC 8684 wants, and then its data.
const J_JOINS: (&str, &str) = (
    "J",
    "
    J > S  S 0:0(0)
    S > J  S. 0:0(0) ack 1
    J > S  . 1:1(0) ack 1
    S > J  . 1:1(0) ack 1
    J > S  P. 1:6(5) ack 1
    S > J  . 1:1(0) ack 6
    ...
    ",
);

const J_REFUSED: (&str, &str) = (
    "J",
    "
    J > S  S 0:0(0)
    S > J  S. 0:0(0) ack 1
    J > S  . 1:1(0) ack 1
    S > J  R 1:1(0)
    J > S  P. 1:6(5) ack 1
    S > J  R 1:1(0)
    ",
);

const J_DISPOSED_OF: (&str, &str) = (
    "J",
    "
    J > S  S 0:0(0)
    S > J  S. 0:0(0) ack 1
    J > S  . 1:1(0) ack 1
    S > J  R 1:1(0)
    ",
);

const RESET: &str = "S > J  R 1:1(0)";

/// J's random number.
const NONCE: u32 = 0x1234_5678;

const AGAIN: &[u8] = b"again";

/// W's connection, which A has accepted with its data.
struct Connection {
    w: WireClient,
    child: Child,
    server_key: u64,
}

/// J, whose request to join W's connection a listener has.
struct Join {
    j: WireClient,
    /// By which J ends its handshake.
    hmac: [u8; 32],
    /// The random number of the server's answer.
    nonce: u32,
}

fn connected(lab: &mut Lab) -> harness::Result<(Listener, Connection)> {
    let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
    let server_key = lab.server_key(&w).unwrap_or_default();
    lab.wire_send(&mut w, &data_with(server_key))?;
    let child = a.accept()?;
    lab.observe("recv(W's connection)", child.receive_now()?.to_string());
    Ok((a, Connection { w, child, server_key }))
}

fn asks(lab: &mut Lab, connection: &Connection) -> harness::Result<Join> {
    let mut j = lab.wire_client("J")?;
    lab.wire_syn(&mut j, &Draft::syn().mp_join(token(connection.server_key), NONCE))?;
    let own = End { key: CLIENT_KEY, nonce: NONCE };
    let answer = lab.join_answer(&j, own, connection.server_key);
    lab.observe(
        "the SYN+ACK's HMAC",
        match answer {
            Some((_, true)) => "right",
            Some((_, false)) => "wrong",
            None => "none",
        },
    );
    let nonce = answer.map_or(0, |(nonce, _)| nonce);
    let hmac = hmac(own, End { key: connection.server_key, nonce });
    Ok(Join { j, hmac, nonce })
}

fn asked_must() -> Expectation {
    Expectation::new()
        .fact("the SYN+ACK speaks", "MPTCP")
        .fact("recv(W's connection)", "`Hello World`")
        .fact("the SYN+ACK's HMAC", "right")
        .fact(&abort_of(CONNECTION), "ok")
}

/// J ends its handshake, and sends data. What of it does W's connection have, and what does the
/// listener that is left accept?
fn ends(
    lab: &mut Lab,
    left: &Listener,
    connection: &mut Connection,
    mut join: Join,
    before: &Counters,
) -> harness::Result<()> {
    let answer = lab.wire_send(&mut join.j, &Draft::new(".", 1, 1).mp_join_end(&join.hmac))?;
    lab.observe("answer to the final ACK", answer);
    // After W's data.
    let sequence = initial_data_sequence(CLIENT_KEY).wrapping_add(1 + b"Hello World".len() as u64);
    let again = Draft::new("P.", 1, 1).payload(AGAIN).mapping(sequence, AGAIN.len() as u16);
    let answer = lab.wire_send(&mut join.j, &again)?;
    lab.observe("answer to J's data", answer);
    lab.observe("recv(W's connection), again", connection.child.receive_now()?.to_string());
    let own = lab.accept_now(left)?;
    lab.observe_counters(before)?;
    lab.observe_joins(before)?;
    own.map_or(Ok(()), |own| own.abort())?;
    let sent = lab.sent_meanwhile(&join.j, |lab| end_of_connection(lab, connection))?;
    lab.observe(J_AT_THE_END, sent);
    Ok(())
}

/// What the end of W's connection has the kernel send to J.
const J_AT_THE_END: &str = "J is sent at the end";

fn end_of_connection(lab: &mut Lab, connection: &mut Connection) -> harness::Result<()> {
    end_of(CONNECTION, lab, &connection.child, &mut connection.w)
}

const CONNECTION: &str = "W's connection";

/// J becomes a subflow, and ends with W's connection.
fn joined(left: &str) -> Expectation {
    asked_must()
        .fact(J_AT_THE_END, "S > J  R. 1:1(0) ack 6")
        .fact("answer to the final ACK", "S > J  . 1:1(0) ack 1")
        .fact("answer to J's data", "S > J  . 1:1(0) ack 6")
        .fact("recv(W's connection), again", "`again`")
        .fact(&format!("accept({left})"), "EAGAIN")
}

fn refused(left: &str) -> Expectation {
    asked_must()
        .fact("answer to the final ACK", RESET)
        .fact("answer to J's data", RESET)
        .fact("recv(W's connection), again", "EAGAIN")
        .fact(&format!("accept({left})"), "EAGAIN")
        .fact(J_AT_THE_END, "nothing")
        .with(&joins(0, 0, 0))
}

/// How the counters of [`JOINS_WATCHED`] grow.
fn joins(asked: i64, joined: i64, wrong: i64) -> Vec<(String, Value)> {
    let grown = [asked, joined, wrong, 0];
    let named = JOINS_WATCHED.iter().zip(grown);
    named.map(|(name, grown)| ((*name).to_owned(), grown.into())).collect()
}

/// A, which has J's request, is closed, while B listens.
fn closed(lab: &mut Lab) -> harness::Result<(Connection, Join, Listener)> {
    let (a, connection) = connected(lab)?;
    let join = asks(lab, &connection)?;
    let b = lab.listen_multipath("B")?;
    lab.close(a);
    Ok((connection, join, b))
}

/// J ends its handshake with a segment that the kernel must refuse.
fn disposed_of(
    lab: &mut Lab,
    join: &mut Join,
    end: &Draft,
    b: &Listener,
    connection: &mut Connection,
    before: &Counters,
) -> harness::Result<()> {
    let answer = lab.wire_send(&mut join.j, end)?;
    lab.observe("answer to the final ACK", answer);
    lab.observe_resets("J");
    left_alone(lab, b, connection, before)
}

fn disposed_of_must() -> Expectation {
    asked_must()
        .fact("answer to the final ACK", RESET)
        .fact("resets to J", "R with mp_tcprst")
        .fact("sockets then", "W's child ESTABLISHED, a listener")
        .fact("accept(B)", "EAGAIN")
        // The child was made before it was disposed of.
        .counters(&[("PassiveOpens", 1), ("AttemptFails", 1), ("OutRsts", 1)])
}

/// What is left when J's request has ended without a subflow.
fn left_alone(
    lab: &mut Lab,
    b: &Listener,
    connection: &mut Connection,
    before: &Counters,
) -> harness::Result<()> {
    lab.observe_sockets("then")?;
    lab.accept_now(b)?;
    lab.observe_counters(before)?;
    end_of_connection(lab, connection)
}

fn timer(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    lab.allow_subflows()?;
    let (mut connection, join, b) = closed(lab)?;
    let before = lab.counters()?;
    match setting.migration {
        Migration::Off => lab.until_no_request(&join.j, FIRST)?,
        Migration::On => moved_by_timer(lab, &connection, &join)?,
    }
    ends(lab, &b, &mut connection, join, &before)
}

fn timer_reset(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.allow_subflows()?;
    let (mut connection, mut join, b) = closed(lab)?;
    let before = lab.counters()?;
    moved_by_timer(lab, &connection, &join)?;
    lab.wire_send(&mut join.j, &Draft::new("R", 1, 0))?;
    left_alone(lab, &b, &mut connection, &before)?;
    lab.observe_joins(&before)
}

fn moved_by_timer(lab: &mut Lab, connection: &Connection, join: &Join) -> harness::Result<()> {
    lab.until_syn_acks(&join.j, 2, FIRST)?;
    let own = End { key: CLIENT_KEY, nonce: NONCE };
    let again = lab.join_answer(&join.j, own, connection.server_key);
    lab.observe(
        "the second SYN+ACK's HMAC",
        match again {
            Some((nonce, true)) if nonce == join.nonce => "the same",
            Some((_, true)) => "another, which is right",
            Some((_, false)) => "wrong",
            None => "none",
        },
    );
    Ok(())
}
