//! `sockmig inspect` on listeners that a lab has made: what it says of them, and what then
//! happens when one closes.

mod answers;
mod groups;
#[path = "../../harness/tests/in_lab/mod.rs"]
mod in_lab;
mod users;
mod watching;

use std::process::{Command, ExitCode, Stdio};

use harness::process::entry;
use serde_json::Value;

use crate::in_lab::Test;

fn main() -> ExitCode {
    entry::enter(|what| in_lab::work(what, tests).unwrap_or_else(|| panic!("unknown work {what}")));
    in_lab::main(tests())
}

fn tests() -> Vec<Test> {
    [groups::tests(), answers::tests(), users::tests(), watching::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// What the command prints in this process's network namespace.
struct Inspected {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockmig"));
    command
        .arg("inspect")
        .args(arguments)
        .env("COLUMNS", "80")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn inspect(arguments: &[&str]) -> Inspected {
    let output = command(arguments).output().expect("the command can be started");
    Inspected {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Inspected {
    /// Its text on one line, so that it can be searched wherever lines end.
    fn words(&self) -> String {
        self.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn assert_says(&self, wanted: &str) {
        assert!(self.words().contains(wanted), "`{wanted}`:\n{}\n{}", self.stdout, self.stderr);
    }
}

/// The document.
fn document(arguments: &[&str]) -> Value {
    let found = inspect(&[&["--format", "json"], arguments].concat());
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let document =
        serde_json::from_str(&found.stdout).unwrap_or_else(|e| panic!("{e}: {}", found.stdout));
    let schema = serde_json::from_str(include_str!("../../docs/schema/inspect.json"));
    let valid = jsonschema::validate(&schema.expect("the schema is JSON"), &document);
    assert!(valid.is_ok(), "{valid:?}");
    document
}

/// The name that this process has in lists of processes.
fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/self/comm").expect("/proc");
    name.trim_end().to_owned()
}

/// The only port of the only namespace.
fn port() -> Value {
    let found = document(&[]);
    let ports = found["namespaces"][0]["ports"].as_array().expect("ports").clone();
    assert_eq!(ports.len(), 1, "{found:#}");
    ports[0].clone()
}

/// The kinds of the surprises of a port's first group.
fn surprises(port: &Value) -> Vec<&str> {
    let surprises = port["groups"][0]["surprises"].as_array().expect("surprises");
    surprises.iter().filter_map(|surprise| surprise["kind"].as_str()).collect()
}
