//! An argument that the environment does not know.
mod common;

use common::Scene;
use dpdk_sys::{Eal, EalError};

#[test]
fn arguments_that_exclude_each_other_are_told() {
    let scene = Scene::new("argument");
    let error = Eal::start(&scene.arguments(&["--in-memory"])).expect_err("--no-huge excludes --in-memory");
    assert!(matches!(&error, EalError::BadArguments { .. }), "{error:?}");
}
