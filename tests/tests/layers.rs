//! The layering as data: a crate depends only on crates of lower rows. A new edge is a decision, made here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use sonde_tests::source::root;

/// Rows from the bottom up, with what the crate is for.
const LAYERS: &[&[&str]] = &[
    &["dpdk-sys", "sonde-proto", "sonde-system", "sonde-packet", "sonde-unpack", "sonde-threads"],
    &["sonde-memory"],
    &["sonde-stats", "sonde-record"],
    &["sonde-flow", "sonde-enrich", "sonde-expression"],
    &["sonde-export"],
    &["sonde-settings", "sonde-worker"],
    &["sonde-dataplane", "sonde-controlplane"],
    &["sonde-tests"],
];

/// Who may speak to DPDK. Everybody else builds and tests on a machine without it.
const DPDK: &[&str] = &["dpdk-sys", "sonde-dataplane"];

/// Where unsafe code may stand.
const UNSAFE: &[&str] = &["ffi", "dataplane/memory"];

/// Crates that stay pure: their whole dependency tree is this short list of ours and nothing else's run time.
const WITHOUT_ASYNC: &[&str] = &[
    "sonde-system",
    "sonde-packet",
    "sonde-memory",
    "sonde-unpack",
    "sonde-threads",
    "sonde-stats",
    "sonde-record",
    "sonde-expression",
    "sonde-flow",
    "sonde-enrich",
    "sonde-export",
    "sonde-worker",
];

/// Name of each workspace member, with the names of what it depends on: `(normal and build, dev)`.
fn members() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut members = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let (mut normal, mut dev) = (BTreeSet::new(), BTreeSet::new());
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().to_owned();
            if dependency["kind"] == "dev" {
                dev.insert(name)
            } else {
                normal.insert(name)
            };
        }
        members.insert(package["name"].as_str().unwrap().to_owned(), (normal, dev));
    }
    members
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&name))
}

/// Everything of ours below a crate, without dev-dependencies.
fn below(name: &str, members: &BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        let Some((normal, _)) = members.get(&next) else { continue };
        open.extend(normal.iter().filter(|n| found.insert((*n).clone())).cloned());
    }
    found
}

#[test]
fn every_crate_has_its_layer() {
    let members: BTreeSet<String> = members().into_keys().collect();
    let listed: BTreeSet<String> = LAYERS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(members, listed);
}

#[test]
fn crates_depend_only_on_lower_layers() {
    let mut faults = Vec::new();
    for (name, (normal, _)) in members() {
        for dependency in &normal {
            if let (Some(mine), Some(theirs)) = (layer(&name), layer(dependency))
                && theirs >= mine
            {
                faults.push(format!("{name} (row {mine}) depends on {dependency} (row {theirs})"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn tests_of_a_crate_need_no_crate_above_it() {
    let mut faults = Vec::new();
    for (name, (_, dev)) in members() {
        for dependency in dev.iter().filter(|d| *d != "sonde-tests") {
            if let (Some(mine), Some(theirs)) = (layer(&name), layer(dependency))
                && theirs > mine
            {
                faults.push(format!("tests of {name} (row {mine}) depend on {dependency} (row {theirs})"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn only_the_dataplane_speaks_to_dpdk() {
    let members = members();
    for name in members.keys().filter(|name| !DPDK.contains(&name.as_str())) {
        assert!(!below(name, &members).contains("dpdk-sys"), "{name} would link DPDK");
    }
}

#[test]
fn the_test_crate_uses_nothing_it_tests() {
    let (normal, _) = &members()["sonde-tests"];
    let ours: Vec<_> = normal.iter().filter(|name| layer(name).is_some()).collect();
    assert!(ours.is_empty(), "the oracle would share faults with {ours:?}");
}

#[test]
fn nothing_on_the_packet_clock_is_async() {
    let members = members();
    for name in WITHOUT_ASYNC {
        let below = below(name, &members);
        for runtime in ["tokio", "tonic", "prost", "sonde-proto"] {
            assert!(!below.contains(runtime), "{name} would depend on {runtime}");
        }
    }
}

/// Folders of the members, below the root.
fn folders() -> Vec<String> {
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = workspace.lines().skip_while(|l| !l.starts_with("members")).skip(1).take_while(|l| !l.starts_with(']'));
    members.map(|line| line.trim().trim_matches([',', '"']).to_owned()).collect()
}

/// A lint of the workspace denies unsafe code; nobody but these crates may make an exception.
#[test]
fn unsafe_code_is_forbidden_where_it_has_no_business() {
    for folder in folders() {
        let source = std::fs::read_to_string(root().join(&folder).join("src/lib.rs")).unwrap();
        let forbids = source.contains("#![forbid(unsafe_code)]");
        assert_ne!(forbids, UNSAFE.contains(&folder.as_str()), "{folder}/src/lib.rs: #![forbid(unsafe_code)], or a row of UNSAFE");
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for folder in folders() {
        let manifest = std::fs::read_to_string(root().join(&folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}/Cargo.toml has no `[lints] workspace = true`");
    }
}
