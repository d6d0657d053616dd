//! Two processes with one file prefix: the second is refused with a sentence.
mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::Scene;
use dpdk_sys::{Eal, EalError};

const HOLDER: &str = "SONDE_TEST_PREFIX_HOLDER";

/// Started again by the test below in a process of its own; without the variable it has nothing to do.
#[test]
fn holder() {
    let Ok(arguments) = std::env::var(HOLDER) else { return };
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let _eal = Eal::start(&arguments).expect("the first process starts");
    println!("\nholding");
    std::io::stdout().flush().expect("the parent listens");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent speaks or goes");
}

#[test]
fn a_prefix_in_use_is_refused() {
    if std::env::var_os(HOLDER).is_some() {
        return;
    }
    let scene = Scene::new("prefix");
    let arguments = scene.arguments(&[]);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "holder", "--nocapture"])
        .env(HOLDER, arguments.join(" "))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the first process");
    // Kept to the end: the child writes its results there.
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "holding"), "the first process did not start");
    let error = Eal::start(&arguments).expect_err("the prefix is taken");
    drop(child.stdin.take());
    assert!(child.wait().expect("the first process ends").success());
    assert!(matches!(&error, EalError::PrefixInUse { prefix } if prefix.starts_with("sonde-test-prefix")), "{error:?}");
}
