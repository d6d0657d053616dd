//! What an operator meets on an ordinary day: exit statuses, tables on a small terminal, words instead of numbers, plain logs.

use std::process::Command;

use sonde_tests::harness::{Lab, Said, binary, run, until};
use sonde_tests::traffic::{SECOND, capture, office};

#[test]
fn status_is_0_only_when_the_probe_is_well_and_says_why_not() {
    let lab = Lab::new("well");
    let plane = lab.control_plane();
    let said = plane.sonde(&["status"]);
    assert_eq!(said.code, Some(1), "there is no dataplane: {said:?}");
    assert!(said.stdout.contains("not well     it has no dataplane"), "{}", said.stdout);
    let check = plane.sonde(&["status", "--check"]);
    assert_eq!((check.code, check.stdout.lines().count()), (Some(1), 1), "{check:?}");
    assert!(check.stdout.contains("is not well: it has no dataplane"), "{}", check.stdout);

    let dataplane = lab.dataplane(&["boot.ports[0].device=net_null0,size=64", "boot.ports[0].pace_pps=1000"]);
    until("well", || (plane.sonde(&["status", "--check"]).code == Some(0)).then_some(()));
    let said = plane.sonde(&["status"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!said.stdout.contains("not well"), "{}", said.stdout);
    assert_eq!(plane.json(&["status", "--check"])["well"], true);

    dataplane.stop();
    let said = plane.sonde(&["status", "--check", "--json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let why: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&why["well"], &why["why"]), (&false.into(), &"its dataplane has ended".into()));
}

#[test]
fn a_clean_stop_leaves_nothing_to_remark_at_the_next_start() {
    let lab = Lab::new("clean");
    let sets = ["boot.ports[0].device=net_null0,size=64", "boot.ports[0].pace_pps=1000"];
    lab.dataplane(&sets).stop();
    let again = lab.dataplane(&sets);
    let said = again.text();
    assert!(!said.contains("stop cleanly") && !said.contains("unclean stop"), "{said}");
    again.kill();
    // Its process may be on its way out, with the lock still held: the next one waits for that.
    let third = lab.dataplane(&sets);
    let said = third.text();
    assert!(said.contains("left by an unclean stop"), "{said}");
    let stopped = third.stop();
    assert!(!stopped.text.contains('\x1b'), "a file has no colours: {}", stopped.text);
}

/// `sonde replay` as on a terminal of so many columns.
fn replay(arguments: &[&str], columns: &str) -> Said {
    run(Command::new(binary("sonde")).arg("replay").args(arguments).env("COLUMNS", columns))
}

#[test]
fn tables_fit_the_terminal_and_columns_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("office.pcap");
    capture::save_in_order(&path, office(40, SECOND, 5).into_iter().filter(|packet| packet.bytes.get(12) != Some(&0x86)).collect());
    let file = path.to_str().unwrap();
    let whole = replay(&[file], "400").stdout;
    assert!(whole.lines().next().is_some_and(|line| line.starts_with("START (UTC)") && line.contains("RTT MS")), "{whole}");
    let flows = whole.lines().count();
    let narrow = replay(&[file], "80").stdout;
    // A heading is said again where a longer address leaves less room; no flow is left out.
    let headings = narrow.lines().filter(|line| line.contains("SOURCE")).count();
    assert_eq!(narrow.lines().count() - headings, flows - 1, "{narrow}");
    let ipv4 = narrow.lines().filter(|line| !line.contains("2001:db8") && !line.contains("fe80"));
    assert!(ipv4.clone().all(|line| line.contains("SOURCE") || line.split_whitespace().count() >= 5), "{narrow}");
    let chosen = replay(&[file, "--columns", "octets,source"], "80").stdout;
    assert!(chosen.lines().all(|line| line.split_whitespace().count() == 2), "{chosen}");
    assert!(chosen.lines().next().is_some_and(|line| line.trim_start().starts_with("OCTETS  SOURCE")), "{chosen}");
    let fields = replay(&[file, "--columns", "octets,destination_port,ingress_interface"], "80").stdout;
    assert!(fields.lines().next().is_some_and(|line| line.trim() == "OCTETS  DESTINATION_PORT  INGRESS_INTERFACE"), "{fields}");
    assert!(fields.lines().any(|line| line.split_whitespace().nth(1) == Some("443")), "{fields}");
    let wrong = replay(&[file, "--columns", "sauce"], "80");
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("there is no column sauce; there are: start-utc, seconds, proto, source"), "{}", wrong.stderr);
    // Those of csv have the names of the catalogue.
    let csv = replay(&[file, "--columns", "octets,source_address", "--format", "csv"], "80").stdout;
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some("octets,source_address"), flows), "{csv}");
    let wrong = replay(&[file, "--columns", "source", "--format", "csv"], "80");
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("there is no field source; `sonde fields` lists all"), "{}", wrong.stderr);

    let json = replay(&[file, "--json"], "80").stdout;
    let flow: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert!(["ipv4", "ipv6"].contains(&flow["kind"].as_str().unwrap()), "{flow}");
    assert!(["idle", "end_of_flow", "forced"].contains(&flow["end_reason"].as_str().unwrap()), "{flow}");
}

#[test]
fn a_question_that_is_refused_changed_nothing_and_does_not_say_so() {
    let lab = Lab::new("ask");
    let plane = lab.control_plane();
    let said = plane.sonde(&["flows", "tail", "--address", "bogus"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("the request has one fault") && !said.stderr.contains("changed"), "{}", said.stderr);
}

#[test]
fn the_control_plane_s_tables_fit_80_columns() {
    let lab = Lab::new("narrow");
    let dataplane = lab.dataplane(&["boot.ports[0].device=net_null0,size=64", "boot.ports[0].pace_pps=1000"]);
    let plane = lab.control_plane();
    until("well", || (plane.sonde(&["status", "--check"]).code == Some(0)).then_some(()));
    for arguments in [&["stats"][..], &["exporters", "list"], &["config", "history"], &["flows", "top"], &["flows", "top", "--by", "flow"]]
    {
        let mut command = Command::new(binary("sonde"));
        let said = run(command.args(arguments).env("SONDE_API", plane.api()).env("COLUMNS", "80"));
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        // Sentences are not tables.
        let headings = said.stdout.lines().filter(|line| line.chars().all(|c| !c.is_lowercase()));
        assert!(headings.clone().all(|line| line.chars().count() <= 80), "{arguments:?}: {}", said.stdout);
        let refused = plane.sonde(&[arguments, &["--columns", "sauce"]].concat());
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains("there is no column sauce; there are: "), "{}", refused.stderr);
    }
    dataplane.stop();
}
