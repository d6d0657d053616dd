//! A core that does not exist is refused before DPDK starts, and the environment can still be started with one that does.
mod common;

use common::Scene;
use dpdk_sys::{Eal, EalError};

#[test]
fn a_core_that_does_not_exist_is_named() {
    let scene = Scene::new("core");
    let mut arguments = scene.arguments(&[]);
    arguments[1] = "0,4093".to_owned();
    let error = Eal::start(&arguments).expect_err("no machine of ours has 4093 cores");
    assert!(matches!(&error, EalError::NoSuchCore { core: 4093, .. }), "{error}");
    assert!(error.to_string().starts_with("core 4093 does not exist or is offline: this machine has cores 0"), "{error}");
    let affinity =
        |path: &str| std::fs::read_to_string(path).expect("proc").lines().find(|line| line.starts_with("Cpus_allowed:")).map(str::to_owned);
    let before = affinity("/proc/thread-self/status");
    let eal = scene.start().expect("core 0 exists");
    assert_eq!(affinity("/proc/thread-self/status"), before, "the environment moved its caller");
    drop(eal);
}
