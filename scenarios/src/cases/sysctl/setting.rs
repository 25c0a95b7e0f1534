//! The setting: whether code reads it, its range, default and owner.

use harness::lab::{Lab, outcome};
use harness::net::sysctl;
use harness::net::sysctl::MIGRATE_REQ;
use harness::net::witness::Counters;
use harness::process::subprocess::{as_second_user, in_fresh_namespace};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::queued_child::hello;
use crate::steps::wires;

const SUCCESS: &str = "TCPMigrateReqSuccess";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "sysctl/probe",
        does: "Looks for the sysctl and for the counters, and closes a listener with a child in \
               its queue while the sysctl is 1.",
        must: "All three or none: the setting, its counters, and the behaviour came with Linux \
               5.14. (5.10.188 and later have the setting alone, which does nothing.)",
        source: "f9ac779f881c (the sysctl), 55d444b310c6 (the counters), 54b92e841937",
        settings: Settings::Once,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: probe,
        expect: |_| {
            Expectation::new()
                .fact(MIGRATE_REQ, "can be set")
                .fact(SUCCESS, "is counted")
                .fact("quiz 1 with the sysctl at 1", "migrated")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "sysctl/range",
        does: "Writes values to the sysctl, and reads it back after each.",
        must: "0 and 1 are taken, however they are written; anything else is EINVAL and leaves \
               the value alone.",
        source: "proc_dou8vec_minmax() with SYSCTL_ZERO and SYSCTL_ONE",
        settings: Settings::Once,
        needs: &[Need::Migration],
        wire: WireRule::Silent,
        run: range,
        expect: |_| {
            WRITTEN.iter().fold(Expectation::new(), |must, (written, expected)| {
                must.fact(&format!("write {written:?}"), *expected)
            })
        },
        ..Case::DEFAULT
    },
    Case {
        name: "sysctl/default",
        does: "Reads the sysctl in a new network namespace, and in another that is made while \
               the first one's is 1.",
        must: "0 in both: a namespace inherits nothing. The first one's stays 1.",
        source: "tcp_sk_init() does not touch sysctl_tcp_migrate_req",
        settings: Settings::Once,
        needs: &[Need::Migration],
        wire: WireRule::Silent,
        run: default,
        expect: |_| {
            Expectation::new()
                .fact("in a new namespace", "0")
                .fact("in one made by a namespace with 1", "0")
                .fact("in the first one then", "1")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "sysctl/writers",
        does: "A user that does not own the network namespace writes the sysctl and reads it.",
        must: "Writing is EACCES and changes nothing; reading is allowed.",
        source: "net_ctl_permissions(), mode 0644",
        settings: Settings::Once,
        needs: &[Need::Migration, Need::SecondUid],
        wire: WireRule::Silent,
        run: writers,
        expect: |_| {
            Expectation::new()
                .fact("write by the other user", "EACCES")
                .fact("read by the other user", "1")
                .fact("the value then", "1")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "sysctl/counters-of-the-namespace",
        does: "Migrates a child, and reads the counters here and in another namespace.",
        must: "TCPMigrateReqSuccess counts it here and nowhere else.",
        source: "__NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPMIGRATEREQSUCCESS)",
        settings: Settings::Once,
        needs: &[Need::Migration],
        wire: WireRule::Shows(&[wires::C_CONNECTS_AND_SENDS]),
        run: counters_of_the_namespace,
        expect: |_| {
            Expectation::new()
                .fact("migrated", "migrated")
                .fact("here", 1)
                .fact("in another namespace", 0)
        },
        ..Case::DEFAULT
    },
];

/// What is written while the value is 1, and the result.
const WRITTEN: &[(&str, &str)] = &[
    ("0", "ok, then 0"),
    ("1", "ok, then 1"),
    (" 1", "ok, then 1"),
    ("1\n", "ok, then 1"),
    ("01", "ok, then 1"),
    ("0x1", "ok, then 1"),
    ("0x0", "ok, then 0"),
    ("2", "EINVAL, then 1"),
    ("-1", "EINVAL, then 1"),
    ("255", "EINVAL, then 1"),
    ("256", "EINVAL, then 1"),
    ("257", "EINVAL, then 1"),
    ("x", "EINVAL, then 1"),
];

fn range(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    for (written, _) in WRITTEN {
        sysctl::write(MIGRATE_REQ, "1")?;
        let came = lab.try_sysctl(MIGRATE_REQ, written);
        let then = sysctl::read(MIGRATE_REQ)?;
        lab.observe(&format!("write {written:?}"), format!("{came}, then {then}"));
    }
    Ok(())
}

fn default(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.observe("in a new namespace", sysctl::read(MIGRATE_REQ)?);
    lab.sysctl(MIGRATE_REQ, "1")?;
    lab.observe("in one made by a namespace with 1", in_fresh_namespace(read)?);
    lab.observe("in the first one then", sysctl::read(MIGRATE_REQ)?);
    Ok(())
}

fn read() -> String {
    sysctl::read(MIGRATE_REQ).unwrap_or_else(|e| e.to_string())
}

fn writers(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, "1")?;
    let (written, seen) =
        as_second_user(|| (outcome(sysctl::try_write(MIGRATE_REQ, "0")), read()))?;
    lab.observe("write by the other user", written);
    lab.observe("read by the other user", seen);
    lab.observe("the value then", sysctl::read(MIGRATE_REQ)?);
    Ok(())
}

fn probe(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let set = lab.try_sysctl(MIGRATE_REQ, "1") == "ok";
    lab.observe(MIGRATE_REQ, if set { "can be set" } else { "not there" });
    let counted = lab.counters()?.get(SUCCESS).is_some();
    lab.observe(SUCCESS, if counted { "is counted" } else { "no such counter" });
    let outcome = if set { close_with_a_child(lab)? } else { "no sysctl to set" };
    lab.observe("quiz 1 with the sysctl at 1", outcome);
    Ok(())
}

fn counters_of_the_namespace(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, "1")?;
    let outcome = close_with_a_child(lab)?;
    lab.observe("migrated", outcome);
    let success = |counters: harness::Result<Counters>| {
        counters.ok().and_then(|counters| counters.get(SUCCESS)).unwrap_or(-1)
    };
    lab.observe("here", success(lab.counters()));
    lab.observe("in another namespace", in_fresh_namespace(|| success(Counters::read()))?);
    Ok(())
}

/// Quiz 1 in short: what happens to the child.
fn close_with_a_child(lab: &mut Lab) -> harness::Result<&'static str> {
    let a = lab.listen("A")?;
    let _client = hello(lab, "C")?;
    let b = lab.listen("B")?;
    lab.close(a);
    Ok(match b.accept_now()? {
        Some(_) => "migrated",
        None => "reset",
    })
}
