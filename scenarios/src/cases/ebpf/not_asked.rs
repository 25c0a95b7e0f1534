//! Programs that are not asked about migrations.

use harness::bpf::Condition::Migrating;
use harness::bpf::{Attach, DROP, PASS, Program, when};
use harness::lab::Lab;
use harness::socket::Listener;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::cases::ebpf::path::{Path, begin, end, go_on};
use crate::cases::ebpf::runs::{Runs, observe_accepted_by};
use crate::judge::expectation::{Expectation, WireRule};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/select-only/close",
        does: "A program that is only for new connections counts its runs, and would drop what \
               migrates. W's child waits in A's queue; B, C and D listen; A is closed.",
        must: "It is not asked about the child. Off: the child is reset, and no failed migration \
               is counted. On: the hash chooses who accepts the child.",
        source: "reuseport_stop_listen_sock(), reuseport_migrate_sock(): expected_attach_type",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| not_asked(lab, Path::Close),
        expect: |setting| not_asked_must(Path::Close, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/select-only/final-ack",
        does: "A program that is only for new connections counts its runs, and would drop what \
               migrates. A has W's request; B, C and D listen; A is closed; W sends its ACK with \
               data.",
        must: "It is not asked about the request. Off: an RST without ACK, and no failed \
               migration. On: the hash chooses who accepts W's connection.",
        source: "reuseport_migrate_sock(): expected_attach_type",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::OffAndOn(&[wires::W_REFUSED], &[wires::W_SENDS]),
        run: |lab, _| not_asked(lab, Path::FinalAck),
        expect: |setting| not_asked_must(Path::FinalAck, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/classic/close",
        does: "A's group has a classic program that always chooses the first member; W's child \
               waits; B, C and D listen; A is closed.",
        must: "A classic program does not enable migration, and does not run for it. Off: the \
               child is reset, and no failed migration is counted. On: the hash chooses.",
        source: "reuseport_migrate_sock(): expected_attach_type",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            let a = lab.listen("A")?;
            lab.select_index(&a, 0)?;
            abandoned(lab, a, Path::Close)
        },
        expect: |setting| abandoned_must(Path::Close, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/select-only/netlink",
        does: "A and B listen, with a program that would drop every segment. netlink is asked for \
               the listener at their address.",
        must: "There is no packet to show a program, and none runs: the hash chooses which of the two \
               is shown.",
        source: "reuseport_select_sock(): no skb; inet_diag_find_one_icsk()",
        settings: Settings::Families,
        needs: &[Need::Programs, Need::SockDiag],
        wire: WireRule::Silent,
        run: shown_by_netlink,
        expect: |_| Expectation::new().fact("netlink shows", "a listener").fact("runs", "none"),
        ..Case::DEFAULT
    },
];

/// A ends with W's connection, in a group whose program does not run for migrations.
fn abandoned(lab: &mut Lab, a: Listener, path: Path) -> harness::Result<()> {
    let mut w = begin(lab, path)?;
    let [b, c, d] = [lab.listen("B")?, lab.listen("C")?, lab.listen("D")?];
    let before = lab.counters()?;
    let _kept = end(lab, a, path)?;
    go_on(lab, &mut w, path)?;
    lab.observe_sockets("then")?;
    lab.observe_counters(&before)?;
    observe_accepted_by(lab, &[&b, &c, &d])
}

fn abandoned_must(path: Path, setting: Setting) -> Expectation {
    let three = "a listener, a listener, a listener";
    let established = i64::from(path == Path::Close);
    match setting.migration {
        Migration::Off => Expectation::new()
            .fact("sockets then", three)
            .fact("accepted by", "none")
            .fact("received", "none")
            .counters(&[("OutRsts", 1), ("EstabResets", established)]),
        Migration::On => Expectation::new()
            .fact("sockets then", format!("W's child ESTABLISHED, {three}"))
            .one_of("accepted by", &["B", "C", "D"])
            .fact("received", "`Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1 - established)]),
    }
}

fn shown_by_netlink(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let runs = Runs::new()?;
    let mut statements = runs.counted();
    statements.push(DROP);
    let program = Program::load(Attach::Select, &statements)?;
    let (a, _b) = (lab.listen("A")?, lab.listen("B")?);
    lab.attach(&a, &program)?;
    let shown = lab.cookie_of_listener().is_ok();
    lab.observe("netlink shows", if shown { "a listener" } else { "nothing" });
    lab.observe("runs", runs.shown()?);
    Ok(())
}

fn not_asked(lab: &mut Lab, path: Path) -> harness::Result<()> {
    let runs = Runs::new()?;
    let mut statements = runs.counted();
    statements.extend([when(Migrating, [DROP]), PASS]);
    let program = Program::load(Attach::Select, &statements)?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    abandoned(lab, a, path)?;
    lab.observe("runs", runs.shown()?);
    Ok(())
}

fn not_asked_must(path: Path, setting: Setting) -> Expectation {
    // A segment without a connection or a request is looked up among listeners.
    let again = path == Path::FinalAck && setting.migration == Migration::Off;
    abandoned_must(path, setting).fact("runs", if again { "new 2" } else { "new 1" })
}
