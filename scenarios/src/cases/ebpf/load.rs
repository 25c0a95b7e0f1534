//! Which programs can be loaded, and which users can load them.

use harness::bpf::Width::{Byte, Double, Half, Word};
use harness::bpf::{Attach, Field, PASS, Program, Statement, select_index};
use harness::lab::{Lab, outcome};
use harness::process::subprocess::as_second_user;

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{Expectation, WireRule};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/load/attach-types",
        does: "A program that passes is loaded with each attach type from 38 to 41, and with 0 \
               and 1.",
        must: "0, 39 and 40 are accepted: 0 means 39, which selects, and 40 migrates too. All \
               others are EINVAL.",
        source: "bpf_prog_load_check_attach(), bpf_prog_load_fixup_attach_type()",
        settings: Settings::Once,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: attach_types,
        expect: |_| {
            [(0, "ok"), (1, "EINVAL"), (38, "EINVAL"), (39, "ok"), (40, "ok"), (41, "EINVAL")]
                .into_iter()
                .fold(Expectation::new(), |must, (number, came)| {
                    must.fact(&format!("attach type {number}"), came)
                })
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/load/accesses",
        does: "Programs are loaded that read a field of what they are shown, whole or a part, or \
               write to one.",
        must: "Pointers and the hash can only be read whole, eth_protocol only with at least two \
               bytes, other numbers in any part. Everything else, writing included, fails with \
               EACCES.",
        source: "sk_reuseport_is_valid_access()",
        settings: Settings::Once,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: accesses,
        expect: |_| {
            ACCESSES.iter().fold(Expectation::new(), |must, (access, came)| {
                must.fact(&access.to_string(), *came)
            })
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/load/privileges",
        does: "The second user, without capabilities, loads a program; attaches one that root \
               loaded; and attaches a classic one.",
        must: "Loading fails with EPERM. Attaching needs no privilege, for either kind of \
               program.",
        source: "bpf_prog_load(); sk_reuseport_attach_bpf(), sk_reuseport_attach_filter()",
        settings: Settings::Families,
        needs: &[Need::Programs, Need::SecondUid],
        wire: WireRule::Silent,
        run: privileges,
        expect: |_| {
            Expectation::new()
                .fact("loading", "EPERM")
                .fact("attaching", "ok")
                .fact("attaching a classic one", "ok")
        },
        ..Case::DEFAULT
    },
];

fn attach_types(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    for number in [0, 1, 38, 39, 40, 41] {
        let came = Program::try_load(Attach::Number(number), &[PASS])?;
        lab.observe(&format!("attach type {number}"), came);
    }
    Ok(())
}

const ACCESSES: [(Statement<'_>, &str); 18] = [
    (Statement::Read(Field::Data, Double), "ok"),
    (Statement::Read(Field::Data, Word), "EACCES"),
    (Statement::Read(Field::DataEnd, Double), "ok"),
    (Statement::Read(Field::DataEnd, Word), "EACCES"),
    (Statement::Read(Field::Len, Word), "ok"),
    (Statement::Read(Field::Len, Byte), "ok"),
    (Statement::Read(Field::EthProtocol, Half), "ok"),
    (Statement::Read(Field::EthProtocol, Byte), "EACCES"),
    (Statement::Read(Field::IpProtocol, Byte), "ok"),
    (Statement::Read(Field::BindInany, Byte), "ok"),
    (Statement::Read(Field::Hash, Word), "ok"),
    (Statement::Read(Field::Hash, Half), "EACCES"),
    (Statement::Read(Field::Sk, Double), "ok"),
    (Statement::Read(Field::Sk, Word), "EACCES"),
    (Statement::Read(Field::MigratingSk, Double), "ok"),
    (Statement::Read(Field::MigratingSk, Word), "EACCES"),
    (Statement::Write(Field::Len, Word), "EACCES"),
    (Statement::Write(Field::Hash, Word), "EACCES"),
];

fn accesses(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    for (access, _) in ACCESSES {
        let what = access.to_string();
        lab.observe(&what, Program::try_load(Attach::SelectOrMigrate, &[access])?);
    }
    Ok(())
}

fn privileges(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let program = Program::load(Attach::SelectOrMigrate, &[PASS])?;
    let [loading, attaching, classic] = as_second_user(|| {
        let loading = Program::try_load(Attach::SelectOrMigrate, &[PASS]);
        let loading = loading.unwrap_or_else(|e| e.to_string());
        let attaching = outcome(program.attach(&a));
        [loading, attaching, outcome(select_index(&a, 0))]
    })?;
    lab.observe("loading", loading);
    lab.observe("attaching", attaching);
    lab.observe("attaching a classic one", classic);
    Ok(())
}
