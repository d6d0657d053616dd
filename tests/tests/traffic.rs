//! The traffic builder as tshark sees it: every checksum right, nothing malformed, protocols recognised.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use sonde_tests::traffic::{
    ByteOrder, CaptureWriter, Format, Icmp, Layer, Mix, Packet, Population, Resolution, SECOND, START, Sctp, Size, Stack, Tcp, capture,
    fragments, office, tcp_flags,
};
use sonde_tests::tshark;

/// Checks that tshark verifies and does not by default.
const CHECKSUMS: &[&str] = &["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"];

/// Lines of `tshark -T fields`, or nothing when tshark is not installed.
fn asked(file: &Path, filter: &str, fields: &[&str]) -> Option<Vec<String>> {
    let mut command = tshark::tshark(file)?;
    command.args(["-Y", filter, "-o", "sctp.checksum:TRUE"]);
    for check in CHECKSUMS {
        command.args(["-o", &format!("{check}:TRUE")]);
    }
    Some(tshark::lines(&mut command, fields.iter().copied()))
}

/// Writes the frames and asserts that tshark reads all of them and finds no fault.
fn check(packets: &[Packet], format: Format, resolution: Resolution, order: ByteOrder) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture");
    let mut writer = CaptureWriter::new(File::create(&path).unwrap(), format, resolution, order, capture::ETHERNET).unwrap();
    packets.iter().for_each(|packet| writer.packet(packet).unwrap());
    writer.finish().unwrap();
    let Some(all) = asked(&path, "frame", &["frame.time_epoch"]) else { return dir };
    assert_eq!(all.len(), packets.len());
    let faults = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 \
                  || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || sctp.checksum.status == 0";
    let faulty = asked(&path, faults, &["frame.number", "frame.protocols", "_ws.expert.message"]).unwrap();
    assert_eq!(faulty, Vec::<String>::new());
    dir
}

fn packets(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Packet> {
    frames.into_iter().enumerate().map(|(at, bytes)| Packet { time: START + at as u64 * 1_000_001, bytes }).collect()
}

/// One frame of every kind the builder knows.
fn every_kind() -> Vec<Packet> {
    let (a, b) = ([192, 0, 2, 1], [198, 51, 100, 2]);
    let (c, d) = ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
    let v4 = || Stack::ethernet().ipv4(a, b);
    let v6 = || Stack::ethernet().ipv6(c, d);
    let syn = || Tcp::new(40_000, 443, tcp_flags::SYN);
    let options = sonde_tests::traffic::Ipv4 { options: vec![0x94, 4, 0, 0], ..sonde_tests::traffic::Ipv4::new(a, b) };
    let routing = Layer::Routing { kind: 0, segments_left: 1, addresses: vec![[0x2001, 0xdb8, 0, 0, 0, 0, 0, 9].into()] };
    let sctp_init = [&[1, 0, 0, 20], &[0, 0, 0, 7, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1][..]].concat();
    let echo = Icmp { kind: 128, code: 0, rest: [0, 1, 0, 1] };
    let mut frames = vec![
        v4().push(syn()).build(),
        v4().udp(50_001, 50_002).payload("seven b").build(),
        v4().icmp(8, 0, [0, 1, 0, 1]).payload("ping").build(),
        v4().push(Sctp { src: 5, dst: 6, tag: 0 }).payload(sctp_init).build(),
        v4().ipv4(b, a).udp(50_003, 50_004).payload("tunnel").build(),
        v4().push(Layer::Ah { spi: 9, sequence: 1, icv: vec![1; 12] }).push(syn()).build(),
        Stack::ethernet().push(options).push(syn()).build(),
        Stack::ethernet().vlan(5).vlan(6).vlan(7).ipv4(a, b).push(syn()).build(),
        v6().push(syn()).build(),
        v6().push(Layer::HopByHop(vec![5, 2, 0, 0])).push(Layer::Icmpv6(echo.clone())).payload("ping").build(),
        v6().push(routing).push(Layer::Destination(vec![1, 2, 0, 0])).udp(50_017, 50_018).payload("routed").build(),
        v6().push(Layer::Fragment { offset: 0, more: false, id: 1, next: None }).push(syn()).build(),
        v6().push(Layer::Ah { spi: 9, sequence: 1, icv: vec![1; 12] }).push(Layer::Icmpv6(echo)).build(),
        Stack::ethernet().push(Layer::Lldp { system: "switch".into(), port: "1".into() }).build(),
    ];
    frames.extend(fragments(&v4().udp(50_019, 50_020).payload(vec![3; 3000]), 1000, 77));
    frames.extend(fragments(&v6().udp(50_019, 50_020).payload(vec![3; 3000]), 1000, 78));
    packets(frames)
}

#[test]
fn every_kind_of_frame_is_well_formed() {
    let dir = check(&every_kind(), Format::Pcap, Resolution::Nano, ByteOrder::Little);
    let Some(protocols) = asked(&dir.path().join("capture"), "frame", &["frame.protocols"]) else { return };
    for wanted in ["eth:ethertype:vlan:ethertype:vlan:ethertype:vlan:ethertype:ip:tcp", "eth:ethertype:ip:ah:tcp", "eth:ethertype:ip:sctp"]
    {
        assert!(protocols.iter().any(|found| found == wanted), "{wanted} not in {protocols:?}");
    }
    // The last fragment of each version: tshark puts the datagrams together again.
    assert_eq!(protocols.iter().filter(|found| found.ends_with("udp:data")).count(), 5);
}

#[test]
fn every_file_format_keeps_its_times() {
    let packets = every_kind();
    for format in [Format::Pcap, Format::PcapNg] {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for (resolution, unit) in [(Resolution::Nano, 1), (Resolution::Micro, 1000)] {
                let dir = check(&packets, format, resolution, order);
                let Some(times) = asked(&dir.path().join("capture"), "frame", &["frame.time_epoch"]) else { return };
                let expected = packets.iter().map(|p| p.time / unit * unit).map(|t| format!("{}.{:09}", t / SECOND, t % SECOND));
                assert_eq!(times, expected.collect::<Vec<_>>(), "{format:?} {order:?} {resolution:?}");
            }
        }
    }
}

#[test]
fn an_office_looks_like_one() {
    let packets = office(300, 20 * SECOND, 7);
    let dir = check(&packets, Format::PcapNg, Resolution::Nano, ByteOrder::Little);
    let path = dir.path().join("capture");
    let Some(lines) = asked(&path, "frame", &["_ws.col.Protocol"]) else { return };
    let seen: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    for wanted in ["ARP", "DNS", "HTTP", "ICMP", "ICMPv6", "LLDP", "MDNS", "NTP", "SSH", "STP", "TCP", "TLSv1.3"] {
        assert!(seen.contains(wanted), "{wanted} not in {seen:?}");
    }
    let names = asked(&path, "tls.handshake.type == 1", &["tls.handshake.extensions_server_name"]).unwrap();
    assert!(names.len() > 50 && names.iter().all(|name| name.contains(".example.")), "{names:?}");
    // What the sessions say adds up: no gap, no acknowledgement of what was not sent.
    let faults = "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.retransmission || tcp.analysis.out_of_order";
    assert_eq!(asked(&path, faults, &["frame.number"]).unwrap(), Vec::<String>::new());
}

#[test]
fn populations_are_well_formed() {
    for mix in [Mix::Udp, Mix::UdpDual, Mix::Tcp, Mix::SynFlood] {
        let mut population = Population::new(mix, 50, 1000, Size::Imix, 1_000_000, 5);
        let mut frame = Vec::new();
        let made = (0..1000).map(|_| {
            let time = population.next_into(&mut frame);
            Packet { time, bytes: frame.clone() }
        });
        let dir = check(&made.collect::<Vec<_>>(), Format::Pcap, Resolution::Micro, ByteOrder::Big);
        let faults = "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.retransmission";
        let Some(lines) = asked(&dir.path().join("capture"), faults, &["frame.number"]) else { return };
        assert_eq!(lines, Vec::<String>::new(), "{mix:?}");
    }
}
