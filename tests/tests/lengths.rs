//! Lengths that the IP header does not say (segmentation offload, jumbo payloads), and frames that were cut: octets of IP and octets on
//! the wire are those of the network, through `sonde replay`.

use std::process::Command;

use sonde_tests::harness::{binary, run};
use sonde_tests::traffic::capture::ETHERNET;
use sonde_tests::traffic::{ByteOrder, CaptureWriter, Carrier, Format, Ipv4, Ipv6, Layer, Resolution, START, Stack, Tcp, tcp_flags};

/// Octets of a large segment: more than an IP header can say.
const LARGE: usize = 80_000;

fn ipv4(total_length: Option<u16>) -> Ipv4 {
    Ipv4 { total_length, ..Ipv4::new([10, 0, 0, 1], [10, 0, 0, 2]) }
}

fn ipv6(payload_length: Option<u16>) -> Ipv6 {
    Ipv6 { payload_length, ..Ipv6::new([0xfd00, 0, 0, 0, 0, 0, 0, 1], [0xfd00, 0, 0, 0, 0, 0, 0, 2]) }
}

fn segment(below: Stack, octets: usize) -> Vec<u8> {
    below.push(Tcp::new(4000, 443, tcp_flags::ACK)).payload(vec![7; octets]).build()
}

/// What replay says of one frame of a capture: IP octets, octets on the wire. `told`: whether the capture says how long the frame was.
fn replayed(frame: &[u8], kept: usize, told: bool) -> (u64, u64) {
    let place = tempfile::tempdir().unwrap();
    let snap_len = u32::try_from(kept).unwrap();
    let out = Vec::new();
    let mut writer = CaptureWriter::with_snap_len(out, Format::Pcap, Resolution::Nano, ByteOrder::Little, ETHERNET, snap_len).unwrap();
    writer.frame(0, START, if told { frame } else { &frame[..kept] }).unwrap();
    std::fs::write(place.path().join("a.pcap"), writer.finish().unwrap()).unwrap();
    let said =
        run(Command::new(binary("sonde")).args(["replay", "--tunnels", "inner", "--format", "csv", "a.pcap"]).current_dir(place.path()));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let (titles, values) = said.stdout.trim_end().split_once('\n').expect("a flow");
    let of = |name: &str| {
        let at = titles.split(',').position(|title| title == name).expect("a column");
        values.split(',').nth(at).expect("a value").parse().expect("a number")
    };
    (of("bytes_fwd"), of("wire_fwd"))
}

fn check(frame: &[u8], octets: usize, what: &str) {
    let expected = (u64::try_from(octets).unwrap(), u64::try_from(frame.len()).unwrap());
    assert_eq!(replayed(frame, frame.len(), true), expected, "{what}, whole");
    assert_eq!(replayed(frame, 256, true), expected, "{what}, cut at 256 octets");
}

#[test]
fn a_length_of_zero_is_the_frames() {
    check(&segment(Stack::ethernet().push(ipv4(Some(0))), LARGE), 40 + LARGE, "IPv4");
    check(&segment(Stack::ethernet().push(ipv6(Some(0))), LARGE), 60 + LARGE, "IPv6");
    check(&segment(Stack::ethernet().vlan(7).push(ipv6(Some(0))), LARGE), 60 + LARGE, "IPv6 with a VLAN tag");
}

#[test]
fn a_jumbo_payload_option_says_the_length() {
    let payload = u32::try_from(8 + 20 + LARGE).unwrap();
    let option = [&[0xc2, 4][..], &payload.to_be_bytes()].concat();
    let stack = Stack::ethernet().push(ipv6(Some(0))).push(Layer::HopByHop(option));
    let frame = segment(stack, LARGE);
    check(&frame, 68 + LARGE, "IPv6");
    // A capture of what a driver had cut: only the option knows it.
    assert_eq!(replayed(&frame, 1982, false), (u64::try_from(68 + LARGE).unwrap(), u64::try_from(frame.len()).unwrap()));
}

#[test]
fn inside_a_tunnel_it_is_what_the_outer_packet_has_left() {
    let vxlan = || Stack::ethernet().ipv4([192, 0, 2, 1], [192, 0, 2, 2]).udp(50_000, 4789).push(Carrier::Vxlan { vni: 5, group: None });
    let inner = vxlan().push(Layer::Ethernet { src: [2, 0, 0, 0, 0, 1], dst: [2, 0, 0, 0, 0, 2], ethertype: None });
    for (packet, octets) in [(Layer::from(ipv4(Some(0))), 440), (Layer::from(ipv6(Some(0))), 460)] {
        let mut frame = segment(inner.clone().push(packet), 400);
        // A trailer behind the outer packet belongs to nobody.
        frame.extend([0; 9]);
        check(&frame, octets, "in VXLAN");
    }
}

#[test]
fn a_frame_cut_by_who_did_not_say_so_is_as_long_as_its_headers_say() {
    let four = segment(Stack::ethernet().vlan(7).push(ipv4(None)), 60_000);
    let six = segment(Stack::ethernet().push(ipv6(None)), 60_000);
    for (frame, octets) in [(&four, 60_040), (&six, 60_060)] {
        assert_eq!(replayed(frame, 1982, false), (octets, u64::try_from(frame.len()).unwrap()));
    }
}
