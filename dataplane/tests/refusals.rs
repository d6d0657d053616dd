//! What an operator can get wrong, or find full, taken or missing: each a sentence with the remedy, and an exit code.

mod common;

use common::{Place, Tiny, udp};
use sonde_tests::skip::root;

/// The sentence has all of the words.
fn check(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
}

#[test]
fn bad_settings_are_listed_all_at_once() {
    let place = Place::new();
    let said = place.refused(
        2,
        &[
            "boot.cores.workers=[0, 0]",
            "boot.ports[0].device=eth0",
            "boot.ports[0].colour=red",
            "live.timeouts.idle_timeout_ms=5",
            "live.exporters[0].address=collector",
        ],
    );
    check(
        &said,
        &[
            "6 faults in the settings",
            "boot.cores.workers[1]: must be a core that is not used twice; found core 0, as in boot.cores.workers[0]",
            "boot.ports[0].device: must be a PCI address",
            "boot.ports[0].colour: must be one of the fields",
            "live.timeouts.idle_timeout_ms: must be a whole number from 100 to 3600000; found 5",
            "live.exporters[0].address: must be \"host:port\"",
            "live.exporters[0].name: must be",
        ],
    );
    assert!(!place.paths().run().exists(), "nothing is made for bad settings");
}

#[test]
fn a_profile_that_is_not_there_names_those_that_are() {
    let place = Place::new();
    let mut command = place.command(&[]);
    let output = command.args(["--profile", "/nonexistent/probe.toml"]).output().expect("run");
    assert_eq!(output.status.code(), Some(2));
    check(&String::from_utf8_lossy(&output.stderr), &["/nonexistent/probe.toml", "No such file", "virtual", "intel-e810-100g"]);
}

#[test]
fn check_prints_a_good_profile_with_its_defaults() {
    for (name, _) in sonde_settings::profiles::PROFILES {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sonde-dataplane")).args(["check", "--profile", name]).output();
        let output = output.expect("run");
        assert_eq!(output.status.code(), Some(0), "{name}");
        let text = String::from_utf8(output.stdout).expect("utf-8");
        sonde_settings::parse_toml(&text).unwrap_or_else(|v| panic!("{name}: {v:?}"));
    }
}

#[test]
fn a_core_that_does_not_exist_is_named_with_those_that_do() {
    let said = Place::new().refused(1, &["boot.cores.workers=[4095]", "boot.cores.service=4094"]);
    check(&said, &["boot.cores.workers[0]: core 4095 does not exist", "boot.cores.service: core 4094 does not exist", "name one of 0"]);
}

#[test]
fn a_nic_that_is_not_there() {
    let said = Place::new().refused(1, &["boot.eal.pci=true", "boot.ports[0].device=0000:fe:1f.7"]);
    check(&said, &["port \"virtual\"", "0000:fe:1f.7", "there is nothing at this PCI address", "dpdk-devbind.py"]);
}

#[test]
fn an_interface_that_is_not_there() {
    let said = Place::new().refused(1, &["boot.ports[0].device=net_af_packet0,iface=sonde-none"]);
    check(&said, &["port \"virtual\": there is no network interface \"sonde-none\"", "this machine has", "lo", "boot.ports[0].device"]);
}

#[test]
fn a_capture_that_is_not_there() {
    let said = Place::new().refused(1, &["boot.ports[0].device=net_pcap0,rx_pcap=/nonexistent/a.pcap"]);
    check(&said, &["port \"virtual\": cannot open the capture /nonexistent/a.pcap", "No such file", "boot.ports[0].device"]);
}

#[test]
fn a_driver_dpdk_does_not_know() {
    let said = Place::new().refused(2, &["boot.ports[0].device=net_nothing0"]);
    check(&said, &["boot.ports[0].device: must be a PCI address", "one of the drivers net_af_packet, ", "net_nothing0"]);
}

#[test]
fn too_few_huge_pages_when_they_are_required() {
    let said = Place::new().refused(1, &["boot.eal.huge_pages=require", "boot.table.ipv4_flows=268435456"]);
    check(&said, &["not enough huge pages", "MiB are needed (packet buffers", "MiB are free", "/proc/sys/vm/nr_hugepages", "\"auto\""]);
}

#[test]
fn tables_that_do_not_fit_into_memory() {
    let said = Place::new().refused(1, &["boot.table.ipv4_flows=268435456", "boot.table.wide_flows=268435456"]);
    check(&said, &["not enough memory", "MiB are needed", "MiB are available", "boot.table.ipv4_flows"]);
}

#[test]
fn a_second_dataplane_of_the_same_instance() {
    let place = Place::new();
    let capture = place.capture(&[udp(1, 1, 1)]);
    let device = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", capture.display());
    let first = place.starts(&[&device]);
    let pid = format!("(process {})", first.pid());
    let said = place.refused(1, &[&device]);
    check(&said, &[&format!("a dataplane of instance \"{}\" runs already", place.instance), &pid, "--set boot.instance=NAME"]);

    // Another run directory does not help: the shared memory is the instance's.
    let other = tempfile::TempDir::new().expect("directory");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sonde-dataplane"))
        .arg("--run-dir")
        .arg(other.path())
        .args(["--set", &format!("boot.instance={}", place.instance), "--set", &device])
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(1));
    check(&String::from_utf8_lossy(&output.stderr), &["runs already", &pid, "/dev/shm/"]);
    first.stop();
}

#[test]
fn another_program_listens_on_the_socket() {
    let place = Place::new();
    std::fs::create_dir_all(place.paths().run()).expect("run directory");
    let _other = std::os::unix::net::UnixListener::bind(place.paths().southbound()).expect("bound");
    let said = place.refused(1, &["boot.ports[0].device=net_null0"]);
    check(&said, &["another program listens on", "southbound.sock", "--run-dir"]);
}

#[test]
fn a_run_directory_that_cannot_be_made() {
    let place = Place::new();
    std::fs::write(place.dir.path().join(&place.instance), "a file").expect("written");
    let said = place.refused(1, &["boot.ports[0].device=net_null0"]);
    check(&said, &["is a regular file, and a folder is needed there", &place.instance, "remove it", "--run-dir"]);
}

#[test]
fn a_full_disk_below_the_run_directory() {
    if !root("a full run directory") {
        return;
    }
    let place = Place::new();
    let tiny = Tiny::mount(place.dir.path(), "8k");
    tiny.fill();
    let said = place.refused(1, &["boot.ports[0].device=net_null0"]);
    check(&said, &["cannot write the process id to", "No space left", "its file system is full: free some space there"]);
}

#[test]
fn shared_memory_that_is_full() {
    if !root("full shared memory") {
        return;
    }
    let place = Place::new();
    let _tiny = Tiny::mount(place.paths().shared(), "3m");
    let said = place.refused(1, &["boot.ports[0].device=net_null0", "boot.records.ring_bytes=67108864"]);
    check(&said, &["the record ring of worker 0", "KiB free", "boot.records.ring_bytes"]);
}
