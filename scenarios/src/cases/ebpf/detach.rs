//! Who can detach a program, and what the program no longer does then.

use std::net::Shutdown;

use harness::bpf::{Attach, PASS, Program, detach};
use harness::lab::{Lab, outcome};
use harness::socket::bind_spec::BindSpec;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::cases::ebpf::path::{Path, begin};
use crate::cases::ebpf::runs::{Runs, observe_accepted_by};
use crate::judge::expectation::{Expectation, WireRule};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/detach/who",
        does: "A and B are a group with a program, which each of them detaches in turn; sockets \
               without a program try too.",
        must: "Any member may detach it. ENOENT for a group without, for a socket with \
               SO_REUSEPORT and no group, and for a member that was shut down; EINVAL for a \
               socket without SO_REUSEPORT.",
        source: "reuseport_detach_prog()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: who_detaches,
        expect: |_| {
            Expectation::new()
                .fact("by A, that attached it", "ok")
                .fact("again", "ENOENT")
                .fact("by B", "ok")
                .fact("by a socket with the option and no group", "ENOENT")
                .fact("by a socket without the option", "EINVAL")
                .fact("by B, shut down", "ENOENT")
                .fact("by A at last", "ok")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/detach/before-the-close",
        does: "A's group has a program that is asked about migrations; W's child waits; B, C and \
               D listen; B detaches the program; A is closed.",
        must: "As without a program. Off: the child is reset, and no failed migration is counted. \
               On: the hash chooses.",
        source: "reuseport_stop_listen_sock()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: detached_before,
        expect: detached_must,
        ..Case::DEFAULT
    },
];

fn who_detaches(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
    let [a, b] = [lab.listen("A")?, lab.listen("B")?];
    lab.attach(&a, &program)?;
    lab.observe("by A, that attached it", outcome(detach(&a)));
    lab.observe("again", outcome(detach(&a)));
    lab.attach(&a, &program)?;
    lab.observe("by B", outcome(detach(&b)));
    let bound = lab.bind_at("C", &BindSpec::usual(setting.family))?;
    lab.observe("by a socket with the option and no group", outcome(detach(&bound)));
    let bare = lab.socket("D")?;
    lab.observe("by a socket without the option", outcome(detach(&bare)));
    lab.attach(&a, &program)?;
    lab.shut_down(&b, Shutdown::Both)?;
    lab.observe("by B, shut down", outcome(detach(&b)));
    lab.observe("by A at last", outcome(detach(&a)));
    Ok(())
}

fn detached_before(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let runs = Runs::new()?;
    let program = Program::load(Attach::SelectOrMigrate, &runs.counted())?;
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    let _w = begin(lab, Path::Close)?;
    let [b, c, d] = [lab.listen("B")?, lab.listen("C")?, lab.listen("D")?];
    lab.select_by_hash(&b)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe_counters(&before)?;
    lab.observe("runs", runs.shown()?);
    observe_accepted_by(lab, &[&b, &c, &d])
}

fn detached_must(setting: Setting) -> Expectation {
    let must = Expectation::new().fact("runs", "new 1");
    match setting.migration {
        Migration::Off => must
            .fact("accepted by", "none")
            .fact("received", "none")
            .counters(&[("OutRsts", 1), ("EstabResets", 1)]),
        Migration::On => must
            .one_of("accepted by", &["B", "C", "D"])
            .fact("received", "`Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 1)]),
    }
}
