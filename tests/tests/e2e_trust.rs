//! Whoever reaches the API is not root: what a caller of the real control plane tries, and what the real dataplane does then.

use std::os::unix::fs::PermissionsExt;

use sonde_tests::harness::{Lab, until};

/// The profile's own port in small, on any machine.
const PORT: [&str; 2] = ["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=1000"];

#[test]
fn a_caller_of_the_api_names_only_what_the_profile_allows() {
    let lab = Lab::new("trust");
    let databases = lab.path("databases");
    std::fs::create_dir(&databases).unwrap();
    std::fs::set_permissions(&databases, std::fs::Permissions::from_mode(0o755)).unwrap();
    let trust = format!("trust.databases_folder={}", databases.display());
    let sets = [PORT[0], PORT[1], &trust, "boot.eal.extra_args=[\"--log-level=8\"]"];
    let dataplane = lab.dataplane(&sets);
    let plane = lab.control_plane();
    until("adoption", || (plane.json(&["config", "get"])["converged"] == true).then_some(()));
    let document = plane.sonde(&["config", "get"]).stdout;
    let file = lab.path("settings.toml");
    let path = file.to_str().unwrap();
    let apply = |text: &str| {
        std::fs::write(&file, text).unwrap();
        plane.sonde(&["config", "apply", path, "--allow-restart", "-m", "tried"])
    };
    // What is in force is accepted: `config get | config apply`.
    let same = apply(&document);
    assert_eq!(same.code, Some(0), "{same:?}");
    let arguments = "extra_args = [\"--log-level=8\"]";
    let tries = [
        (arguments, "extra_args = [\"--log-level=8\", \"-d\", \"/tmp/evil.so\"]", "boot.eal.extra_args[1]"),
        (arguments, "extra_args = [\"-d/tmp/evil.so\"]", "boot.eal.extra_args[0]"),
        (arguments, "extra_args = [\"--vd=net_pcap9,rx_pcap=/etc/shadow\"]", "boot.eal.extra_args[0]"),
        (arguments, "extra_args = []", "boot.eal.extra_args:"),
        ("net_null0", "net_pcap0,rx_pcap=/etc/shadow", "boot.ports[0].device"),
        ("net_null0", "net_pcap0,rx_pcap=x.pcap,tx_pcap=/etc/cron.d/x", "boot.ports[0].device"),
        ("net_null0", "net_af_packet0,iface=lo", "boot.ports[0].device"),
        ("net_null0", "net_failsafe0,exec(touch x)", "boot.ports[0].device"),
        ("net_null0", "net_virtio_user0,path=/dev/vhost-net", "boot.ports[0].device"),
        ("asn_database = \"\"", "asn_database = \"/etc/shadow\"", "live.enrichment.asn_database"),
        ("asn_database = \"\"", "asn_database = \"..\"", "live.enrichment.asn_database"),
    ];
    for (from, to, field) in tries {
        assert!(document.contains(from), "{from}: {document}");
        let said = apply(&document.replace(from, to));
        assert_eq!(said.code, Some(1), "{to}: {said:?}");
        assert!(said.stderr.contains(field) && said.stderr.contains("nothing was changed"), "{to}: {}", said.stderr);
    }
    let trusting = apply(&format!("{document}\n[trust]\ndatabases_folder = \"/etc\"\n"));
    assert!(trusting.code == Some(1) && trusting.stderr.contains("left to the profile"), "{trusting:?}");
    let history = plane.json(&["config", "history"]);
    assert_eq!(history["generations"].as_array().map(Vec::len), Some(2), "{history}");
    // A name inside the folder is taken, and that it is not there is said by who reads it.
    let named = apply(&document.replace("asn_database = \"\"", "asn_database = \"asn.mmdb\""));
    assert_eq!(named.code, Some(0), "{named:?}");
    drop(dataplane);

    // Restarted with a profile that allows less: the rest of what is desired stands, and the way back is closed.
    let _dataplane = lab.dataplane(&PORT);
    until("the rest", || {
        let now = plane.json(&["config", "get"]);
        let settings = &now["desired"]["settings"];
        let there = now["converged"] == true && settings["live"]["enrichment"]["asn_database"] == "";
        (there && settings["boot"]["eal"]["extra_args"].as_array().is_some_and(Vec::is_empty)).then_some(())
    });
    let before = plane.json(&["config", "history"]);
    let back = plane.sonde(&["config", "rollback", "3", "--allow-restart"]);
    assert_eq!(back.code, Some(1), "{back:?}");
    for word in ["boot.eal.extra_args", "live.enrichment.asn_database", "restart sonde-dataplane"] {
        assert!(back.stderr.contains(word), "{word}: {}", back.stderr);
    }
    assert_eq!(plane.json(&["config", "history"]), before, "nothing was changed");
}
