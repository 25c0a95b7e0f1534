//! `sockmig race --kernel`: two acts at the same time in a guest, which has two processors.

use serde_json::Value;

use crate::kernels::Kernels;
use crate::support::{run, sockmig};
use crate::{Needs, Test};

pub const TESTS: &[Test] =
    &[("race/both_orders_come_in_a_guest", Needs::Migrating, both_orders_come_in_a_guest)];

fn both_orders_come_in_a_guest(kernels: &Kernels) {
    let kernel = kernels.migrating().expect("it is needed");
    let ended = run(&mut sockmig(&[
        "race",
        "accept/accept",
        "--time",
        "12",
        "--kernel",
        kernel,
        "--format",
        "json",
    ]));
    assert_eq!(ended.code, Some(0), "{ended}");
    let document: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}"));
    let version = kernel.split('-').next().expect("a version");
    assert!(document["kernel"].to_string().contains(version), "{document:#}");
    let pairs = document["pairs"].as_array().expect("pairs");
    let sum =
        |key: &str| pairs.iter().map(|pair| pair[key].as_u64().expect("a number")).sum::<u64>();
    assert!(sum("first_before_second") > 0 && sum("second_before_first") > 0, "{document:#}");
}
