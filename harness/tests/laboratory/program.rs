//! eBPF programs: that they do what they say, that a refusal is reported with its reason, and
//! that the kernel frees them.

use std::time::Duration;

use harness::bpf::Condition::{Migrating, MigratingIn, New, NoPacket, Selected};
use harness::bpf::{
    Attach, ContextRecords, Counts, DROP, Index, Left, MigrationTargets, PASS, Program, SockArray,
    count, left, left_of, record, select, store_result, when,
};
use harness::lab::Lab;
use harness::net::witness::State;
use harness::process::{Labs, Returned};
use harness::socket::Stream;
use harness::socket::attribute::cookie;
use harness::{Family, bpf, wait};

use crate::in_lab::{Need, Test, deadline};

pub const WORK: &str = "program";

pub fn tests() -> Vec<Test> {
    let families = Family::ALL.iter().map(|&family| {
        Test::inside(format!("program/{family}/chooses"), move || chooses(family))
            .needs(family.needs_ipv6().then_some(Need::Ipv6))
    });
    let migrating = [
        Test::inside("program/every-statement-is-accepted", every_statement_is_accepted),
        Test::inside("program/a-refusal-tells-why", a_refusal_tells_why),
        Test::inside("program/counts-and-sights", counts_and_records),
        Test::inside("program/is-shown-as-written", is_shown_as_written),
    ];
    families
        .chain(migrating.map(|test| test.needs([Need::MigratePrograms])))
        .chain([
            Test::outside("program/nothing-is-left-after-a-lab", |labs| left_after(labs, "ends")),
            Test::outside("program/nothing-is-left-after-a-panic", |labs| {
                left_after(labs, "panics");
            }),
            Test::outside("program/nothing-is-left-after-a-kill", |labs| left_after(labs, "hangs")),
        ])
        .map(|test| test.needs([Need::Programs]))
        .collect()
}

/// Each listener of an array in its turn, and nobody.
fn chooses(family: Family) {
    let mut lab = Lab::open(family).expect("a lab");
    let array = SockArray::new(3).expect("an array");
    let [a, b, c] = ["A", "B", "C"].map(|name| lab.listen(name).expect("a listener"));
    lab.fill_array(&array, &[&a, &b, &c]).expect("registered");
    for (index, name) in [(1, "B"), (0, "A"), (2, "C"), (1, "B")] {
        let program = Program::load(Attach::Select, &[select(&array, index), DROP]);
        lab.attach(&a, &program.expect("a program")).expect("attached");
        assert_eq!(lab.who_takes(&[&a, &b, &c], 0).expect("a client"), name);
    }
    let cookies: Vec<u64> = (0..3).map(|at| array.cookie(at).expect("a cookie")).collect();
    assert_eq!(cookies, [&a, &b, &c].map(|listener| cookie(listener).expect("a cookie")));
    array.remove(1).expect("taken out");
    assert_eq!(array.cookie(1).expect_err("empty").raw_os_error(), Some(libc::ENOENT));
    let mut refused = lab.client("a client", 0).expect("a client");
    let error = refused.connect(family.server()).expect_err("nobody there");
    assert!(error.to_string().contains("refused"), "{error}");
}

fn every_statement_is_accepted() {
    let array = SockArray::narrow(1).expect("an array");
    let counts = Counts::new(1).expect("counts");
    let targets = MigrationTargets::new(1).expect("targets");
    let records = ContextRecords::new().expect("records");
    let own = || [count(&counts, 0), store_result(&counts, 0), record(&records), select(&array, 0)];
    let conditions = [
        Migrating,
        New,
        MigratingIn(State::NewSynRecv),
        NoPacket,
        Selected(&array, Index::At(0)),
        Selected(&array, Index::OfTarget(&targets)),
    ];
    for condition in conditions {
        let nested = when(condition, [when(condition, own()), PASS]);
        let statements = [record(&records), nested, count(&counts, 0), DROP];
        Program::load(Attach::SelectOrMigrate, &statements).expect("a program");
    }
}

/// The verifier's own words are in the error.
fn a_refusal_tells_why() {
    let counts = Counts::new(1).expect("counts");
    let error = Program::load(Attach::Select, &[PASS, count(&counts, 0)]).err();
    let error = error.expect("a statement after the end").to_string();
    assert!(error.starts_with("bpf(BPF_PROG_LOAD, Select, `pass; count 0`); the verifier: "));
    assert!(error.contains("unreachable"), "{error}");
    let error = Program::load(Attach::Number(41), &[PASS]).err().expect("no such attach type");
    assert!(error.to_string().ends_with("Invalid argument"), "{error}");
}

fn counts_and_records() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let a = lab.listen("A").expect("A");
    let counts = Counts::new(2).expect("counts");
    let records = ContextRecords::new().expect("records");
    let statements =
        [count(&counts, 0), when(Migrating, [count(&counts, 1)]), when(New, [record(&records)])];
    let program = Program::load(Attach::SelectOrMigrate, &statements).expect("a program");
    lab.attach(&a, &program).expect("attached");
    let clients = ["C", "D"].map(|name| lab.connect(name).expect("a client"));
    assert_eq!((counts.get(0).expect("0"), counts.get(1).expect("1")), (2, 0));
    let seen = records.all().expect("records");
    let ports: Vec<u16> = seen
        .iter()
        .map(|one| one.header.expect("a header")[..2].try_into().expect("two"))
        .map(u16::from_be_bytes)
        .collect();
    assert_eq!(ports, clients.each_ref().map(|client| client.local.port()));
    assert!(seen.iter().all(|one| one.migrating.is_none() && one.direct == i64::from(one.len)));
    assert!(seen.iter().all(|one| one.listener.cookie == cookie(&a).expect("a cookie")));
    clients.iter().for_each(|client| client.reset_on_close().expect("linger"));
}

fn is_shown_as_written() {
    let array = SockArray::new(4).expect("an array");
    let statements = [when(Migrating, [select(&array, 2)]), PASS];
    let program = Program::load(Attach::SelectOrMigrate, &statements).expect("a program");
    assert_eq!(program.shown(), "when migrating: select 2; pass");
}

/// What a lab that returns nothing says before its name.
const SAID: &str = "asked not to return: ";

/// A lab with a program, a map and a group that has both; it says its name, and then ends
/// as `how` says.
pub fn work(how: &str) -> Returned {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let array = SockArray::new(1).expect("an array");
    let program = Program::load(Attach::SelectOrMigrate, &[select(&array, 0)]);
    let program = program.expect("a program");
    let a = lab.listen("A").expect("A");
    lab.fill_array(&array, &[&a]).expect("registered");
    lab.attach(&a, &program).expect("attached");
    assert_eq!(left().expect("left"), Left { programs: 1, maps: 1 });
    let name = bpf::name().expect("a name");
    match how {
        // Kept open until the process ends.
        "ends" => {
            std::mem::forget((lab, array, program, a));
            Returned::json(&name, vec![])
        }
        "panics" => panic!("{SAID}{name}"),
        _ => {
            eprintln!("{SAID}{name}");
            loop {
                std::thread::park();
            }
        }
    }
}

fn left_after(labs: &Labs, how: &str) {
    let within = if how == "hangs" { Duration::from_secs(2) } else { deadline() };
    let name = match labs.run(&format!("{WORK} {how}"), within) {
        Ok(returned) => returned.parse::<String>().expect("a name"),
        Err(broken) => {
            let said = broken.to_string();
            let (_, rest) = said.split_once(SAID).unwrap_or_else(|| panic!("`{said}`"));
            rest.split_whitespace().next().expect("a name").to_owned()
        }
    };
    wait::until("every program and map to be freed", || {
        Ok((left_of(&name)? == Left::default()).then_some(()))
    })
    .expect("nothing left");
}
