//! Inside a crate, files import each other in one direction only: no file needs, by way of others, one that needs it.

use std::collections::BTreeMap;

use sonde_tests::imports::{circles, describe, imports};
use sonde_tests::source::{files, root};

/// The circles of every crate, in words, by the crate's folder.
fn circles_by_crate() -> BTreeMap<String, String> {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).ok();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for file in files() {
        let Some((folder, root)) = file.split_once("src/") else { continue };
        let is_root = root == "lib.rs" || root == "main.rs" || (root.starts_with("bin/") && root.ends_with(".rs"));
        if !is_root {
            continue;
        }
        let text = found.entry(folder.trim_end_matches('/').to_owned()).or_default();
        let imports = imports(&file, &read);
        text.extend(circles(&imports).iter().map(|circle| describe(circle, &imports)));
    }
    assert!(found.len() > 10, "the crates were not found");
    found
}

#[test]
fn the_files_of_a_crate_form_no_circle() {
    let faults: String = circles_by_crate().into_values().collect();
    assert!(faults.is_empty(), "{faults}");
}
