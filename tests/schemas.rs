//! The schemas of the documents: kept in `docs/schema`, and true of what the commands write.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rstest::rstest;
use serde_json::{Value, json};

use support::schema::{Validator, schema};
use support::{Ended, run, sockmig};

/// Set, the schemas in `docs/schema` are written anew.
const UPDATE: &str = "SOCKMIG_UPDATE_README";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn kept(kind: &str) -> PathBuf {
    root().join(format!("docs/schema/{kind}.json"))
}

#[rstest]
#[case("run")]
#[case("matrix")]
#[case("reload")]
#[case("close-cost")]
#[case("stopped-member")]
#[case("explore")]
#[case("race")]
#[case("race-list")]
#[case("reload-list")]
#[case("inspect")]
fn the_kept_schema_is_the_one_that_is_printed(#[case] kind: &str) {
    let printed = schema(kind);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(kept(kind).parent().expect("a directory")).expect("docs/schema");
        fs::write(kept(kind), &printed).expect("the schema");
    }
    let there = fs::read_to_string(kept(kind)).unwrap_or_default();
    assert!(there == printed, "docs/schema/{kind}.json is old: {UPDATE}=1 writes it anew");
}

/// Rust's own spelling would be `Ok`, `secs`, or a variant's name.
#[rstest]
fn names_are_those_of_json(
    #[values(
        "run",
        "matrix",
        "reload",
        "close-cost",
        "stopped-member",
        "explore",
        "race",
        "race-list",
        "reload-list",
        "inspect"
    )]
    kind: &str,
) {
    let schema: Value = serde_json::from_str(&schema(kind)).expect("JSON");
    let mut wrong = vec![];
    collect(&schema, &mut |name| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if !name.chars().all(plain) || ["secs", "nanos"].contains(&name) {
            wrong.push(name.to_owned());
        }
    });
    assert!(wrong.is_empty(), "{kind}: {wrong:?}");
}

/// The names of all properties, and the values that are one of a few.
fn collect(schema: &Value, see: &mut impl FnMut(&str)) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                properties.keys().for_each(|name| see(name));
            }
            let consts = object.get("const").into_iter();
            let values = object.get("enum").and_then(Value::as_array).into_iter().flatten();
            consts.chain(values).filter_map(Value::as_str).for_each(&mut *see);
            object.values().for_each(|value| collect(value, see));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, see)),
        _ => {}
    }
}

fn printed(arguments: &[&str]) -> Value {
    let ended = run(&mut sockmig(arguments));
    document(&ended)
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}\n{ended}"))
}

/// Each kind of act, of skip and of verdict is in one of these cases.
#[test]
fn what_run_writes_is_as_its_schema_says() {
    let validator = Validator::of("run");
    let document = printed(&["run", "--format", "json"]);
    validator.check(&document);
    assert!(document["cases"].as_array().is_some_and(|cases| cases.len() > 1000));
}

/// Documents of older versions become those of this one when they are read and written.
#[test]
fn what_merge_writes_is_as_the_schema_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let merged = directory.path().join("matrix.json");
    let old = root().join("fuzz/corpus/documents/matrix.json");
    let [old, merged] = [&old, &merged].map(|path| path.to_str().expect("UTF-8"));
    run(&mut sockmig(&["merge", old, "--out", merged]));
    let written: Value = serde_json::from_slice(&fs::read(merged).expect("the matrix"))
        .expect("the document is JSON");
    Validator::of("matrix").check(&written);
    assert!(written["kernels"][0]["end"]["how"].is_string(), "{written:.400}");
}

#[test]
fn what_reload_writes_is_as_its_schemas_say() {
    let quick = ["reload", "own/naive", "own/passing", "--reloads", "1", "--rate", "100"];
    Validator::of("reload").check(&printed(&[&quick[..], &["--format", "json"]].concat()));
    let held = ["--window", "hold", "--format", "json"];
    Validator::of("reload").check(&printed(&[&quick[..], &held].concat()));
    let closes = ["reload", "--close-cost", "--most", "10", "--format", "json"];
    Validator::of("close-cost").check(&printed(&closes));
}

#[test]
fn what_explore_race_and_inspect_write_is_as_their_schemas_say() {
    let explored = ["explore", "--count", "30", "--seed", "7", "--no-known", "--format", "json"];
    Validator::of("explore").check(&printed(&explored));
    let raced = ["race", "close/ack", "--time", "1", "--format", "json"];
    Validator::of("race").check(&printed(&raced));
    for (kind, command) in [("race-list", "race"), ("reload-list", "reload")] {
        let listed = printed(&[command, "--list", "--format", "json"]);
        Validator::of(kind).check(&listed);
        assert_eq!(listed["schema"], 1, "{listed:.400}");
    }
    Validator::of("inspect").check(&printed(&["inspect", "--all", "--format", "json"]));
}

/// What has no schema has no Rust in it either.
#[test]
fn what_diff_writes_has_plain_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().to_str().expect("UTF-8");
    run(&mut sockmig(&["run", "quiz1/v4", "--out", out]));
    let found = directory.path().join("run.json");
    let found = found.to_str().expect("UTF-8");
    let case = printed(&["diff", "--case", "quiz1/v4", found, "--format", "json"]);
    let rung = &case["sides"][0]["ladder"]["rungs"][1];
    assert!(rung["microseconds"].is_u64(), "{rung}");
    assert!(case["facts"][0]["name"].is_string(), "{}", case["facts"]);
    for document in [case, printed(&["diff", found, found, "--format", "json"])] {
        let text = document.to_string();
        for rust in ["\"secs\"", "\"nanos\"", "\"Ok\"", "\"Err\"", "\"Some\""] {
            assert!(!text.contains(rust), "{rust}: {text}");
        }
    }
}

/// A schema that accepts anything proves nothing.
#[test]
fn what_is_not_as_a_schema_says_is_noticed() {
    let schema = serde_json::from_str(&schema("run")).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let right = printed(&["run", "quiz1/v4/off", "--format", "json"]);
    assert!(validator.is_valid(&right));
    for (pointer, wrong) in [
        ("/environment/kernel/ipv6", json!({ "Ok": null })),
        ("/cases/0/verdict", json!("Pass")),
        ("/cases/0/facts", json!([])),
        ("/cases/0/trace/0/act", json!({ "Listen": {} })),
        ("/totals", json!(null)),
    ] {
        let mut document = right.clone();
        *document.pointer_mut(pointer).expect(pointer) = wrong;
        assert!(!validator.is_valid(&document), "{pointer}");
    }
}
