//! What a program can answer when it is asked about a migration, on each path.

use harness::bpf::Condition::Migrating;
use harness::bpf::{Attach, DROP, PASS, Program, SockArray, Statement, select, when};
use harness::lab::Lab;
use harness::trace::Part;

use crate::case::{Case, Settings};
use crate::cases::ebpf::path::{Path, SHUT_DOWN, begin, end, go_on, listen};
use crate::cases::ebpf::runs::{Runs, observe_accepted_by};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::fast_open::FAST_OPEN;
use crate::steps::request::{IN_FLIGHT, RESET, SYN_ACK, observe_fresh_syn};
use crate::steps::syn_ack_timer::FIRST;

/// What the program answers then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Select,
    Pass,
    Drop,
}

impl Answer {
    /// The program's end. C has index 2.
    fn statements(self, group: &SockArray) -> Vec<Statement<'_>> {
        match self {
            Self::Select => vec![when(Migrating, [select(group, 2)]), PASS],
            Self::Pass => vec![PASS],
            Self::Drop => vec![when(Migrating, [DROP]), PASS],
        }
    }
}

/// A case of a path and an answer, which are the same with the sysctl and without.
macro_rules! asked {
    ($name:literal, $path:ident, $answer:ident, $does:literal, $must:literal, $source:literal) => {
        Case {
            name: $name,
            does: concat!(
                "A's group has a program that counts its runs; A has received W's SYN; B, C and D \
                 listen. ",
                $does
            ),
            must: $must,
            source: $source,
            settings: Settings::FamiliesOffAndOn,
            needs: Path::$path.needs(),
            waits_for: Path::$path.waits_for(),
            wire: WireRule::Any(AnyWire::AnswersAreFacts),
            run: |lab, _| asked(lab, Path::$path, Answer::$answer),
            expect: |_| must(Path::$path, Answer::$answer),
            ..Case::DEFAULT
        }
    };
}

pub(super) const CASES: &[Case] = &[
    asked!(
        "ebpf/close/select",
        Close,
        Select,
        "W's child with data waits; A is closed. When migrating, the program selects index 2.",
        "C accepts the child with its data, whatever the sysctl; the close is not seen on the \
         wire, and the program ran once for the SYN and once for the child.",
        "inet_csk_listen_stop(), bpf_run_sk_reuseport(), d5e4ddaeb6ab"
    ),
    asked!(
        "ebpf/close/pass",
        Close,
        Pass,
        "W's child with data waits; A is closed. The program always passes.",
        "One of B, C and D accepts the child with its data: the hash chooses, with the sysctl \
         at 0 too.",
        "reuseport_migrate_sock(): select_by_hash"
    ),
    asked!(
        "ebpf/close/drop",
        Close,
        Drop,
        "W's child with data waits; A is closed. When migrating, the program drops.",
        "The child is reset, with the sysctl at 1 too, by an RST that acknowledges the data; one \
         failed migration is counted.",
        "reuseport_migrate_sock(): failure"
    ),
    asked!(
        "ebpf/shutdown/select",
        Shutdown,
        Select,
        "W's child with data waits; A is shut down. When migrating, the program selects index 2.",
        "C accepts the child with its data; nothing is seen on the wire.",
        "inet_csk_listen_stop(); the upstream selftest does it so"
    ),
    asked!(
        "ebpf/shutdown/pass",
        Shutdown,
        Pass,
        "W's child with data waits; A is shut down. The program always passes.",
        "One of B, C and D accepts the child with its data.",
        "reuseport_migrate_sock(): select_by_hash"
    ),
    asked!(
        "ebpf/shutdown/drop",
        Shutdown,
        Drop,
        "W's child with data waits; A is shut down. When migrating, the program drops.",
        "The child is reset, and one failed migration is counted.",
        "reuseport_migrate_sock(): failure"
    ),
    asked!(
        "ebpf/fast-open/select",
        FastOpen,
        Select,
        "W's Fast Open child waits; A is closed. When migrating, the program selects index 2.",
        "C accepts the child with the data of its SYN, and W's ACK ends the handshake there.",
        "inet_csk_listen_stop(), a child in SYN_RECV"
    ),
    asked!(
        "ebpf/fast-open/pass",
        FastOpen,
        Pass,
        "W's Fast Open child waits; A is closed. The program always passes.",
        "One of B, C and D accepts the child with the data of its SYN.",
        "reuseport_migrate_sock(): select_by_hash"
    ),
    asked!(
        "ebpf/fast-open/drop",
        FastOpen,
        Drop,
        "W's Fast Open child waits; A is closed. When migrating, the program drops.",
        "The child is reset by an RST that acknowledges its SYN's data; one failed migration is \
         counted.",
        "inet_child_forget()"
    ),
    asked!(
        "ebpf/final-ack/select",
        FinalAck,
        Select,
        "A is closed, and W sends its ACK with data. When migrating, the program selects index 2.",
        "The ACK completes the handshake on C, which has the data.",
        "tcp_v4_rcv(), tcp_v6_rcv(), inet_csk_complete_hashdance()"
    ),
    asked!(
        "ebpf/final-ack/pass",
        FinalAck,
        Pass,
        "A is closed, and W sends its ACK with data. The program always passes.",
        "The ACK completes the handshake on one of B, C and D.",
        "reuseport_migrate_sock(): select_by_hash"
    ),
    asked!(
        "ebpf/final-ack/drop",
        FinalAck,
        Drop,
        "A is closed, and W sends its ACK with data. When migrating, the program drops.",
        "The request is dropped, the ACK looks for a listener as any segment does, and is \
         answered by an RST without ACK; one failed migration is counted.",
        "tcp_v4_rcv(), tcp_v6_rcv(): inet_csk_reqsk_queue_drop_and_put(), goto lookup"
    ),
    asked!(
        "ebpf/timer/select",
        Timer,
        Select,
        "A is closed, W is silent, and the SYN+ACK timer fires; then W sends data. When \
         migrating, the program selects index 2.",
        "The request moves to C with the same SYN+ACK again, and the data completes the \
         handshake there; the program ran for the timer, and not again.",
        "reqsk_timer_handler()"
    ),
    asked!(
        "ebpf/timer/pass",
        Timer,
        Pass,
        "A is closed, W is silent, and the SYN+ACK timer fires; then W sends data. The program \
         always passes.",
        "The request moves to one of B, C and D, and the data completes the handshake there.",
        "reqsk_timer_handler()"
    ),
    asked!(
        "ebpf/timer/drop",
        Timer,
        Drop,
        "A is closed, W is silent, and the SYN+ACK timer fires; then W sends data. When \
         migrating, the program drops.",
        "The request is dropped in silence, and one failed migration is counted; the data is \
         answered by an RST without ACK.",
        "reqsk_timer_handler(): drop"
    ),
];

fn asked(lab: &mut Lab, path: Path, answer: Answer) -> harness::Result<()> {
    let (group, runs) = (SockArray::new(4)?, Runs::new()?);
    let mut statements = runs.counted();
    statements.extend(answer.statements(&group));
    let program = Program::load(Attach::SelectOrMigrate, &statements)?;
    if path == Path::FastOpen {
        lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    }
    let a = listen(lab, "A", path)?;
    lab.attach(&a, &program)?;
    let mut w = begin(lab, path)?;
    let [b, c, d] = [listen(lab, "B", path)?, listen(lab, "C", path)?, listen(lab, "D", path)?];
    lab.fill_array(&group, &[&a, &b, &c, &d])?;
    let before = lab.counters()?;
    let _kept = end(lab, a, path)?;
    match (path, answer) {
        (Path::Timer, Answer::Drop) => lab.until_no_request(&w, FIRST)?,
        (Path::Timer, _) => lab.until_syn_acks(&w, 2, FIRST)?,
        _ => {}
    }
    go_on(lab, &mut w, path)?;
    lab.observe_sockets("then")?;
    lab.observe_counters(&before)?;
    lab.observe("runs", runs.shown()?);
    lab.begin(Part::TakingDown);
    observe_accepted_by(lab, &[&b, &c, &d])?;
    observe_fresh_syn(lab)
}

fn must(path: Path, answer: Answer) -> Expectation {
    let dropped = answer == Answer::Drop;
    let in_handshake = matches!(path, Path::FinalAck | Path::FinalAckShutdown | Path::Timer);
    let counter = if dropped { "TCPMigrateReqFailure" } else { "TCPMigrateReqSuccess" };
    let established = matches!(path, Path::Close | Path::Shutdown);
    // A Fast Open child that was reset is gone when its ACK comes.
    let resets = i64::from(dropped) + i64::from(dropped && path == Path::FastOpen);
    let must = Expectation::new()
        .fact("runs", runs(path, dropped))
        .fact("answer to a fresh SYN", SYN_ACK)
        .fact("fresh SYNs dropped for a full queue", 0)
        .counters(&[
            (counter, 1),
            ("PassiveOpens", i64::from(in_handshake && !dropped)),
            ("OutRsts", resets),
            ("EstabResets", i64::from(established && dropped)),
        ])
        .wire("W", &wire(path, dropped));
    let must = match answer {
        Answer::Select => must.fact("accepted by", "C"),
        Answer::Pass => must.one_of("accepted by", &["B", "C", "D"]),
        Answer::Drop => must.fact("accepted by", "none"),
    };
    let three = "a listener, a listener, a listener";
    let (sockets, received) = match dropped {
        true => (three.to_owned(), "none"),
        false => (format!("W's child ESTABLISHED, {three}"), "`Hello World`"),
    };
    must.fact("sockets then", sockets).fact("received", received)
}

fn runs(path: Path, dropped: bool) -> &'static str {
    match (path, dropped) {
        (Path::Close | Path::Shutdown, _) => "new 1, ESTABLISHED 1",
        (Path::FastOpen, false) => "new 1, SYN_RECV 1",
        (Path::FinalAck | Path::FinalAckShutdown, false) => "new 1, by segment 1",
        (Path::Timer, false) => "new 1, by timer 1",
        // What W sends then has no connection and no request.
        (Path::FastOpen, true) => "new 2, SYN_RECV 1",
        (Path::FinalAck | Path::FinalAckShutdown, true) => "new 2, by segment 1",
        (Path::Timer, true) => "new 2, by timer 1",
    }
}

fn wire(path: Path, dropped: bool) -> String {
    let served = "W > S  P. 1:12(11) ack 1";
    let answered = if dropped { RESET } else { "S > W  . 1:1(0) ack 12" };
    let reset = if dropped { "S > W  R. 1:1(0) ack 12" } else { "" };
    let established = |act: &str| {
        format!(
            "W > S  S 0:0(0)
             S > W  S. 0:0(0) ack 1
             {served}
             S > W  . 1:1(0) ack 12
             -- {act} --
             {reset}"
        )
    };
    let until_done = match path {
        Path::Close => established("close(A)"),
        Path::Shutdown => established(SHUT_DOWN),
        Path::FastOpen => {
            let after = if dropped { RESET } else { "" };
            format!(
                "W > S  S 0:11(11)
                 S > W  S. 0:0(0) ack 12
                 -- close(A) --
                 {reset}
                 W > S  . 12:12(0) ack 1
                 {after}"
            )
        }
        Path::FinalAck | Path::FinalAckShutdown => format!("{IN_FLIGHT}{served}\n{answered}"),
        Path::Timer => {
            let again = if dropped { "" } else { "S > W  S. 0:0(0) ack 1" };
            format!("{IN_FLIGHT}{again}\n{served}\n{answered}")
        }
    };
    format!("{until_done}\n-- done --\n...")
}
