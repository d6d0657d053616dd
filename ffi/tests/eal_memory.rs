//! More memory than the machine has hugepages.
mod common;

use common::Scene;
use dpdk_sys::{Eal, EalError};

#[test]
fn too_few_hugepages_are_told_with_what_is_free() {
    let scene = Scene::new("memory");
    let arguments: Vec<String> = scene
        .arguments(&["--in-memory"])
        .into_iter()
        .filter(|argument| argument != "--no-huge")
        .map(|argument| if argument == "128" { "900000".to_owned() } else { argument })
        .collect();
    let error = Eal::start(&arguments).expect_err("no machine of ours has 900 GB of hugepages");
    assert!(matches!(&error, EalError::Hugepages { asked_mib: Some(900_000), .. }), "{error:?}");
    assert!(error.to_string().contains("vm.nr_hugepages"), "{error}");
}
