//! A virtual device that no driver knows, given to the environment itself.
mod common;

use common::Scene;
use dpdk_sys::{Eal, EalError};

#[test]
fn an_unknown_virtual_device_is_named() {
    let scene = Scene::new("vdev");
    let error = Eal::start(&scene.arguments(&["--vdev=net_warp0"])).expect_err("there is no such driver");
    assert!(matches!(&error, EalError::Device { said } if said.contains("net_warp0")), "{error:?}");
}
