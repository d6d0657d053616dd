//! Every rule of `config.proto` has a document that breaks it.

use proptest::prelude::*;
use sonde_export::Fields;

use sonde_proto::v1;

use super::*;
use crate::profiles::PROFILES;

/// The smallest good document.
const GOOD: &str = "[[boot.ports]]\nname = \"a\"\ndevice = \"net_null0\"\n";

fn constructed(text: &str) -> Result<Settings, Vec<Violation>> {
    Settings::try_from(&parse_toml(text)?)
}

/// The good document with `sets` applied: its violations as `path: rule / found`.
fn violations(sets: &[(&str, &str)]) -> Vec<Violation> {
    let mut table = document::parse_table(GOOD).expect("good TOML");
    for (path, value) in sets {
        document::set(&mut table, path, value).expect("a path of the document");
    }
    document::from_table(&table).and_then(|document| Settings::try_from(&document)).err().unwrap_or_default()
}

/// One field with a value it must not have: exactly one violation, at the path, whose rule and finding contain the words.
fn check(path: &str, value: &str, rule: &str, found: &str) {
    let all = violations(&[(path, value)]);
    assert_eq!(all.len(), 1, "{path} = {value}: {all:?}");
    assert_eq!(all[0].path, path, "{all:?}");
    assert!(all[0].rule.contains(rule), "{:?} has no {rule:?}", all[0]);
    assert!(all[0].found.contains(found), "{:?} has no {found:?}", all[0]);
}

#[test]
fn what_is_left_out_gets_its_default() {
    let settings = constructed(GOOD).expect("good");
    let boot = &settings.boot;
    assert_eq!(boot.instance, "sonde");
    assert_eq!((boot.eal.huge_pages, boot.eal.memory_mib, boot.eal.pci), (HugePages::Auto, None, false));
    assert_eq!((boot.ports[0].ingress, boot.ports[0].rx_queues, boot.ports[0].rx_descriptors), (1, None, 2048));
    assert_eq!((boot.ports[0].frame_octets_max, boot.ports[0].promiscuous, boot.ports[0].hardware_timestamps), (None, true, true));
    assert_eq!((boot.table.ipv4_flows, boot.table.wide_flows, boot.records.ring_bytes), (1_048_576, 262_144, 64 << 20));
    let live = &settings.live;
    let t = live.timeouts;
    assert_eq!((t.idle_timeout_ms, t.active_timeout_ms, t.tcp_end_linger_ms), (30_000, 300_000, 2000));
    assert!(live.vlan_in_key && live.exporters.is_empty());
    let exporter = "[[live.exporters]]\nname = \"exporters/a\"\naddress = \"collector:4739\"\n";
    let e = &constructed(&format!("{GOOD}{exporter}")).expect("good").live.exporters[0];
    assert_eq!((e.protocol, e.transport, e.observation_domain_id), (Protocol::Ipfix, Transport::Udp, 1));
    assert_eq!((e.template_refresh_s, e.message_octets_max, e.options_interval_s, e.enabled), (600, 1400, 60, true));
    assert_eq!((e.address().as_str(), &e.fields), ("collector:4739", &Fields::Standard));
    let named = constructed(&format!("{GOOD}{exporter}fields = \"flowId, vlanId\"\n")).expect("good");
    let document = v1::Live::from(&named.live);
    assert_eq!(document.exporters[0].fields, "flowId,vlanId", "as it is shown");
    let filtered = constructed(&format!("{GOOD}{exporter}filter = \"protocol = TCP\"\n")).expect("good");
    assert_eq!(v1::Live::from(&filtered.live).exporters[0].filter, "protocol = TCP", "as it was written");
}

#[test]
fn zero_is_a_linger_and_a_domain() {
    let text = format!(
        "{GOOD}[live.timeouts]\ntcp_end_linger_ms = 0\n[[live.exporters]]\nname = \"exporters/a\"\naddress = \"[2001:DB8::1]:1\"\n\
         observation_domain_id = 0\n"
    );
    let settings = constructed(&text).expect("good");
    assert_eq!(settings.live.timeouts.tcp_end_linger_ms, 0);
    assert_eq!(settings.live.exporters[0].observation_domain_id, 0);
    assert_eq!(settings.live.exporters[0].address(), "[2001:db8::1]:1");
}

#[test]
fn only_a_virtual_device_is_paced() {
    let paced = constructed(&format!("{GOOD}pace_pps = 5000\n")).expect("good");
    assert_eq!(paced.boot.ports[0].pace_pps.map(std::num::NonZeroU32::get), Some(5000));
    let all = violations(&[("boot.eal.pci", "true"), ("boot.ports[0].device", "0000:3b:00.0"), ("boot.ports[0].pace_pps", "1")]);
    assert_eq!(all.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), ["boot.ports[0].pace_pps"]);
}

#[test]
fn every_rule_of_boot_is_checked() {
    check("live.tunnels.vxlan", "both sides", "\"inner\", \"outer\", \"both\"", "both sides");
    for kind in sonde_packet::Tunnel::ALL {
        let path = format!("live.tunnels.{}", kind.name().replace('-', "_"));
        check(&path, "both sides", "\"inner\", \"outer\", \"both\"", "both sides");
    }
    check("live.tunnels.depth_max", "9", "0 to 8", "9");
    check("boot.annex.mib", "65537", "1 to 65536", "65537");
    check("boot.patterns.first_packets", "31", "0 to 30", "31");
    check("boot.instance", "Upper", "a-z", "\"Upper\"");
    check("boot.instance", &"x".repeat(33), "1 to 32", "xxx");
    check("boot.eal.huge_pages", "maybe", "\"auto\", \"require\", \"none\"", "maybe");
    check("boot.eal.memory_mib", "15", "16 to 1048576", "15");
    check("boot.ports[0].name", "", "1 to 32", "\"\"");
    check("boot.ports[0].name", "a_b", "1 to 32", "a_b");
    for bad in ["", "eth0", "0000:3b:00.8", "0000:3b:20.0", "3b:00", "net_", "net_x y", "net_null0,\u{7}", "vhost0"] {
        check("boot.ports[0].device", &format!("{bad:?}"), "PCI address", "");
    }
    check("boot.ports[0].rx_queues", "2", "number of boot.cores.workers", "2");
    check("boot.ports[0].rx_descriptors", "63", "64 to 32768", "63");
    check("boot.ports[0].rx_descriptors", "32769", "64 to 32768", "32769");
    check("boot.ports[0].rx_descriptors", "100", "multiple of 32", "100");
    check("boot.ports[0].frame_octets_max", "63", "64 to 16383", "63");
    check("boot.ports[0].frame_octets_max", "16384", "64 to 16383", "16384");
    check("boot.ports[0].hardware_timestamps", "on", "\"auto\", \"off\"", "on");
    check("boot.cores.dispatcher", "8192", "0 to 8191", "8192");
    check("boot.cores.service", "9000", "0 to 8191", "9000");
    check("boot.table.ipv4_flows", "1023", "1024 to 268435456", "1023");
    check("boot.table.wide_flows", "268435457", "1024 to 268435456", "268435457");
    for bad in ["131072", "300000", "8589934592"] {
        check("boot.records.ring_bytes", bad, "power of two", bad);
    }
}

#[test]
fn a_list_names_each_thing_once() {
    let all = violations(&[("boot.cores.workers", "[3, 1, 3, 9999, 1]")]);
    let paths: Vec<_> = all.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(paths, ["boot.cores.workers[3]", "boot.cores.workers[2]", "boot.cores.workers[4]"]);
    assert!(all[1].found.contains("core 3, as in boot.cores.workers[0]"), "{all:?}");

    let all = violations(&[("boot.ports[1].name", "a"), ("boot.ports[1].device", "net_null0,size=64")]);
    let paths: Vec<_> = all.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(paths, ["boot.ports[1].name", "boot.ports[1].device"]);

    let exporter = "[[live.exporters]]\nname = \"exporters/a\"\naddress = \"h:1\"\n";
    let all = constructed(&format!("{GOOD}{exporter}{exporter}")).expect_err("twice");
    assert_eq!(all[0].path, "live.exporters[1].name");
}

#[test]
fn lists_have_a_limit() {
    let many: Vec<String> = (0..128).map(|n| n.to_string()).collect();
    assert_eq!(violations(&[("boot.cores.workers", &format!("[{}]", many.join(",")))])[0].found, "128 cores");
    assert_eq!(constructed("").expect_err("no port")[0].path, "boot.ports");
    let ports: String = (0..33).map(|n| format!("[[boot.ports]]\nname=\"p{n}\"\ndevice=\"net_null{n}\"\n")).collect();
    assert_eq!(constructed(&ports).expect_err("too many")[0].found, "33 ports");
    let exporters: String = (0..33).map(|n| format!("[[live.exporters]]\nname=\"exporters/p{n}\"\naddress=\"h:{}\"\n", n + 1)).collect();
    assert_eq!(constructed(&format!("{GOOD}{exporters}")).expect_err("too many")[0].found, "33 exporters");
}

#[test]
fn a_pci_port_needs_the_pci_bus() {
    let all = violations(&[("boot.ports[0].device", "3B:00.1")]);
    assert_eq!((all.len(), all[0].path.as_str()), (1, "boot.eal.pci"), "{all:?}");
    let mut table = document::parse_table(GOOD).expect("good");
    document::set(&mut table, "boot.ports[0].device", "3B:00.1").expect("path");
    document::set(&mut table, "boot.eal.pci", "true").expect("path");
    let settings = Settings::try_from(&document::from_table(&table).expect("shape")).expect("good");
    assert_eq!(settings.boot.ports[0].device, Device::Pci("0000:3b:00.1".into()));
}

#[test]
fn only_harmless_arguments_are_given_to_eal() {
    let of = |arguments: &str| violations(&[("boot.eal.extra_args", arguments)]);
    assert_eq!(of("[\"--log-level\", \"8\", \"--iova-mode=va\"]"), []);
    for bad in ["-d", "-dFILE", "--vd=net_null1", "--vdev=net_null1", "--no-hug", "--", ""] {
        let all = of(&format!("[\"--log-level=8\", {bad:?}]"));
        assert_eq!(all.len(), 1, "{bad}: {all:?}");
        assert_eq!(all[0].path, "boot.eal.extra_args[1]");
    }
    assert_eq!(of(&format!("[{}]", "\"--no-hpet\",".repeat(33)))[0].path, "boot.eal.extra_args");
}

#[test]
fn a_profile_says_what_the_api_may_name_and_no_document_does() {
    let mut table = document::parse_table(GOOD).expect("good TOML");
    document::set(&mut table, "trust.databases_folder", "/srv/geo").expect("a path of a profile");
    document::set(&mut table, "trust.devices[0]", "net_af_packet,iface=eth1").expect("a path of a profile");
    let refused = document::set(&mut table, "trust.nothing", "1").expect_err("no such field");
    assert!(refused.rule.contains("databases_folder, devices, recordings_folder, sockets_folder"), "{refused}");
    let all = document::from_table(&table).expect_err("no document of the API");
    assert!(all.len() == 1 && all[0].path == "trust" && all[0].rule.contains("restart sonde-dataplane"), "{all:?}");
    let places = document::take_trust(&mut table).expect("good");
    assert_eq!((places.databases_folder.as_str(), places.devices.len()), ("/srv/geo", 1));
    assert!(document::from_table(&table).is_ok());
    let mut bad = document::parse_table("[trust]\nfolder = \"/x\"\ndevices = 3\n").expect("TOML");
    let paths: Vec<_> = document::take_trust(&mut bad).expect_err("two faults").into_iter().map(|v| v.path).collect();
    assert_eq!(paths, ["trust.devices", "trust.folder"]);
}

#[test]
fn every_rule_of_live_is_checked() {
    check("live.timeouts.idle_timeout_ms", "99", "100 to 3600000", "99");
    check("live.timeouts.idle_timeout_ms", "3600001", "100 to 3600000", "3600001");
    check("live.timeouts.active_timeout_ms", "999", "1000 to 86400000", "999");
    check("live.timeouts.active_timeout_ms", "86400001", "1000 to 86400000", "86400001");
    check("live.timeouts.tcp_end_linger_ms", "60001", "0 to 60000", "60001");
    let exporter = |field: &str, value: &str, rule: &str| {
        let path = format!("live.exporters[0].{field}");
        let sets = [("live.exporters[0].name", "exporters/a"), ("live.exporters[0].address", "h:1"), (path.as_str(), value)];
        let all = violations(&sets);
        assert_eq!(all.len(), 1, "{field} = {value}: {all:?}");
        assert_eq!(all[0].path, path);
        assert!(all[0].rule.contains(rule), "{:?} has no {rule:?}", all[0]);
    };
    for bad in ["a", "exporters/", "exporters/A", "exporters/a/b"] {
        exporter("name", bad, "exporters/");
    }
    exporter("protocol", "sflow", "\"ipfix\"");
    exporter("transport", "sctp", "\"udp\", \"tcp\"");
    for bad in
        ["collector", ":1", "h:0", "h:65536", "h:+1", "h:", "h h:1", "-h:1", "h..x:1", "2001:db8::1:4739", "[::1:4739", "[1.2.3.4]:1"]
    {
        exporter("address", &format!("{bad:?}"), "port");
    }
    exporter("address", "10.1:4739", "IPv4");
    exporter("address", "256.0.0.1:4739", "IPv4");
    exporter("template_refresh_s", "86401", "1 to 86400");
    exporter("message_octets_max", "511", "512 to 65000");
    exporter("message_octets_max", "65001", "512 to 65000");
    exporter("options_interval_s", "86401", "1 to 86400");
    exporter("fields", "octetDeltaCont", "the nearest is octetDeltaCount");
    exporter("fields", &"vlanId,".repeat(256), "at most 256 names");
    exporter("filter", "rtt > 5", "a duration as 200 ms for rtt (duration), at line 1, column 7");
    exporter("filter", "country = 'CZ'", "over fields of the record");
    let two = ("live.exporters[0].fields", "packetDeltaCount,vlanID,full");
    let all = violations(&[("live.exporters[0].name", "exporters/a"), ("live.exporters[0].address", "h:1"), two]);
    let found: Vec<_> = all.iter().map(|violation| violation.found.as_str()).collect();
    assert_eq!(found, ["\"vlanID\"", "\"full\""], "each name by itself");
}

#[test]
fn every_rule_of_enrichment_is_checked() {
    for field in ["asn_database", "country_database", "city_database", "bgp_rib"] {
        check(&format!("live.enrichment.{field}"), "here/a.mmdb", "an absolute path", "here/a.mmdb");
        check(&format!("live.enrichment.{field}"), "../a.mmdb", "or the name of a file in trust.databases_folder", "../a.mmdb");
        check(&format!("live.enrichment.{field}"), "\"/a\\u0007\"", "an absolute path", "/a");
    }
    check("live.enrichment.bgp_rib", &format!("/{}", "a".repeat(4095)), "at most 4095 octets", "4096 octets");
    let own = |prefix: &str, name: &str| {
        violations(&[("live.enrichment.prefixes[0].prefix", prefix), ("live.enrichment.prefixes[0].name", name)])
    };
    assert_eq!(own("192.0.2.0/24", "Zákazník, a. s."), []);
    for bad in ["192.0.2.1/24", "192.0.2.0/33", "192.0.2.0", "2001:db8::/129"] {
        let all = own(bad, "a");
        assert_eq!((all.len(), all[0].path.as_str()), (1, "live.enrichment.prefixes[0].prefix"), "{all:?}");
        assert!(all[0].rule.contains("a length from 0 to 32 (IPv4) or 128 (IPv6)"), "{all:?}");
    }
    for bad in ["", "\"a\\tb\"", "this name is one too long!"] {
        let all = own("192.0.2.0/24", bad);
        assert_eq!((all.len(), all[0].path.as_str()), (1, "live.enrichment.prefixes[0].name"), "{all:?}");
    }
    let list = |count: usize| {
        let one = |n: usize| format!("{{prefix=\"10.{}.{}.0/24\",name=\"a\"}}", n >> 8, n & 0xff);
        format!("{GOOD}[live.enrichment]\nprefixes=[{}]\n", (0..count).map(one).collect::<Vec<_>>().join(","))
    };
    assert_eq!(constructed(&list(4096)).map(|settings| settings.live.enrichment.networks.len()), Ok(4096));
    let all = constructed(&list(4097)).expect_err("too many");
    assert_eq!((all[0].path.as_str(), all[0].found.as_str()), ("live.enrichment.prefixes", "4097 prefixes"));
    let twice = "prefixes=[{prefix=\"2001:db8::/32\",name=\"a\"},{prefix=\"2001:DB8:0::/32\",name=\"b\"}]";
    let all = constructed(&format!("{GOOD}[live.enrichment]\n{twice}\n")).expect_err("used twice");
    assert_eq!(all[0].found, "2001:db8::/32, as in live.enrichment.prefixes[0].prefix");
}

#[test]
fn sources_survive_the_journey() {
    let text = format!(
        "{GOOD}[live.enrichment]\nasn_database=\"/a\"\ncountry_database=\"/b\"\ncity_database=\"/c\"\nbgp_rib=\"/d\"\n\
         prefixes=[{{prefix=\"192.0.2.0/24\",name=\"office\"}},{{prefix=\"2001:db8::/32\",name=\"six\"}}]\n"
    );
    let settings = constructed(&text).expect("good");
    assert!(constructed(GOOD).expect("good").live.enrichment.is_empty() && !settings.live.enrichment.is_empty());
    let again = constructed(&document::to_toml(&v1::Settings::from(&settings)));
    assert_eq!(again, Ok(settings));
}

#[test]
fn every_violation_is_listed_not_the_first() {
    let text = "[boot]\ninstance = \"A B\"\ncolour = 1\n[boot.cores]\nworkers = \"two\"\n[live.timeouts]\nidle_timeout_ms = -1\n\
                active_timeout_ms = 5000000000\n[live]\nvlan_in_key = 3\nexporters = 1\n";
    let all = parse_toml(text).expect_err("bad shape");
    let paths: Vec<_> = all.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "boot.colour",
            "boot.cores.workers",
            "live.exporters",
            "live.timeouts.active_timeout_ms",
            "live.timeouts.idle_timeout_ms",
            "live.vlan_in_key"
        ]
    );
    assert_eq!(all[0].rule, "one of the fields annex, cores, eal, instance, patterns, ports, records, table");
    assert_eq!(
        all[3].to_string(),
        "live.timeouts.active_timeout_ms: must be a whole number from 0 to 4294967295; found the number 5000000000"
    );
}

#[test]
fn what_is_not_toml_says_where() {
    let all = parse_toml("[boot]\ninstance = \n").expect_err("not TOML");
    assert!(all[0].found.starts_with("line 2, column"), "{all:?}");
    assert!(parse_toml(&"#".repeat(document::OCTETS_MAX + 1)).is_err());
}

#[test]
fn set_takes_text_as_the_field_s_type_asks() {
    let mut table = document::parse_table("").expect("empty");
    for (path, value) in [
        ("boot.ports[0].device", "net_pcap0,rx_pcap=/tmp/a.pcap"),
        ("boot.ports[0].name", "\"quoted\""),
        ("boot.ports[0].promiscuous", "false"),
        ("boot.cores.workers", "[0, 1]"),
        ("boot.cores.workers[2]", "5"),
        ("boot.instance", "7"),
    ] {
        document::set(&mut table, path, value).expect(path);
    }
    let boot = document::from_table(&table).expect("good").boot.expect("boot");
    assert_eq!((boot.instance.as_str(), boot.cores.expect("cores").workers), ("7", vec![0, 1, 5]));
    assert_eq!((boot.ports[0].device.as_str(), boot.ports[0].name.as_str()), ("net_pcap0,rx_pcap=/tmp/a.pcap", "quoted"));
    assert_eq!(boot.ports[0].promiscuous, Some(false));
    for (path, value, rule) in [
        ("boot.nothing", "1", "one of the fields"),
        ("boot..x", "1", "a path"),
        ("boot.ports[x].name", "1", "a path"),
        ("boot.ports[5].name", "a", "an index from 0 to 1"),
        ("boot.instance.x", "1", "a string"),
        ("boot.cores.service", "one", "a whole number"),
        ("boot.cores", "1", "a table"),
    ] {
        let refused = document::set(&mut table, path, value).expect_err(path);
        assert!(refused.rule.starts_with(rule), "{refused:?}");
    }
}

#[test]
fn restart_is_required_by_boot_alone_and_names_the_fields() {
    let a = constructed(&format!("{GOOD}[boot.cores]\nworkers = [1]\n")).expect("good");
    let live = constructed(&format!("{GOOD}[boot.cores]\nworkers = [1]\n[live]\nvlan_in_key = false\n")).expect("good");
    assert!(restart_required(&a, &live).is_empty());
    let b = constructed(&format!(
        "{}promiscuous = false\n[boot]\ninstance = \"b\"\n[boot.cores]\nworkers = [1, 2]\nservice = 0\n[boot.table]\nwide_flows = 2048\n",
        GOOD.replace("net_null0", "net_null1")
    ));
    let paths = restart_required(&a, &b.expect("good"));
    assert_eq!(
        paths,
        [
            "boot.cores.service",
            "boot.cores.workers",
            "boot.instance",
            "boot.ports[0].device",
            "boot.ports[0].promiscuous",
            "boot.table.wide_flows"
        ]
    );
}

#[test]
fn every_profile_is_good_and_survives_the_journey() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../hw-profiles")).expect("profiles").count();
    assert_eq!(files, PROFILES.len(), "every file of hw-profiles/ is embedded");
    for (name, text) in PROFILES {
        let settings = constructed(text).unwrap_or_else(|v| panic!("{name}: {v:?}"));
        let document = v1::Settings::from(&settings);
        let again = document::to_toml(&document);
        assert_eq!(parse_toml(&again).expect("own TOML"), document, "{name}");
        assert_eq!(Settings::try_from(&document).expect("own document"), settings, "{name}");
    }
}

#[test]
fn threads_are_placed_on_cores_that_are_there() {
    let cores = |text: &str| constructed(&format!("{GOOD}[boot.cores]\n{text}\n")).expect("good").boot.cores;
    let placed = cores("").place(&[2, 3, 5]).expect("defaults");
    assert_eq!(placed, Placement { workers: vec![5], dispatcher: 5, service: 2 });
    let placed = cores("workers = [3, 2]\nservice = 5").place(&[2, 3, 5]).expect("there");
    assert_eq!(placed, Placement { workers: vec![3, 2], dispatcher: 3, service: 5 });
    let faults = cores("workers = [3, 9]\ndispatcher = 7\nservice = 0").place(&[2, 3]).expect_err("not there");
    let paths: Vec<_> = faults.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["boot.cores.workers[1]", "boot.cores.dispatcher", "boot.cores.service"]);
    assert!(faults[0].to_string().contains("core 9 does not exist"), "{}", faults[0]);
}

#[test]
fn every_prefix_of_a_document_is_a_value_or_violations() {
    for (_, text) in PROFILES {
        for end in (0..=text.len()).filter(|i| text.is_char_boundary(*i)) {
            if let Err(violations) = constructed(&text[..end]) {
                assert!(!violations.is_empty());
                assert!(violations.iter().all(|v| !v.rule.is_empty() && !v.found.is_empty()), "{violations:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn garbage_is_a_value_or_violations(text in "[\\[\\]a-z0-9=\"\n.{},#-]{0,120}") {
        if let Err(violations) = constructed(&text) {
            prop_assert!(!violations.is_empty());
        }
    }

    #[test]
    fn any_path_and_value_can_be_tried(path in "(boot|live|x)(\\.[a-z_]{1,9}(\\[[0-9]{1,3}\\])?){0,3}", value in "\\PC{0,20}") {
        let mut table = document::parse_table(GOOD).expect("good");
        let before = table.clone();
        match document::set(&mut table, &path, &value) {
            Err(refused) => {
                prop_assert_eq!(refused.path, path);
                prop_assert_eq!(table, before);
            }
            // Only what a single text cannot tell is left to the document: ranges, and the fields of an inline table.
            Ok(()) => {
                for violation in document::from_table(&table).err().unwrap_or_default() {
                    prop_assert!(violation.path.starts_with(&path), "{:?}", violation);
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0usize..4096, byte in any::<u8>()) {
        let mut bytes = PROFILES[0].1.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Err(violations) = constructed(&text)
        {
            prop_assert!(!violations.is_empty());
        }
    }
}

#[test]
fn every_kind_of_tunnel_has_its_fields_and_no_other_has() {
    let fields = |udp_alone: bool| {
        let kinds = sonde_packet::Tunnel::ALL.into_iter().filter(move |kind| !udp_alone || kind.has_udp_ports());
        kinds.map(|kind| kind.name().replace('-', "_")).collect::<std::collections::BTreeSet<_>>()
    };
    let of = |table: toml::Table| table.into_iter().map(|(name, _)| name).collect();
    assert_eq!(fields(false), of(toml::Table::try_from(sonde_proto::v1::Tunnels::default()).expect("a table")));
    assert_eq!(fields(true), of(toml::Table::try_from(sonde_proto::v1::TunnelPorts::default()).expect("a table")));
}

#[test]
fn further_ports_of_tunnels_belong_to_one_kind_each() {
    let text = format!("{GOOD}[boot.cores]\nworkers = [1]\n[live]\nvirtual_network_in_key = false\n[live.tunnels]\nayiya = \"both\"\n");
    let live = constructed(&format!("{text}[live.tunnels.ports]\nvxlan = [48879, 4789]\ngtp = [3000]\n")).expect("good").live;
    let added: Vec<_> = live.tunnels.ports().added().collect();
    assert_eq!(added, [(48_879, sonde_packet::Tunnel::Vxlan), (3000, sonde_packet::Tunnel::GtpU)]);
    assert!(!live.virtual_network_in_key && live.tunnels.view(sonde_packet::Tunnel::Ayiya) == sonde_packet::View::Both);
    // What it says is what was constructed.
    let document = sonde_proto::v1::Live::from(&live);
    assert_eq!(document.tunnels.and_then(|tunnels| tunnels.ports).map(|ports| (ports.vxlan, ports.gtp)), Some((vec![48_879], vec![3000])));
    for (ports, path) in [
        ("vxlan = [48879]\ngeneve = [48879]", "live.tunnels.ports.geneve[0]"),
        ("vxlan = [5000, 6081]", "live.tunnels.ports.vxlan[1]"),
        ("gtp = [0]", "live.tunnels.ports.gtp[0]"),
        ("vxlan_gpe = [65536]", "live.tunnels.ports.vxlan_gpe[0]"),
    ] {
        let violations = constructed(&format!("{text}[live.tunnels.ports]\n{ports}\n")).expect_err("a port too much");
        assert_eq!(violations.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), [path]);
    }
}
