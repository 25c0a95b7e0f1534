//! `sockmig explore --kernel`: histories nobody wrote, in a guest.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::kernels::Kernels;
use crate::support::{interrupt, mark, sockmig};
use crate::{Needs, Test};

pub const TESTS: &[Test] =
    &[("explore/ctrl_c_shows_what_there_was", Needs::Migrating, ctrl_c_shows_what_there_was)];

fn ctrl_c_shows_what_there_was(kernels: &Kernels) {
    let kernel = kernels.migrating().expect("it is needed");
    let mut command =
        sockmig(&["explore", "--count", "1000000", "--kernel", kernel, "--format", "json"]);
    let marked = mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    lines.find(|line| line.contains("a second")).expect("it says how far it is");
    interrupt(&child);
    let said: Vec<String> = lines.collect();
    let ended = child.wait_with_output().expect("waited for");
    assert_eq!(ended.status.code(), Some(130), "{said:?}");
    let document: Value =
        serde_json::from_slice(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    assert_eq!(document["interrupted"], true, "{document:#}");
    assert!(document["seed"].is_u64(), "which histories these were: {document:#}");
    marked.assert_gone();
}
