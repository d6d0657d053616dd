//! Every variant of both formats, and every way in which a file can end too early.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "tests may fail; their files are small"
)]

use super::octets::Order;
use super::*;
use crate::source::BURST_MAX;
use sonde_packet::Link;

/// A pcap with these packets of (seconds, fraction, captured octets, length on the wire).
fn pcap(order: Order, magic: u32, extra: usize, network: u32, packets: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [magic, version(order, 2, 4), 0, 0, 65_535, network] {
        file.extend(put(order, word));
    }
    for &(seconds, fraction, bytes, wire) in packets {
        for word in [seconds, fraction, bytes.len() as u32, wire] {
            file.extend(put(order, word));
        }
        file.extend(vec![0xee; extra]);
        file.extend(bytes);
    }
    file
}

fn put(order: Order, word: u32) -> [u8; 4] {
    match order {
        Order::Little => word.to_le_bytes(),
        Order::Big => word.to_be_bytes(),
    }
}

/// Two 16-bit numbers that stand one after the other in the file.
fn version(order: Order, first: u16, second: u16) -> u32 {
    match order {
        Order::Little => u32::from(first) | u32::from(second) << 16,
        Order::Big => u32::from(first) << 16 | u32::from(second),
    }
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = put(order, padded as u32 + 12);
    let mut out = put(order, kind).to_vec();
    out.extend(length);
    out.extend(body);
    out.resize(8 + padded, 0);
    out.extend(length);
    out
}

fn section(order: Order) -> Vec<u8> {
    let mut body = put(order, 0x1a2b_3c4d).to_vec();
    body.extend(put(order, version(order, 1, 0)));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

fn interface(order: Order, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = put(order, version(order, link, 0)).to_vec();
    body.extend(put(order, snap));
    for (code, value) in options {
        body.extend(put(order, version(order, *code, value.len() as u16)));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    block(order, 1, &body)
}

fn enhanced(order: Order, number: u32, ticks: u64, bytes: &[u8], wire: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [number, (ticks >> 32) as u32, ticks as u32, bytes.len() as u32, wire] {
        body.extend(put(order, word));
    }
    body.extend(bytes);
    block(order, 6, &body)
}

fn obsolete(order: Order, number: u16, ticks: u64, bytes: &[u8], wire: u32) -> Vec<u8> {
    let mut body = put(order, version(order, number, 9)).to_vec();
    for word in [(ticks >> 32) as u32, ticks as u32, bytes.len() as u32, wire] {
        body.extend(put(order, word));
    }
    body.extend(bytes);
    block(order, 2, &body)
}

fn simple(order: Order, bytes: &[u8], wire: u32) -> Vec<u8> {
    let mut body = put(order, wire).to_vec();
    body.extend(bytes);
    block(order, 3, &body)
}

/// What a frame is, in an owned form that tests can compare.
type Seen = (u64, Link, u16, u32, Vec<u8>);

fn read(file: &[u8]) -> (Vec<Seen>, Option<Fault>) {
    let mut capture = match Capture::open(file) {
        Ok(capture) => capture,
        Err(fault) => return (Vec::new(), Some(fault)),
    };
    let mut batch = Batch::new();
    let mut seen = Vec::new();
    loop {
        capture.fill(&mut batch);
        if batch.frames().is_empty() {
            assert!(capture.position() == file.len() as u64, "the end is the end of the file");
            return (seen, capture.fault());
        }
        seen.extend(batch.frames().iter().map(|f| (f.time, f.link, f.port, f.wire_len, f.bytes.to_vec())));
    }
}

fn check(file: &[u8], expected: &[Seen]) {
    assert_eq!(read(file), (expected.to_vec(), None));
}

fn check_fault(file: &[u8], frames: usize, offset: u64, what: Damage) {
    let (seen, fault) = read(file);
    assert_eq!((seen.len(), fault), (frames, Some(Fault { offset, what })));
}

const ORDERS: [Order; 2] = [Order::Little, Order::Big];

#[test]
fn pcap_in_both_orders_both_resolutions_and_with_long_records() {
    for order in ORDERS {
        for (magic, extra, ns) in [(0xa1b2_c3d4, 0, 5_000), (0xa1b2_3c4d, 0, 5), (0xa1b2_cd34, 8, 5_000)] {
            let file = pcap(order, magic, extra, 1, &[(7, 5, b"abc", 60), (7, 6, b"", 1514)]);
            let (first, second) = (7_000_000_000 + ns, 7_000_000_000 + ns / 5 * 6);
            check(&file, &[(first, Link::Ethernet, 0, 60, b"abc".to_vec()), (second, Link::Ethernet, 0, 1514, Vec::new())]);
        }
    }
}

#[test]
fn link_types() {
    for (number, expected) in [
        (1, Link::Ethernet),
        (0, Link::Null),
        (108, Link::Null),
        (12, Link::RawIp),
        (14, Link::RawIp),
        (101, Link::RawIp),
        (228, Link::RawIp),
        (229, Link::RawIp),
        (113, Link::LinuxSll),
        (276, Link::LinuxSll2),
        (9, Link::Ppp),
        (50, Link::PppSerial),
        (51, Link::Pppoe),
        (104, Link::CiscoHdlc),
        (105, Link::Ieee80211),
        (219, Link::Mpls),
        // The upper six bits are no part of the number; without bit 26 they say nothing of an FCS.
        (0x5000_0001, Link::Ethernet),
    ] {
        let file = pcap(Order::Big, 0xa1b2_c3d4, 0, number, &[(1, 0, b"x", 1)]);
        check(&file, &[(1_000_000_000, expected, 0, 1, b"x".to_vec())]);
    }
}

#[test]
fn packets_of_link_types_that_are_not_read_are_counted() {
    let usb = pcap(Order::Little, 0xa1b2_c3d4, 0, 189, &[(1, 0, b"x", 1), (2, 0, b"y", 1)]);
    let order = Order::Big;
    let mixed = [
        section(order),
        interface(order, 147, 0, &[]),
        interface(order, 1, 0, &[]),
        enhanced(order, 0, 1, b"abc", 3),
        enhanced(order, 1, 2, b"def", 3),
        obsolete(order, 0, 3, b"ghi", 3),
        section(order),
        interface(order, 253, 0, &[]),
        simple(order, b"jkl", 3),
    ]
    .concat();
    for (file, frames, types) in [(usb, 0, vec![(189, 2)]), (mixed, 1, vec![(147, 2), (253, 1)])] {
        let mut capture = Capture::open(&file).expect("a good file");
        let mut batch = Batch::new();
        capture.fill(&mut batch);
        assert_eq!((batch.frames().len(), capture.passed().types()), (frames, &types[..]));
        assert_eq!(capture.passed().packets(), types.iter().map(|(_, packets)| packets).sum());
    }
}

#[test]
fn a_frame_check_sequence_is_not_part_of_the_frame() {
    // Two words of 16 bits, and bit 26.
    let file = pcap(Order::Little, 0xa1b2_c3d4, 0, 0x2400_0001, &[(1, 0, b"abcd1234", 8), (2, 0, b"abcd", 8), (3, 0, b"ab", 70)]);
    check(
        &file,
        &[
            (1_000_000_000, Link::Ethernet, 0, 4, b"abcd".to_vec()),
            (2_000_000_000, Link::Ethernet, 0, 4, b"abcd".to_vec()),
            (3_000_000_000, Link::Ethernet, 0, 66, b"ab".to_vec()),
        ],
    );
    for order in ORDERS {
        // Of the interface in bits, as the format says, or in octets, as its example does; a packet's flags go before it.
        for length in [32, 4] {
            let flags = put(order, 2 << 5);
            let option = [put(order, version(order, 2, 4)), flags, [0; 4]].concat();
            let mut flagged = Vec::new();
            for word in [0, 0, 2, 5, 5] {
                flagged.extend(put(order, word));
            }
            flagged.extend(b"abc12\0\0\0");
            flagged.extend(option);
            let file = [
                section(order),
                interface(order, 1, 0, &[(13, &[length])]),
                enhanced(order, 0, 1, b"abcd1234", 8),
                block(order, 6, &flagged),
                simple(order, b"efgh5678", 8),
            ]
            .concat();
            check(
                &file,
                &[
                    (1_000, Link::Ethernet, 1, 4, b"abcd".to_vec()),
                    (2_000, Link::Ethernet, 1, 3, b"abc".to_vec()),
                    (2_000, Link::Ethernet, 1, 4, b"efgh".to_vec()),
                ],
            );
        }
    }
}

/// A frame of each pseudo header, with what is behind it.
fn pseudo_headers() -> Vec<(u16, Vec<u8>, Link)> {
    let with = |header: &[u8]| [header, b"payload"].concat();
    vec![
        (127, with(b"\0\0\x08\0\0\0\0\0"), Link::Ieee80211),
        // Two words of "present", a time stamp, flags, a rate.
        (127, with(b"\0\0\x1a\0\x07\0\0\x80\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08\0\x02"), Link::Ieee80211),
        (163, with(&[&b"\x80\x21\x10\x01\0\0\0\x40"[..], &[0; 56]].concat()), Link::Ieee80211),
        (119, with(&[&b"\x44\0\0\0\x90\0\0\0"[..], &[0; 136]].concat()), Link::Ieee80211),
        (192, with(b"\0\0\x08\0\x01\0\0\0"), Link::Ethernet),
        (192, with(b"\0\0\x10\0\x69\0\0\0\x01\0\x04\0abcd"), Link::Ieee80211),
        (239, with(b"\x02\0\0\x05\x08\0\x01\0abcd\x0b\0\x09\0"), Link::RawIp),
        (239, with(b"\x02\0\0\x05\0\x05\0\x01a\0\0\0\0\x0b\0\x09"), Link::RawIp),
        (166, with(b"\x01\x03"), Link::Ppp),
        (204, with(b"\x01"), Link::Ppp),
        (205, with(b"\0"), Link::CiscoHdlc),
        (109, with(&[0; 12]), Link::RawIp),
        (117, with(&[&b"\x3d\x02"[..], &[0; 62]].concat()), Link::RawIp),
        (178, with(b"MGC\x01"), Link::Ethernet),
        (178, with(b"MGC\x81\0\x04abcd"), Link::Ethernet),
        (178, with(b"MGC\x03abcd"), Link::RawIp),
        (179, with(b"MGC\0"), Link::Ppp),
        (181, with(b"MGC\0"), Link::CiscoHdlc),
        (167, with(b"MGC\0"), Link::Ethernet),
        (168, with(b"MGC\0\x88\x64"), Link::Pppoe),
        (137, with(b"MGC\0abcd\xfe\xfe\x03\xcf"), Link::Ppp),
        (135, with(b"MGC\0abcdefgh\xaa\xaa\x03\0\0\0\x08\0"), Link::RawIp),
        (135, with(b"MGC\0abcdefgh\xaa\xaa\x03\0\x80\xc2\0\x07\0\0"), Link::Ethernet),
    ]
}

#[test]
fn headers_of_the_capturing_machine_are_taken_off() {
    for (number, bytes, link) in pseudo_headers() {
        let wire = bytes.len() as u32;
        let file = pcap(Order::Little, 0xa1b2_c3d4, 0, number.into(), &[(1, 0, &bytes, wire)]);
        check(&file, &[(1_000_000_000, link, 0, 7, b"payload".to_vec())]);
        // Whatever is cut, nothing is read that is not there.
        for length in 0..bytes.len() {
            let file = pcap(Order::Little, 0xa1b2_c3d4, 0, number.into(), &[(1, 0, &bytes[..length], wire)]);
            let (seen, fault) = read(&file);
            assert_eq!((seen.len(), fault), (1, None));
            assert!(seen[0].4.len() <= length, "{number} cut to {length}");
        }
    }
    // An FCS behind an 802.11 frame, as radiotap's flags and PPI's field say.
    for (number, header) in [
        (127, &b"\0\0\x09\0\x02\0\0\0\x10"[..]),
        (192, b"\0\0\x16\0\x69\0\0\0\x02\0\x0a\0\0\0\0\0\0\0\0\0\x01\0"),
        (192, b"\0\0\x08\0\x7f\0\0\0\0\0\x09\0\x02\0\0\0\x10"),
    ] {
        let bytes = [header, b"payload1234"].concat();
        let file = pcap(Order::Little, 0xa1b2_c3d4, 0, number, &[(1, 0, &bytes, bytes.len() as u32)]);
        check(&file, &[(1_000_000_000, Link::Ieee80211, 0, 7, b"payload".to_vec())]);
    }
}

/// As [`read`], in pieces of at most so many octets beyond what was left of the one before.
fn read_in_pieces(file: &[u8], octets: usize) -> (Vec<Seen>, Option<Fault>) {
    let mut state = State::default();
    let (mut start, mut end) = (0, 0);
    let mut seen = Vec::new();
    loop {
        end = file.len().min(end + octets);
        let goes_on = end < file.len();
        let piece = &file[start..end];
        if state.format.is_none() && piece.len() < 24 && goes_on {
            continue;
        }
        let mut capture = match Capture::resume(state, piece, goes_on) {
            Ok(capture) => capture,
            Err(fault) => return (seen, Some(fault)),
        };
        let mut batch = Batch::new();
        loop {
            capture.fill(&mut batch);
            if batch.frames().is_empty() {
                break;
            }
            seen.extend(batch.frames().iter().map(|f| (f.time, f.link, f.port, f.wire_len, f.bytes.to_vec())));
        }
        let fault = capture.fault();
        let read;
        (state, read) = capture.pause();
        start += read;
        if fault.is_some() || !goes_on {
            return (seen, fault);
        }
    }
}

#[test]
fn pieces_give_what_the_whole_gives() {
    for file in variants() {
        for octets in 1..file.len() {
            assert_eq!(read_in_pieces(&file, octets), read(&file), "in pieces of {octets}");
            let cut = &file[..file.len() - octets];
            assert_eq!(read_in_pieces(cut, 7), read(cut), "cut to {} octets", cut.len());
        }
    }
}

#[test]
fn pcapng_packet_blocks_of_all_three_kinds() {
    for order in ORDERS {
        let file = [
            section(order),
            interface(order, 1, 4, &[]),
            interface(order, 113, 0, &[]),
            block(order, 4, b"names are skipped...."),
            enhanced(order, 1, 2_000_000, b"abcde", 60),
            obsolete(order, 0, 2_000_001, b"fghi", 61),
            simple(order, b"jklm", 1000),
            block(order, 0x8000_0001, b""),
        ]
        .concat();
        check(
            &file,
            &[
                (2_000_000_000, Link::LinuxSll, 2, 60, b"abcde".to_vec()),
                (2_000_001_000, Link::Ethernet, 1, 61, b"fghi".to_vec()),
                (2_000_001_000, Link::Ethernet, 1, 1000, b"jklm".to_vec()),
            ],
        );
    }
}

#[test]
fn pcapng_sections_have_their_own_order_and_interfaces() {
    let one = |order, link, ticks| [section(order), interface(order, link, 0, &[]), enhanced(order, 0, ticks, b"x", 9)].concat();
    let file = [one(Order::Little, 1, 3), one(Order::Big, 101, 4), one(Order::Little, 276, 5)].concat();
    check(
        &file,
        &[
            (3_000, Link::Ethernet, 1, 9, b"x".to_vec()),
            (4_000, Link::RawIp, 1, 9, b"x".to_vec()),
            (5_000, Link::LinuxSll2, 1, 9, b"x".to_vec()),
        ],
    );
}

#[test]
fn pcapng_time_resolutions_and_offsets() {
    let order = Order::Little;
    for (resolution, offset, ticks, expected) in [
        (6u8, 0i64, 1_700_000_000_123_456, 1_700_000_000_123_456_000u64),
        (9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (3, 0, 1_700_000_000_123, 1_700_000_000_123_000_000),
        (0, 0, 1_700_000_000, 1_700_000_000_000_000_000),
        (12, 0, 1_700_000_123_456_789, 1_700_000_123_456),
        (0x80 | 10, 0, 3 << 9, 1_500_000_000),
        (0x80, 0, 2, 2_000_000_000),
        (0x80 | 32, 0, (1 << 32) / 4, 250_000_000),
        (6, 3600, 5, 3_600_000_005_000),
        (6, -2, 3_000_000, 1_000_000_000),
        // What a file cannot mean is clamped, not wrapped.
        (6, -5, 3_000_000, 0),
        (0, 0, u64::MAX, u64::MAX),
        (6, i64::MAX, u64::MAX, u64::MAX),
        (127, 0, u64::MAX, 0),
        (0xff, 0, u64::MAX, 0),
    ] {
        let options: [(u16, &[u8]); 3] = [(2, b"eth0"), (9, &[resolution]), (14, &offset.to_le_bytes())];
        let file = [section(order), interface(order, 1, 0, &options), enhanced(order, 0, ticks, b"x", 1)].concat();
        check(&file, &[(expected, Link::Ethernet, 1, 1, b"x".to_vec())]);
    }
}

#[test]
fn files_that_are_no_captures() {
    check_fault(b"", 0, 0, Damage::Empty);
    check_fault(b"\xa1\xb2", 0, 0, Damage::NotACapture);
    check_fault(b"GET / HTTP/1.1", 0, 0, Damage::NotACapture);
    check_fault(b"\x1f\x8b\x08\x00", 0, 0, Damage::Compressed);
    check_fault(&pcap(Order::Little, 0xa1b2_c3d4, 0, 1, &[])[..23], 0, 0, Damage::HeaderCut);
    let mut strange = pcap(Order::Little, 0xa1b2_c3d4, 0, 1, &[]);
    strange[4] = 3;
    check_fault(&strange, 0, 0, Damage::Version);
}

#[test]
fn a_record_longer_than_the_file_ends_it() {
    let mut file = pcap(Order::Little, 0xa1b2_c3d4, 0, 1, &[(1, 0, b"abc", 3), (1, 1, b"def", 3)]);
    let second = 24 + 19;
    file[second + 8..second + 12].fill(0xff);
    check_fault(&file, 1, second as u64, Damage::RecordCut);
}

#[test]
fn damaged_blocks() {
    let order = Order::Big;
    let start = [section(order), interface(order, 1, 0, &[])].concat();
    let at = start.len() as u64;
    let with = |block: &[u8]| [&start, block].concat();
    check_fault(&with(&enhanced(order, 1, 0, b"x", 1)), 0, at, Damage::NoInterface);
    check_fault(&with(&block(order, 6, &[0; 12])), 0, at, Damage::BlockLength);
    check_fault(&with(&block(order, 1, b"")), 0, at, Damage::BlockLength);
    check_fault(&with(&simple(order, b"x", 5)), 0, at, Damage::PacketLength);
    let edit = |offset: usize, byte: u8| {
        let mut file = with(&enhanced(order, 0, 0, b"x", 1));
        file[start.len() + offset] = byte;
        file
    };
    check_fault(&edit(7, 11), 0, at, Damage::BlockLength);
    check_fault(&edit(7, 37), 0, at, Damage::BlockLength);
    check_fault(&edit(4, 1), 0, at, Damage::BlockCut);
    check_fault(&edit(35, 40), 0, at, Damage::BlockLengthsDiffer);
    check_fault(&edit(23, 5), 0, at, Damage::PacketLength);
    let mut file = section(order);
    file[8] = 0;
    check_fault(&file, 0, 0, Damage::ByteOrder);
    let mut file = section(order);
    file[13] = 2;
    check_fault(&file, 0, 0, Damage::Version);
    check_fault(&simple(order, b"x", 1), 0, 0, Damage::NotACapture);
    check_fault(&[section(order), simple(order, b"x", 1)].concat(), 0, 28, Damage::NoInterface);
}

/// One small file of each variant, with its packets' ends.
fn variants() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for order in ORDERS {
        for (magic, extra) in [(0xa1b2_c3d4, 0), (0xa1b2_3c4d, 0), (0xa1b2_cd34, 8)] {
            files.push(pcap(order, magic, extra, 1, &[(1, 0, b"abc", 3), (2, 1, b"", 3), (3, 1, b"0123456789abcdef", 3)]));
        }
        let [a, b] = [order, if order == Order::Big { Order::Little } else { Order::Big }];
        files.push(
            [
                section(a),
                interface(a, 1, 0, &[(9, &[9]), (14, &[0; 8])]),
                enhanced(a, 0, 1, b"abc", 3),
                obsolete(a, 0, 2, b"def", 4),
                block(a, 5, &[0; 12]),
                simple(a, b"ghi", 3),
                section(b),
                interface(b, 101, 0, &[]),
                enhanced(b, 0, 4, b"jkl", 3),
            ]
            .concat(),
        );
    }
    files
}

#[test]
fn every_truncation_gives_the_packets_before_it_and_one_fault_or_a_clean_end() {
    for file in variants() {
        let (whole, fault) = read(&file);
        assert_eq!(fault, None);
        let mut most = 0;
        for length in 0..file.len() {
            let (seen, fault) = read(&file[..length]);
            assert_eq!(seen, whole[..seen.len()], "a prefix of the packets");
            assert!(seen.len() >= most && seen.len() < whole.len());
            most = seen.len();
            if let Some(fault) = fault {
                assert!(fault.offset <= length as u64);
                assert!(length > 0 || fault.what == Damage::Empty);
            }
        }
        assert_eq!(most + 1, whole.len());
    }
}

#[test]
fn every_single_octet_may_be_anything() {
    for file in variants() {
        for at in 0..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, file[at].wrapping_add(1), file[at].wrapping_sub(1)] {
                let mut file = file.clone();
                file[at] = value;
                // Reading ends, and says at most one thing about it.
                if let Ok((frames, octets, _)) = survey(&file) {
                    assert!(frames < 10 && octets < file.len() as u64);
                }
            }
        }
    }
}

#[test]
fn a_batch_holds_no_more_than_a_burst_and_no_longer_than_its_span() {
    let packets: Vec<(u32, u32, &[u8], u32)> = (0..BURST_MAX as u32 + 1).map(|i| (1, i, b"x".as_slice(), 1)).collect();
    let file = pcap(Order::Little, 0xa1b2_c3d4, 0, 1, &packets);
    assert_eq!(batches(&file), [BURST_MAX, 1]);
    // 0, 1 s, 1 s and a microsecond; back to 0; then 2 s.
    let packets = [(0, 0), (1, 0), (1, 1), (0, 0), (2, 1)].map(|(s, us)| (s, us, b"x".as_slice(), 1));
    assert_eq!(batches(&pcap(Order::Little, 0xa1b2_c3d4, 0, 1, &packets)), [2, 3]);
    // The end of time is not the end of the file.
    let order = Order::Little;
    let late = enhanced(order, 0, u64::MAX, b"x", 1);
    let file = [section(order), interface(order, 1, 0, &[(9, &[0])]), late.clone(), late].concat();
    assert_eq!(batches(&file), [2]);
}

fn batches(file: &[u8]) -> Vec<usize> {
    let mut capture = Capture::open(file).expect("a good file");
    let mut batch = Batch::new();
    let mut sizes = Vec::new();
    loop {
        capture.fill(&mut batch);
        if batch.frames().is_empty() {
            return sizes;
        }
        sizes.push(batch.frames().len());
    }
}

#[test]
fn frames_point_into_the_file() {
    let file = pcap(Order::Little, 0xa1b2_c3d4, 0, 1, &[(1, 0, b"abc", 3)]);
    let mut capture = Capture::open(&file).expect("a good file");
    let mut batch = Batch::new();
    capture.fill(&mut batch);
    assert_eq!(batch.frames()[0].bytes.as_ptr(), file[40..].as_ptr());
}
