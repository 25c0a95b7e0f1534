//! Children that were accepted before their handshake was over: their requests still belong to the
//! listener that made them.

use harness::lab::Lab;
use harness::socket::wire_client::Draft;
use harness::socket::{Child, Stream};
use harness::trace::Part;

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{Expectation, WireRule};
use crate::steps::fast_open::{FAST_OPEN, both, listen_for, syn_with_data};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fast-open/accepted-before",
        does: "W's child, by TCP Fast Open, is accepted from A before its handshake is over; B \
               listens; A is closed; then W sends its ACK.",
        must: "The child already belongs to the server: the ACK ends the handshake, and nothing is \
               reset, moved or counted. A is freed, though the child's request belongs to it.",
        source: "tcp_rcv_state_process(), a child in SYN_RECV; reqsk_fastopen_remove() of a \
                 listener that is gone",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Settings],
        run: accepted_before,
        expect: |_| {
            Expectation::new()
                .fact("accept(A)", "W's connection")
                .fact("recv(A's child)", "`Hello World`")
                .fact("answer to the ACK", "nothing")
                .fact("sockets then", "W's child ESTABLISHED, a listener")
                .fact("accept(B)", "EAGAIN")
                .counters(&[])
                .wire(
                    "W",
                    "
                    W > S  S 0:11(11)
                    S > W  S. 0:0(0) ack 12
                    -- close(A) --
                    W > S  . 12:12(0) ack 1
                    -- done --
                    ...
                    ",
                )
        },
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/accepted-before-then-reset",
        does: "As fast-open/accepted-before, but W sends a reset.",
        must: "The child is reset, and A is freed: nothing is kept for the queue of a listener \
               that is gone.",
        source: "reqsk_fastopen_remove(): lsk->sk_state",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Settings],
        wire: WireRule::Shows(&[(
            "W",
            "
                W > S  S 0:11(11)
                S > W  S. 0:0(0) ack 12
                W > S  R 12:12(0)
                ...
            ",
        )]),
        run: accepted_before_and_reset,
        expect: |_| {
            Expectation::new()
                .fact("accept(A)", "W's connection")
                .fact("recv(A's child)", "`Hello World`")
                .fact("recv(A's child), again", "ECONNRESET")
                .fact("sockets then", "a listener")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/two-accepted-and-reset",
        does: "A allows eight unfinished Fast Open children. V's and W's are accepted before their \
               handshakes are over; V resets its own, then W, while A listens; A is closed.",
        must: "A keeps both requests for a minute, as a defence against forged addresses, one \
               after the other, and frees both when it is closed. Nothing else is seen of it.",
        source: "reqsk_fastopen_remove(): rskq_rst_tail; inet_csk_listen_stop(): rskq_rst_head",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Settings],
        wire: WireRule::Shows(&[
            (
                "V",
                "
                V > S  S 0:11(11)
                S > V  S. 0:0(0) ack 12
                V > S  R 12:12(0)
                ",
            ),
            (
                "W",
                "
                W > S  S 0:11(11)
                S > W  S. 0:0(0) ack 12
                W > S  R 12:12(0)
                ",
            ),
        ]),
        run: two_accepted_and_reset,
        expect: |_| {
            Expectation::new()
                .fact("V's child", "`Hello World`, ECONNRESET")
                .fact("W's child", "`Hello World`, ECONNRESET")
                .fact("sockets then", "a listener")
                .fact("sockets after the close", "none")
                .counters(&[("AttemptFails", 4)])
        },
        ..Case::DEFAULT
    },
];

fn accepted_before(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, b, mut w) = both(lab)?;
    let child = lab.accept_now(&a)?;
    let before = lab.counters()?;
    lab.close(a);
    let answer = lab.wire_send(&mut w, &Draft::new(".", 12, 1))?;
    lab.observe("answer to the ACK", answer);
    lab.observe_sockets("then")?;
    lab.accept_now(&b)?;
    if let Some(child) = child {
        lab.observe("recv(A's child)", child.receive_now()?.to_string());
        lab.observe_counters(&before)?;
        lab.begin(Part::TakingDown);
    }
    Ok(())
}

fn accepted_before_and_reset(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, _b, mut w) = both(lab)?;
    let child = lab.accept_now(&a)?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new("R", 12, 0))?;
    if let Some(child) = child {
        lab.observe("recv(A's child)", child.receive_now()?.to_string());
        lab.observe("recv(A's child), again", child.receive_now()?.to_string());
    }
    lab.observe_sockets("then")
}

/// How many unfinished children A allows: more than come.
const EIGHT: i32 = 8;

fn two_accepted_and_reset(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    let a = listen_for(lab, "A", EIGHT)?;
    let mut unfinished = Vec::new();
    for name in ["V", "W"] {
        let mut client = lab.wire_client(name)?;
        lab.wire_syn(&mut client, &syn_with_data())?;
        unfinished.push((client, a.accept()?));
    }
    let before = lab.counters()?;
    for (client, child) in &mut unfinished {
        lab.wire_send(client, &Draft::new("R", 12, 0))?;
        let received = received_twice(child)?;
        lab.observe(&format!("{}'s child", client.name()), received);
    }
    lab.observe_sockets("then")?;
    lab.observe_counters(&before)?;
    lab.close(a);
    lab.observe_sockets("after the close")
}

fn received_twice(child: &Child) -> harness::Result<String> {
    Ok(format!("{}, {}", child.receive_now()?, child.receive_now()?))
}
