//! `sockmig reload --kernel`: reloads in a guest.

use serde_json::Value;

use crate::kernels::Kernels;
use crate::support::{Ended, run, sockmig};
use crate::{Needs, Test};

pub const TESTS: &[Test] = &[
    ("reload/who_loses_in_a_guest", Needs::Migrating, who_loses_in_a_guest),
    (
        "reload/what_is_missing_in_a_guest_is_reported",
        Needs::Machine,
        what_is_missing_in_a_guest_is_reported,
    ),
];

fn reload(kernel: &str, more: &[&str]) -> Ended {
    let line = ["reload", "--kernel", kernel, "--rate", "20", "--reloads", "2"];
    run(&mut sockmig(&[&line[..], more].concat()))
}

fn who_loses_in_a_guest(kernels: &Kernels) {
    let strategies = ["own/naive", "own/passing", "--rtt", "500", "--format", "json"];
    let newest = kernels.migrating().expect("it is needed");
    let ended = reload(newest, &strategies);
    assert_eq!(ended.code, Some(0), "{ended}");
    let document: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}"));
    let kernel = &document["environment"]["kernel"];
    assert!(kernel.to_string().contains(newest), "{kernel}");
    let rows = document["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4, "{ended}");
    for row in rows {
        let outcomes = row["outcomes"].as_object().expect("outcomes");
        let sum: u64 = outcomes.values().filter_map(Value::as_u64).sum();
        assert_eq!(row["attempts"], sum, "{row}");
        let naive = row["strategy"] == "own/naive";
        let loses = naive && row["migrate_req"] == false;
        let lost = sum - outcomes["answered"].as_u64().expect("a number");
        // In a slow machine a close and a handshake may race.
        let must = row["expected_per_reload"].as_f64().expect("a number") * 2.0;
        assert_eq!(naive, must > 0.0, "{row}");
        // Without a delay line so few clients are held that chance decides.
        if document["window"]["kind"] == "delay-line" {
            assert_eq!(loses, must > 0.0 && lost as f64 >= must / 2.0, "{row}");
        }
    }
}

fn what_is_missing_in_a_guest_is_reported(kernels: &Kernels) {
    let ended = reload(kernels.newest(), &["nginx/hup"]);
    assert_eq!(ended.code, Some(4), "{ended}");
    assert!(ended.stderr.contains("there is no nginx on the PATH"), "{ended}");
}
