//! Where things are: arrows between crates and between files go one way, and no file is long.
//!
//! An arrow goes from a file to each file whose items it names, in `use` lines or in paths of
//! its code; what only tests see does not count. A module that declares its children and hands
//! out what they have (`pub use child::X`) is no user of theirs, unless it uses `X` itself.

mod graph;
mod tokens;
mod tree;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::tree::{Arrow, Tree};

/// Crates that may use those of later rows, and none of their own.
const CRATES: [&[&str]; 4] = [
    &["fuzz", "sensitivity"],
    &["sockmig"],
    &["reload", "explore", "vm", "scenarios"],
    &["harness"],
];

/// More than this is no file, but two.
const LINES: usize = 500;

/// Where [`ROOMS`] is.
const TABLE: &str = "tests/structure/rooms.toml";

/// The rooms of each crate, from the top down: a room may use those below it.
const ROOMS: &str = include_str!("rooms.toml");

/// A member of the workspace.
struct Member {
    name: String,
    /// From the workspace's root; nothing for the root itself.
    directory: String,
    tree: Tree,
    /// Of the workspace, and in which table of Cargo.toml.
    dependencies: Vec<(String, String)>,
}

impl Member {
    fn src(&self) -> String {
        Path::new(&self.directory).join("src").to_string_lossy().into_owned()
    }

    /// The folder or file at the top of `src` that a file is in.
    fn room(&self, file: &str) -> String {
        let rest = file.strip_prefix(&self.src()).unwrap_or(file).trim_start_matches('/');
        let first = rest.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs").to_owned()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(directory: &str) -> toml::Table {
    let path = root().join(directory).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Read once for all tests.
fn members() -> &'static [Member] {
    static MEMBERS: LazyLock<Vec<Member>> = LazyLock::new(read_members);
    &MEMBERS
}

fn read_members() -> Vec<Member> {
    let workspace = manifest("");
    let listed = workspace["workspace"]["members"].as_array().expect("members is an array");
    let listed = listed.iter().filter_map(toml::Value::as_str);
    let directories: Vec<String> = [""].into_iter().chain(listed).map(str::to_owned).collect();
    let manifests: Vec<toml::Table> = directories.iter().map(|each| manifest(each)).collect();
    let name = |manifest: &toml::Table| {
        manifest["package"]["name"].as_str().expect("a name is a string").to_owned()
    };
    let names: Vec<String> = manifests.iter().map(name).collect();
    let member = |(directory, manifest): (&String, &toml::Table)| {
        let src = Path::new(directory).join("src");
        let name = name(manifest);
        let mut dependencies = Vec::new();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let listed = manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten();
            let ours = listed.filter(|(dependency, _)| names.contains(dependency));
            dependencies.extend(ours.map(|(each, _)| (each.clone(), table.to_owned())));
        }
        let tree = Tree::read(root(), &src.to_string_lossy(), &name, &names);
        Member { name, directory: directory.clone(), tree, dependencies }
    };
    directories.iter().zip(&manifests).map(member).collect()
}

fn rank(name: &str) -> Option<usize> {
    CRATES.iter().position(|row| row.contains(&name))
}

/// The sources in these directories and below them, from the workspace's root.
fn rust_files(mut directories: Vec<PathBuf>) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        // Not every crate has tests or benches.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root()).unwrap_or(&path);
                found.push(file.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// All complaints at once, so that one run is enough.
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn crates_use_each_other_one_way() {
    let mut complaints = Vec::new();
    for member in members() {
        let Some(own) = rank(&member.name) else {
            complaints.push(format!("the crate {} is missing in CRATES", member.name));
            continue;
        };
        let allowed = |other: &str| rank(other).is_some_and(|other| other > own);
        for (other, table) in member.dependencies.iter().filter(|(other, _)| !allowed(other)) {
            let cargo = Path::new(&member.directory).join("Cargo.toml");
            complaints.push(format!("{}: [{table}] has {other}", cargo.display()));
        }
        let arrows = member.tree.arrows();
        let across = arrows.iter().filter(|arrow| !arrow.to.ends_with(".rs"));
        complaints.extend(across.filter(|arrow| !allowed(&arrow.to)).map(|arrow| {
            format!("{}\n    {} may not use {}", arrow.because, member.name, arrow.to)
        }));
    }
    none(&complaints);
}

#[test]
fn no_two_files_use_each_other_in_a_circle() {
    let mut complaints = Vec::new();
    for member in members() {
        let circles = graph::circles(&member.tree.arrows());
        complaints.extend(circles.iter().map(|circle| {
            let files: Vec<_> = circle.files.iter().map(String::as_str).collect();
            let round: Vec<_> = circle.shortest.iter().map(|each| each.because.as_str()).collect();
            let (files, round) = (files.join(", "), round.join("\n    "));
            format!("a circle of {files}; the shortest way round:\n    {round}")
        }));
    }
    none(&complaints);
}

#[test]
fn rooms_use_those_below_them() {
    let mut complaints = Vec::new();
    for member in members() {
        let order = listed_rooms(member);
        let rooms: BTreeSet<String> = member.tree.files().map(|file| member.room(file)).collect();
        let listed: BTreeSet<String> = order.iter().cloned().collect();
        let fits = order_that_fits(member, &rooms, &order);
        let proposal = format!(
            "an order that fits:\n{} = [\n    \"{}\",\n]",
            member.name,
            fits.join("\",\n    \""),
        );
        if rooms != listed || order.len() != listed.len() {
            let src = member.src();
            complaints.push(format!("{TABLE} has not the rooms of {src}; {proposal}"));
            continue;
        }
        let back = run_back(member);
        complaints.extend(back.iter().map(|arrow| {
            let (from, to) = (member.room(&arrow.from), member.room(&arrow.to));
            format!("{}\n    {from} is below {to} in {TABLE}", arrow.because)
        }));
        if !back.is_empty() && fits != order {
            complaints.push(proposal);
        }
    }
    none(&complaints);
}

fn listed_rooms(member: &Member) -> Vec<String> {
    let mut orders: BTreeMap<String, Vec<String>> = toml::from_str(ROOMS).expect("rooms.toml");
    orders.remove(&member.name).unwrap_or_default()
}

/// The arrows to rooms above, without those of circles: they are another matter.
fn run_back(member: &Member) -> Vec<Arrow> {
    let order = listed_rooms(member);
    let place = |file: &str| order.iter().position(|room| *room == member.room(file));
    let arrows = member.tree.arrows();
    let circles = graph::circles(&arrows);
    let round = |arrow: &Arrow| {
        circles.iter().any(|c| c.files.contains(&arrow.from) && c.files.contains(&arrow.to))
    };
    let mut inside = arrows.clone();
    inside.retain(|arrow| arrow.to.ends_with(".rs"));
    inside.retain(|arrow| place(&arrow.from) > place(&arrow.to) && !round(arrow));
    inside
}

/// As it stands where that is right, and whatever is new as the arrows say.
fn order_that_fits(member: &Member, rooms: &BTreeSet<String>, order: &[String]) -> Vec<String> {
    let arrows = member.tree.arrows();
    let inside = arrows.iter().filter(|arrow| arrow.to.ends_with(".rs"));
    let between = inside.map(|arrow| (member.room(&arrow.from), member.room(&arrow.to)));
    let stands = order.iter().filter(|room| rooms.contains(*room));
    let new = rooms.iter().filter(|room| !order.contains(room));
    let start: Vec<String> = stands.chain(new).cloned().collect();
    graph::an_order(&start, &between.collect())
}

#[test]
fn no_file_is_long() {
    let parts = ["src", "tests", "benches"];
    let directories = members()
        .iter()
        .flat_map(|member| parts.map(|part| root().join(&member.directory).join(part)))
        .collect();
    let mut complaints = Vec::new();
    for file in rust_files(directories) {
        let lines = fs::read_to_string(root().join(&file)).expect("readable").lines().count();
        if lines > LINES {
            complaints.push(format!("{file}: {lines} lines"));
        }
    }
    none(&complaints);
}

#[test]
fn every_file_belongs_to_its_crate() {
    let mut complaints = Vec::new();
    for member in members() {
        let files = rust_files(vec![root().join(member.src())]);
        let lost = files.iter().filter(|file| !member.tree.declares(file));
        complaints.extend(lost.map(|file| format!("{file}: no module declares it")));
    }
    none(&complaints);
}
