//! What settings of the API may name: the dataplane asks before it obeys, and again when it finds them on its disk.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Place, udp};
use sonde_proto::southbound::ApplyRequest;
use sonde_proto::v1;
use sonde_stats::Kind;
use sonde_tests::skip::root;

const PORT: [&str; 2] = ["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=100"];

fn boot(document: &mut v1::Settings) -> &mut v1::Boot {
    document.boot.as_mut().expect("boot")
}

/// A folder of the place, not writable by others.
fn folder(place: &Place, name: &str) -> std::path::PathBuf {
    let path = place.dir.path().join(name);
    std::fs::create_dir_all(&path).expect("made");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    path
}

#[test]
fn a_caller_names_nothing_that_the_profile_does_not() {
    let place = Place::new();
    let running = place.starts(&PORT);
    let mut control = running.southbound();
    let good = control.describe().settings.expect("settings");
    let arguments = |list: &[&str]| {
        let mut bad = good.clone();
        boot(&mut bad).eal.as_mut().expect("eal").extra_args = list.iter().map(|a| (*a).to_owned()).collect();
        bad
    };
    let device = |device: &str| {
        let mut bad = good.clone();
        boot(&mut bad).ports[0].device = device.to_owned();
        bad
    };
    let rib = |file: &str| {
        let mut bad = good.clone();
        bad.live.as_mut().expect("live").enrichment = Some(v1::Enrichment { bgp_rib: file.to_owned(), ..<_>::default() });
        bad
    };
    let mut generation = 1;
    for (bad, path) in [
        (arguments(&["-d", "/tmp/evil.so"]), "boot.eal.extra_args[0]"),
        (arguments(&["--no-hpet"]), "boot.eal.extra_args"),
        (device("net_pcap0,rx_pcap=/etc/shadow"), "boot.ports[0].device"),
        (device("net_pcap0,rx_pcap=a.pcap"), "boot.ports[0].device"),
        (device("net_af_packet0,iface=lo"), "boot.ports[0].device"),
        (device("net_memif0"), "boot.ports[0].device"),
        (rib("/etc/shadow"), "live.enrichment.bgp_rib"),
        (rib("rib.bz2"), "live.enrichment.bgp_rib"),
    ] {
        for for_next_start in [true, false] {
            let settings = Some(bad.clone());
            let answer = control.send(ApplyRequest { generation, settings, deadline_ms: 0, for_next_start }).expect("an answer");
            assert_eq!(answer.violations.first().map(|v| v.path.as_str()), Some(path), "{answer:?}");
            generation += 1;
        }
    }
    assert_eq!(control.describe().settings, Some(good.clone()), "nothing was changed");
    assert!(!place.paths().settings().exists(), "nor written");
    assert_eq!(control.apply(generation, &good).expect("what is in force").violations, []);
    running.stop();
}

#[test]
fn names_inside_the_profile_s_folders_are_opened_there() {
    let place = Place::new();
    let recordings = folder(&place, "recordings");
    std::fs::write(recordings.join("monday.pcap"), common::pcap(&(0..50).map(|n| udp(n, n, 9)).collect::<Vec<_>>())).expect("written");
    let trust = format!("trust.recordings_folder={}", recordings.display());
    let sets = [PORT[0], PORT[1], &trust];
    let running = place.starts(&sets);
    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    boot(&mut settings).ports[0].device = "net_pcap0,rx_pcap=monday.pcap".into();
    boot(&mut settings).ports[0].pace_pps = 0;
    let request = ApplyRequest { generation: 3, settings: Some(settings.clone()), deadline_ms: 0, for_next_start: true };
    let answer = control.send(request).expect("kept");
    assert_eq!(
        (answer.violations.len(), answer.restart_required),
        (0, vec!["boot.ports[0].device".into(), "boot.ports[0].pace_pps".into()])
    );
    running.stop();
    let running = place.starts(&sets);
    assert!(running.said.contains("generation 3 overrides --set boot.ports[0].device=net_null0"), "{}", running.said);
    running.until("the recording is read", |r| r.counter(Kind::Worker, "received") == 50);
    assert_eq!(running.southbound().describe().settings, Some(settings), "the document has the name, not the path");
    running.stop();
    // What is not a file of the folder itself is not opened.
    std::fs::remove_file(recordings.join("monday.pcap")).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", recordings.join("monday.pcap")).expect("a link");
    let said = place.refused(1, &sets);
    assert!(said.contains("port \"virtual\"") && said.contains("is a symbolic link"), "{said}");
}

#[test]
fn whoever_overrides_a_set_is_named() {
    let place = Place::new();
    let running = place.starts(&[PORT[0], PORT[1], "live.timeouts.idle_timeout_ms=5000", "live.vlan_in_key=false"]);
    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    settings.live.as_mut().expect("live").timeouts.as_mut().expect("timeouts").idle_timeout_ms = 4000;
    control.apply(6, &settings).expect("applied");
    control.apply(7, &settings).expect("applied");
    running.signal("TERM");
    let (_, _, log) = running.ended();
    let said: Vec<_> = log.lines().filter(|line| line.contains("overrides")).collect();
    assert_eq!(said.len(), 1, "once: {log}");
    assert!(said[0].ends_with("generation 6 of the control plane overrides --set live.timeouts.idle_timeout_ms=5000"), "{log}");
}

#[test]
fn a_checked_profile_says_what_it_allows() {
    let place = Place::new();
    let geo = folder(&place, "geo");
    let check = |sets: &[String]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sonde-dataplane"));
        let output = command.arg("check").args(sets.iter().flat_map(|set| ["--set", set])).output().expect("run");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = check(&[format!("trust.databases_folder={}", geo.display())]);
    let wanted = format!("databases_folder = \"{}\"", geo.display());
    assert!(code == Some(0) && text.contains("[trust]") && text.contains(&wanted), "{text}");
    let (code, text) = check(&["trust.databases_folder=/nonexistent".to_owned()]);
    assert!(code == Some(1) && text.contains("there is no such folder"), "{text}");
}

#[test]
fn settings_on_the_disk_are_not_believed_more_than_a_caller() {
    let place = Place::new();
    let running = place.starts(&PORT);
    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    settings.live.as_mut().expect("live").vlan_in_key = Some(false);
    control.apply(5, &settings).expect("applied");
    running.stop();
    let path = place.paths().settings();
    let good = std::fs::read_to_string(&path).expect("read");
    assert!(good.contains(concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"")), "{good}");
    std::fs::write(&path, good.replace("extra_args = []", "extra_args = [\"-d\", \"/tmp/evil.so\"]")).expect("written");
    let running = place.starts(&PORT);
    assert!(running.said.contains("generation 5: boot.eal.extra_args is now [], it was"), "{}", running.said);
    let said = running.southbound().describe();
    assert_eq!((said.generation, said.settings), (5, Some(settings)));
    running.stop();
    std::fs::write(&path, good.replace("net_null0", "net_pcap0,rx_pcap=/etc/shadow")).expect("written");
    let running = place.starts(&PORT);
    assert!(running.said.contains("generation 5 in") && running.said.contains("is not used: boot.ports[0].device"), "{}", running.said);
    assert_eq!(running.southbound().describe().generation, 0, "it goes on with the profile");
    assert!(path.with_extension("toml.unused").exists(), "nothing is lost");
    running.stop();
}

#[test]
fn folders_and_profiles_are_root_s() {
    if !root("folders and profiles that others can write") {
        return;
    }
    let place = Place::new();
    let open = folder(&place, "open");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("mode");
    for field in ["recordings_folder", "sockets_folder", "databases_folder"] {
        let said = place.refused(1, &[PORT[0], &format!("trust.{field}={}", open.display())]);
        assert!(said.contains(&format!("trust.{field}")) && said.contains("everybody can change"), "{said}");
    }
    let said = place.refused(1, &[PORT[0], "trust.databases_folder=/nonexistent"]);
    assert!(said.contains("there is no such folder"), "{said}");
    let profile = place.dir.path().join("probe.toml");
    std::fs::write(&profile, "[[boot.ports]]\nname = \"a\"\ndevice = \"net_null0\"\n[trust]\ndevices = [\"net_null\"]\n").expect("written");
    let start = |profile: &Path| place.command(&[]).arg("--profile").arg(profile).output().expect("run");
    std::fs::set_permissions(&profile, std::fs::Permissions::from_mode(0o666)).expect("mode");
    let output = start(&profile);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("everybody can change") && said.contains("chmod go-w"), "{said}");
}
