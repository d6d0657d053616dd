//! `sonde replay`, the real program, over captures of every kind that it says it reads, whole and broken.

use std::path::PathBuf;
use std::process::Command;

use sonde_tests::collector::{Decoder, elements};
use sonde_tests::harness::{Said, binary, run};
use sonde_tests::mmdb::{Data, Writer};
use sonde_tests::mrt::{Dump, Segment, route};
use sonde_tests::traffic::capture::{ETHERNET, LINUX_SLL, LINUX_SLL2, NULL, RAW};
use sonde_tests::traffic::{
    ByteOrder, CaptureWriter, Carrier, Format, Ipv4, Layer, Packet, Resolution, SECOND, START, Stack, Totals, fragments, office,
};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn replay(&self, arguments: &[&str]) -> Said {
        run(Command::new(binary("sonde")).arg("replay").args(arguments).current_dir(self.0.path()))
    }
}

fn capture(packets: &[Packet]) -> (Vec<u8>, Totals) {
    let mut writer = CaptureWriter::new(Vec::new(), Format::Pcap, Resolution::Nano, ByteOrder::Little, ETHERNET).unwrap();
    let mut totals = Totals::default();
    for packet in packets {
        totals.add(&packet.bytes);
        writer.packet(packet).unwrap();
    }
    (writer.finish().unwrap(), totals)
}

/// The column of this name, of every line.
fn column(csv: &str, name: &str) -> Vec<String> {
    let at = csv.lines().next().unwrap().split(',').position(|title| title == name).unwrap_or_else(|| panic!("no column {name}"));
    csv.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().to_owned()).collect()
}

fn sum(csv: &str, name: &str) -> u64 {
    column(csv, name).iter().filter(|value| !value.is_empty()).map(|value| value.parse::<u64>().unwrap()).sum()
}

/// A datagram behind a header of this link type.
fn linked(link: u32, order: ByteOrder) -> Vec<u8> {
    let ip = Stack::new().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(4000, 53).payload(vec![9; 20]).build_unpadded();
    let family = if order == ByteOrder::Big { 2u32.to_be_bytes() } else { 2u32.to_le_bytes() };
    let header: Vec<u8> = match link {
        ETHERNET => vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0],
        RAW => Vec::new(),
        // The host's own byte order, which is the file's.
        NULL => family.to_vec(),
        // Packet type, ARPHRD_ETHER, address length, address, protocol.
        LINUX_SLL => vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0],
        // Protocol, reserved, interface, ARPHRD_ETHER, packet type, address length, address.
        LINUX_SLL2 => vec![8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
        other => panic!("no header for link type {other}"),
    };
    [header, ip].concat()
}

#[test]
fn every_format_resolution_byte_order_and_link_type_gives_the_same_flow() {
    let place = Place::new();
    let mut names = Vec::new();
    for format in [Format::Pcap, Format::PcapNg] {
        for resolution in [Resolution::Micro, Resolution::Nano] {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                for link in [ETHERNET, RAW, LINUX_SLL, LINUX_SLL2, NULL] {
                    let mut writer = CaptureWriter::new(Vec::new(), format, resolution, order, link).unwrap();
                    let time = START + 123_456_789;
                    writer.packet(&Packet { time, bytes: linked(link, order) }).unwrap();
                    let name = format!("{format:?}-{resolution:?}-{order:?}-{link}");
                    place.write(&name, &writer.finish().unwrap());
                    names.push(name);
                }
            }
        }
    }
    let arguments: Vec<&str> = names.iter().map(String::as_str).chain(["--format", "csv"]).collect();
    let said = place.replay(&arguments);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    // One flow a file: each is a world of its own, although all of them are the same conversation.
    assert_eq!(column(&said.stdout, "file"), names);
    for (name, start) in names.iter().zip(column(&said.stdout, "start")) {
        assert_eq!(start, if name.contains("Nano") { "1767600000.123456789" } else { "1767600000.123456000" }, "{name}");
    }
    for (title, value) in
        [("src", "10.0.0.1"), ("sport", "4000"), ("dst", "10.0.0.2"), ("dport", "53"), ("packets_fwd", "1"), ("bytes_fwd", "48")]
    {
        assert_eq!(column(&said.stdout, title), vec![value; names.len()], "{title}");
    }
}

#[test]
fn every_format_of_output_has_the_sums_of_the_capture() {
    let place = Place::new();
    let (bytes, totals) = capture(&office(150, 3 * SECOND, 5));
    place.write("office.pcap", &bytes);
    let ip_packets = totals.ipv4_packets + totals.ipv6_packets;
    let ip_octets = totals.ipv4_octets + totals.ipv6_octets;

    let csv = place.replay(&["office.pcap", "--format", "csv"]);
    assert_eq!(csv.code, Some(0), "{csv:?}");
    assert_eq!(sum(&csv.stdout, "packets_fwd") + sum(&csv.stdout, "packets_rev"), ip_packets);
    assert_eq!(sum(&csv.stdout, "bytes_fwd") + sum(&csv.stdout, "bytes_rev"), ip_octets);
    let layer2 = place.replay(&["office.pcap", "--format", "csv", "--table", "l2"]).stdout;
    assert_eq!(sum(&layer2, "packets_fwd") + sum(&layer2, "packets_rev"), totals.other_frames);
    let flows = csv.stdout.lines().count() - 1;

    let json = place.replay(&["office.pcap", "--json"]).stdout;
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| objects.iter().map(|flow| flow[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((objects.len(), of("packets") + of("packets_reverse"), of("octets") + of("octets_reverse")), (flows, ip_packets, ip_octets));

    let table = place.replay(&["office.pcap"]);
    assert_eq!(table.stdout.lines().count(), flows + 1, "{}", table.stdout);
    assert!(table.stderr.contains(&format!("{0} packets received, {0} metered", totals.frames)), "{}", table.stderr);

    // --out, and a format for programs: read back by a collector that knows nothing of the encoder.
    let said = place.replay(&["office.pcap", "--format", "ipfix", "--out", "office.ipfix"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said:?}");
    let file = std::fs::read(place.0.path().join("office.ipfix")).unwrap();
    let collected = Decoder::file(&file);
    assert_eq!((collected.faults.as_slice(), collected.missing), ([].as_slice(), 0));
    assert_eq!(collected.records.iter().map(|record| record.both(elements::PACKETS)).sum::<u64>(), totals.frames);
}

#[test]
fn people_are_told_how_fast_network_and_servers_were_and_all_that_is_known_of_a_flow() {
    let place = Place::new();
    place.write("office.pcap", &capture(&office(150, 3 * SECOND, 5)).0);
    let json = place.replay(&["office.pcap", "--json", "--patterns"]).stdout;
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // By definition: both halves of TCP's handshake; the mean of TCP's and UDP's answers.
    let ms = |us: f64| format!("{:.3}", us / 1000.0);
    let expected: Vec<[String; 2]> = objects
        .iter()
        .map(|flow| {
            let halves = [&flow["tcp"]["server_rtt_us"], &flow["tcp"]["client_rtt_us"]].map(serde_json::Value::as_f64);
            let answered = ["tcp", "udp"].map(|protocol| &flow[protocol]).into_iter().find(|of| of["responses"].as_u64().unwrap_or(0) > 0);
            let round_trip = halves.iter().all(Option::is_some).then(|| ms(halves.iter().flatten().sum()));
            [round_trip, answered.map(|of| ms(of["response_mean_us"].as_f64().unwrap()))].map(Option::unwrap_or_default)
        })
        .collect();
    for (at, protocol) in [(0, 6), (1, 6), (1, 17)] {
        let there = |(flow, cells): (&serde_json::Value, &[String; 2])| flow["protocol"] == protocol && !cells[at].is_empty();
        assert!(objects.iter().zip(&expected).filter(|pair| there(*pair)).count() > 5, "column {at} of protocol {protocol}");
    }
    let table = place.replay(&["office.pcap"]).stdout;
    let heading = table.lines().next().unwrap();
    let ends = ["RTT MS", "RESP MS"].map(|name| heading.find(name).unwrap() + name.len());
    let begins = [heading.find("<OCTETS").unwrap() + "<OCTETS".len(), ends[0]];
    for (line, expected) in table.lines().skip(1).zip(&expected) {
        let cells = [0, 1].map(|at| line.get(begins[at]..ends[at]).unwrap_or_default().trim().to_owned());
        assert_eq!(&cells, expected, "{heading}\n{line}");
    }

    let detail = place.replay(&["office.pcap", "--format", "detail", "--patterns"]).stdout;
    let sheets: Vec<&str> = detail.trim_end().split("\n\n").collect();
    assert_eq!(sheets.len(), objects.len(), "{detail}");
    for (sheet, flow) in sheets.iter().zip(&objects) {
        let words: Vec<&str> = sheet.split_whitespace().collect();
        let said = |name: &str, value: &str| words.windows(2).any(|pair| pair == [name, value]);
        assert!(said("flow_id", &flow["flow_id"].to_string()) && said("file", "office.pcap"), "{sheet}");
        assert!(said("source_address", flow["source_address"].as_str().unwrap()), "{sheet}");
        for (part, field) in [("udp", "application"), ("tcp", "result"), ("nettisa", "kurtosis"), ("histograms", "forward_sizes")] {
            assert_eq!(words.contains(&field), flow[part].is_object(), "{part} {flow}\n{sheet}");
        }
        let packets = flow["first_packets"].as_array().unwrap();
        assert!(packets.iter().all(|packet| words.contains(&packet["time_us"].to_string().as_str())), "{sheet}");
    }
}

#[test]
fn every_format_of_output_says_where_and_whose_addresses_are() {
    let place = Place::new();
    let packet = Stack::ethernet().ipv4([192, 0, 2, 1], [198, 51, 100, 7]).udp(1, 2).payload(vec![0; 60]).build();
    place.write("one.pcap", &capture(&[Packet { time: START, bytes: packet }]).0);
    let mut cities = Writer::new("Test-City", 24);
    let names = Data::map([("names", Data::map([("en", Data::text("Brno"))]))]);
    let city = Data::map([("country", Data::map([("iso_code", Data::text("CZ"))])), ("city", names)]);
    cities.insert("192.0.2.0".parse().unwrap(), 24, city);
    place.write("city.mmdb", &cities.octets());
    let mut dump = Dump::new(&[64_499]);
    dump.rib("192.0.2.0".parse().unwrap(), 25, false, &[(0, route(&[Segment::Sequence(&[64_499, 64_500])]))]);
    place.write("rib", dump.octets());
    place.write("own", b"198.51.100.0/24 office\n");
    let replay = |format: &str| {
        let sources = ["--city", "city.mmdb", "--rib", "rib", "--prefixes", "own"];
        let said = place.replay(&[&["one.pcap", "--format", format, "--out", "out"], sources.as_slice()].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        std::fs::read(place.0.path().join("out")).unwrap()
    };
    let flow: serde_json::Value = serde_json::from_slice(&replay("json")).unwrap();
    let source = serde_json::json!({
        "as_number": 64_500, "as_name": "", "prefix_length": 25, "country": "CZ", "country_number": 203, "city": "Brno", "network": ""
    });
    assert_eq!(flow["source_place"], source, "{flow}");
    let destination = &flow["destination_place"];
    assert_eq!((destination["network"].as_str(), destination["as_number"].as_u64()), (Some("office"), Some(0)), "{flow}");
    let csv = String::from_utf8(replay("csv")).unwrap();
    let columns =
        ["src_as", "dst_as", "src_prefix_length", "src_country", "src_city", "dst_network"].map(|name| column(&csv, name).concat());
    assert_eq!(columns, ["64500", "", "25", "CZ", "Brno", "office"]);
    let table = String::from_utf8(replay("table")).unwrap();
    assert!(table.contains("WHERE") && table.contains("AS64500 CZ Brno > office"), "{table}");
    let collected = Decoder::file(&replay("ipfix"));
    let [record] = collected.records.as_slice() else { panic!("{collected:?}") };
    let text = |id| record.text((35_632, id)).unwrap().trim_end_matches('\0').to_owned();
    assert_eq!([16, 9].map(|id| record.value((0, id))), [Some(64_500), Some(25)]);
    assert_eq!([101, 102, 103, 526].map(text), ["CZ", "Brno", "", "office"]);
}

#[test]
fn fragments_without_a_first_one_are_flows_that_say_what_tshark_reads_of_their_frames() {
    let place = Place::new();
    let (src, dst) = ([2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 8]);
    let vxlan = Carrier::Vxlan { vni: 77, group: None };
    let tunnel = Stack::between(src, dst).vlan(9).ipv6([0xfd01; 8], [0xfd02; 8]).udp(49_152, 4789).push(vxlan);
    let tunnel = tunnel.push(Layer::Ethernet { src: [6, 0, 0, 0, 0, 1], dst: [6, 0, 0, 0, 0, 2], ethertype: None });
    let stacks = [
        Stack::between(src, dst).ipv4([10, 0, 0, 1], [10, 0, 1, 1]),
        Stack::between(dst, src).vlan(30).push(Ipv4 { ttl: 3, ..Ipv4::new([10, 0, 0, 2], [10, 0, 1, 1]) }),
        Stack::between(src, dst).vlan(30).vlan(31).ipv6([0xfd03; 8], [0xfd04; 8]),
        tunnel.push(Ipv4 { ttl: 5, ..Ipv4::new([10, 0, 0, 4], [10, 0, 1, 1]) }),
    ];
    let whole = stacks.map(|stack| stack.udp(4000, 4001).payload(vec![3; 300]));
    // The last of each: nothing says its ports.
    let lasts = whole.iter().zip(1..).filter_map(|(stack, id)| fragments(stack, 200, id).pop());
    let packets: Vec<Packet> = lasts.zip(0..).map(|(bytes, n)| Packet { time: START + n, bytes }).collect();
    let path = place.write("lasts.pcap", &capture(&packets).0);
    let said = place.replay(&["lasts.pcap", "--format", "csv", "--tunnels", "inner"]);
    assert_eq!((said.code, column(&said.stdout, "sport")), (Some(0), vec!["0".to_owned(); 4]), "{said:?}");
    let flows: Vec<Vec<String>> = {
        let columns = ["src", "smac", "dmac", "vlan", "vlan_inner", "ttl_fwd", "tunnel_id"].map(|name| column(&said.stdout, name));
        let mut flows: Vec<Vec<String>> = (0..4).map(|at| columns.iter().map(|column| column[at].clone()).collect()).collect();
        flows.sort();
        flows
    };
    let Some(mut tshark) = sonde_tests::tshark::tshark(&path) else { return };
    let fields = ["ip.src", "ipv6.src", "eth.src", "eth.dst", "vlan.id", "ip.ttl", "ipv6.hlim", "vxlan.vni"];
    let mut expected: Vec<Vec<String>> = sonde_tests::tshark::lines(&mut tshark, fields)
        .iter()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [v4, v6, eth_src, eth_dst, vlan, ttl, hops, vni] = fields[..] else { panic!("{line}") };
            let (first, second) =
                (|text: &str| text.split(',').next().unwrap().to_owned(), |text: &str| text.split(',').nth(1).map(str::to_owned));
            let of_ip = |four: &str, six: &str| if four.is_empty() { six.to_owned() } else { four.to_owned() };
            let vni = if vni.is_empty() { String::new() } else { format!("vxlan={vni}") };
            let (source, ttl) = (of_ip(v4, v6), of_ip(ttl, hops));
            vec![source, first(eth_src), first(eth_dst), first(vlan), second(vlan).unwrap_or_default(), ttl, vni]
        })
        .collect();
    expected.sort();
    assert_eq!(flows, expected);
}

#[test]
fn a_file_that_ends_early_gives_what_was_readable_an_error_and_exit_code_1() {
    let place = Place::new();
    let packet = |time| Packet { time, bytes: Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(1, 2).payload(vec![0; 60]).build() };
    let (bytes, _) = capture(&[packet(START), packet(START + 1), packet(START + 2)]);
    place.write("whole.pcap", &bytes);
    place.write("cut.pcap", &bytes[..bytes.len() - 30]);
    let said = place.replay(&["cut.pcap", "whole.pcap", "--format", "csv"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(column(&said.stdout, "packets_fwd"), ["2", "3"], "what was readable, and the next file");
    for words in ["sonde: cut.pcap: at offset", "the file ends inside a packet record", "what comes before it was read"] {
        assert!(said.stderr.contains(words), "no {words:?} in {}", said.stderr);
    }
    let said = place.replay(&["cut.pcap", "--json"]);
    let error: serde_json::Value = serde_json::from_str(said.stderr.trim()).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["file"]), (&"DATA_LOSS".into(), &"cut.pcap".into()), "{error}");
}

#[test]
fn what_is_no_capture_is_said_and_the_others_are_read() {
    let place = Place::new();
    place.write("text.pcap", b"these are not packets");
    place.write("empty.pcap", b"");
    let (bytes, totals) = capture(&office(5, SECOND, 5));
    place.write("good.pcap", &bytes);
    let said = place.replay(&["text.pcap", "empty.pcap", "missing.pcap", "good.pcap", "--format", "csv", "--summary"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    for words in [
        "text.pcap: at offset 0: neither pcap nor pcapng",
        "empty.pcap: at offset 0: the file is empty",
        "cannot open missing.pcap: No such file",
    ] {
        assert!(said.stderr.contains(words), "no {words:?} in {}", said.stderr);
    }
    assert!(said.stderr.contains(&format!("good.pcap: {} packets received", totals.frames)), "{}", said.stderr);
    assert!(column(&said.stdout, "file").iter().all(|file| file == "good.pcap"));
}

#[test]
fn a_full_disk_is_a_sentence_with_the_remedy() {
    let place = Place::new();
    let (bytes, _) = capture(&office(20, SECOND, 5));
    place.write("office.pcap", &bytes);
    for format in ["table", "csv", "json", "detail", "ipfix"] {
        let said = place.replay(&["office.pcap", "--format", format, "--out", "/dev/full"]);
        assert_eq!(said.code, Some(1), "{format}: {said:?}");
        for words in ["cannot write the flows to /dev/full", "make room there", "--out", "No space left"] {
            assert!(said.stderr.contains(words), "{format}: no {words:?} in {}", said.stderr);
        }
    }
}
