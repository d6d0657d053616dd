use super::*;
use crate::parse_toml;

const PROFILE: &str = "
[boot.eal]
pci = true
extra_args = [\"--log-level=8\"]
[[boot.ports]]
name = \"a\"
device = \"net_af_packet0,iface=eth1\"
[[boot.ports]]
name = \"b\"
device = \"0000:3b:00.0\"
[[boot.ports]]
name = \"c\"
device = \"net_pcap0,rx_pcap=/srv/lab/a.pcap,tx_pcap=/srv/lab/out.pcap\"
[live.enrichment]
bgp_rib = \"/srv/rib.bz2\"
";

fn settings(text: &str) -> Settings {
    Settings::try_from(&parse_toml(text).expect("TOML")).expect("good")
}

fn places() -> v1::Trust {
    v1::Trust {
        recordings_folder: "/srv/recordings".into(),
        sockets_folder: "/srv/sockets".into(),
        databases_folder: "/srv/databases".into(),
        devices: vec![
            "net_af_packet,iface=eth2".into(),
            "net_tap,iface=tap7".into(),
            "0000:3b:00.1".into(),
            "net_memif,socket=/run/m.sock".into(),
        ],
    }
}

fn trust(places: &v1::Trust) -> Trust {
    Trust::of(&settings(PROFILE), places).expect("a good profile")
}

/// A document of the API with this device instead of the first.
fn with(device: &str) -> Result<Vec<Violation>, Vec<Violation>> {
    let document = parse_toml(&PROFILE.replace("net_af_packet0,iface=eth1", device)).expect("TOML");
    Settings::try_from(&document).map(|settings| trust(&places()).violations(&settings))
}

#[test]
fn what_the_profile_names_may_be_named_and_what_is_in_its_folders() {
    assert_eq!(trust(&places()).violations(&settings(PROFILE)), []);
    assert_eq!(trust(&v1::Trust::default()).violations(&settings(PROFILE)), [], "without folders too");
    for good in [
        "net_af_packet5,iface=eth1,blocksz=8192",
        "eth_af_packet0,iface=eth2",
        "3B:00.1",
        "net_tap0,iface=tap7",
        "net_null0,size=64",
        "net_ring0",
        "net_pcap1,rx_pcap=monday.pcap,infinite_rx=1",
        "net_pcap1,rx_pcap=monday.pcap,rx_pcap=tuesday_2.pcapng",
        "net_pcap1,tx_pcap=/srv/lab/out.pcap,rx_pcap=/srv/lab/a.pcap,infinite_rx=1",
        "net_memif0,role=client,socket=m.sock,socket-abstract=no",
        "net_memif0,id=3,socket=/run/m.sock",
        "net_vhost0,iface=v.sock,queues=2",
        "net_virtio_user0,path=v.sock",
    ] {
        let device = good.replace("net_pcap1", "net_pcap9");
        assert_eq!(with(&device), Ok(vec![]), "{good}");
    }
}

#[test]
fn nothing_else_may_be_named() {
    for (bad, word) in [
        ("net_af_packet0,iface=eth0", "one of the profile's"),
        ("net_af_packet0,iface=lo", "one of the profile's"),
        ("net_af_packet0", "one of the profile's"),
        ("net_af_xdp0,iface=eth1", "one of the profile's"),
        ("net_tap0", "one of the profile's"),
        ("net_tap0,iface=tap7,remote=eth0", "one of the profile's"),
        ("net_pcap9,iface=eth1", "iface="),
        ("net_pcap9,rx_iface=eth0", "rx_iface="),
        ("net_pcap9,rx_pcap=a.pcap,tx_iface=eth0", "tx_iface="),
        ("net_pcap9,rx_pcap=a.pcap,tx_pcap=b.pcap", "tx_pcap="),
        ("net_pcap9,rx_pcap=/srv/lab/a.pcap,tx_pcap=/etc/shadow", "without a path"),
        ("net_pcap9,tx_pcap=/etc/shadow", "tx_pcap="),
        ("net_pcap9,rx_pcap=/etc/shadow", "/srv/recordings"),
        ("net_pcap9,rx_pcap=/srv/recordings/a.pcap", "without a path"),
        ("net_pcap9,rx_pcap=../a.pcap", "without a path"),
        ("net_pcap9,rx_pcap=..", "without a path"),
        ("net_pcap9,rx_pcap=.hidden", "without a path"),
        ("net_pcap9,rx_pcap=-", "without a path"),
        ("net_pcap9,rx_pcap=a/b.pcap", "without a path"),
        ("net_pcap9,rx_pcap=./a.pcap", "without a path"),
        ("net_pcap9,rx_pcap=a b", "without a path"),
        ("net_memif0,socket=/tmp/m.sock,socket-abstract=no", "/srv/sockets"),
        ("net_memif0,socket=m.sock", "socket-abstract=no"),
        ("net_memif0,socket=m.sock,socket-abstract=yes", "socket-abstract=no"),
        ("net_memif0,role=server", "socket="),
        ("net_vhost0", "iface="),
        ("net_vhost0,iface=/tmp/v.sock", "/srv/sockets"),
        ("net_virtio_user0,path=/dev/vhost-net", "/srv/sockets"),
        ("net_virtio_user0,path=v.sock,iface=eth0", "iface="),
        ("0000:3b:00.2", "a PCI address of the profile"),
    ] {
        let all = with(bad).unwrap_or_else(|v| panic!("{bad}: {v:?}"));
        assert_eq!(all.len(), 1, "{bad}: {all:?}");
        assert_eq!(all[0].path, "boot.ports[0].device");
        assert!(all[0].rule.contains(word) && all[0].rule.contains("profile"), "{bad}: {}", all[0]);
        assert!(all[0].rule.contains("restart sonde-dataplane"), "the remedy: {}", all[0]);
    }
    // What no profile may name either is refused before it is asked who says it.
    assert!(with("net_failsafe0,exec(id)").is_err());
}

#[test]
fn without_folders_nothing_inside_them_may_be_named() {
    let nothing = trust(&v1::Trust::default());
    for (device, field) in [
        ("net_pcap9,rx_pcap=a.pcap", "trust.recordings_folder is not set"),
        ("net_memif0,socket=m.sock,socket-abstract=no", "trust.sockets_folder is not set"),
    ] {
        let document = settings(&PROFILE.replace("net_af_packet0,iface=eth1", device));
        let all = nothing.violations(&document);
        assert!(all.len() == 1 && all[0].rule.contains(field), "{all:?}");
    }
    let document = settings(&format!("{PROFILE}asn_database = \"asn.mmdb\"\n"));
    let all = nothing.violations(&document);
    assert_eq!((all.len(), all[0].path.as_str()), (1, "live.enrichment.asn_database"));
    assert!(all[0].rule.contains("trust.databases_folder is not set") && all[0].rule.contains("restart sonde-dataplane"), "{}", all[0]);
}

#[test]
fn arguments_are_those_of_the_profile() {
    for other in ["[]", "[\"--log-level=7\"]", "[\"--log-level=8\", \"--no-hpet\"]"] {
        let all = trust(&places()).violations(&settings(&PROFILE.replace("[\"--log-level=8\"]", other)));
        assert_eq!((all.len(), all[0].path.as_str()), (1, "boot.eal.extra_args"), "{other}");
        assert!(all[0].rule.contains("as in the profile, [\"--log-level=8\"]"), "{}", all[0]);
    }
}

#[test]
fn databases_are_names_in_the_folder_or_files_of_the_profile() {
    let of = |file: &str| format!("{PROFILE}asn_database = \"{file}\"\ncity_database = \"/srv/rib.bz2\"\n");
    for good in ["GeoLite2-ASN.mmdb", "/srv/rib.bz2", ""] {
        assert_eq!(trust(&places()).violations(&settings(&of(good))), [], "{good}");
    }
    for bad in ["/etc/shadow", "/srv/databases/../x", "/srv/databases/x/y", "/srv/databases/a.mmdb", "/proc/self/environ"] {
        let all = trust(&places()).violations(&settings(&of(bad)));
        assert_eq!((all.len(), all[0].path.as_str()), (1, "live.enrichment.asn_database"), "{bad}");
        assert!(all[0].rule.contains("/srv/databases"), "{}", all[0]);
    }
    for bad in ["../x", ".x", "a/b", "..", "~x", "a b"] {
        assert!(Settings::try_from(&parse_toml(&of(bad)).expect("TOML")).is_err(), "{bad} is neither a path nor a name");
    }
    let sources = trust(&places()).sources(&settings(&of("a.mmdb")).live);
    assert_eq!(sources.folder.as_deref(), Some(Path::new("/srv/databases")));
}

#[test]
fn names_become_paths_for_eal() {
    let trust = trust(&places());
    let resolved = |text: &str| trust.resolve(&Device::Vdev(text.into())).as_str().to_owned();
    assert_eq!(
        resolved("net_pcap0,rx_pcap=a.pcap,infinite_rx=1,rx_pcap=/b.pcap"),
        "net_pcap0,rx_pcap=/srv/recordings/a.pcap,infinite_rx=1,rx_pcap=/b.pcap"
    );
    assert_eq!(resolved("net_memif0,socket=m.sock"), "net_memif0,socket=/srv/sockets/m.sock");
    assert_eq!(resolved("net_af_packet0,iface=eth1"), "net_af_packet0,iface=eth1");
    assert_eq!(trust.inside(&Device::Vdev("net_pcap0,rx_pcap=a.pcap,rx_pcap=/b".into())), [("/srv/recordings/a.pcap".into(), false)]);
    assert_eq!(trust.inside(&Device::Vdev("net_vhost0,iface=v.sock".into())), [("/srv/sockets/v.sock".into(), true)]);
}

#[test]
fn a_bad_table_is_refused_whole() {
    let bad = v1::Trust {
        recordings_folder: "recordings".into(),
        sockets_folder: "/a,b".into(),
        databases_folder: String::new(),
        devices: vec!["net_null".into(), "net_failsafe0".into(), "eth0".into()],
    };
    let named = settings(&format!("{PROFILE}asn_database = \"asn.mmdb\"\n"));
    let all = Trust::of(&named, &bad).expect_err("five faults");
    let paths: Vec<_> = all.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(
        paths,
        ["trust.recordings_folder", "trust.sockets_folder", "trust.devices[1]", "trust.devices[2]", "live.enrichment.asn_database"]
    );
}

#[test]
fn where_no_profile_is_known_only_what_is_desired_may_be_named() {
    let desired = settings(PROFILE);
    assert_eq!(Trust::unknown(Some(&desired)).violations(&desired), []);
    let other = settings(&PROFILE.replace("eth1", "eth0").replace("--log-level=8", "--no-hpet"));
    let all = Trust::unknown(Some(&desired)).violations(&other);
    assert!(all.len() == 2 && all.iter().all(|v| v.rule.contains("start sonde-dataplane first")), "{all:?}");
    let harmless = settings("[[boot.ports]]\nname = \"a\"\ndevice = \"net_null0\"\n");
    assert_eq!(Trust::unknown(None).violations(&harmless), []);
}
