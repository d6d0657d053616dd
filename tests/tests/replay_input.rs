//! What `sonde replay` reads beside plain capture files: pipes, compressed files, other link types. The real program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sonde_tests::harness::{Said, binary, run};
use sonde_tests::packed::packed;
use sonde_tests::traffic::capture::{ETHERNET, save_in_order};
use sonde_tests::traffic::{ByteOrder, CaptureWriter, Format, Packet, Resolution, SECOND, START, Stack, office};

fn replay(folder: &Path, arguments: &[&str]) -> Said {
    run(Command::new(binary("sonde")).arg("replay").args(arguments).current_dir(folder))
}

/// An office's packets in a file.
fn office_file(folder: &Path) -> PathBuf {
    let path = folder.join("office.pcap");
    save_in_order(&path, office(300, 5 * SECOND, 5));
    path
}

/// Everything but the first column, which is the file's name.
fn rows(csv: &str) -> Vec<&str> {
    csv.lines().skip(1).map(|line| line.split_once(',').unwrap().1).collect()
}

/// The rows of a pipe: where it pauses, flows that end at the same time may come in another order.
fn sorted(csv: &str) -> Vec<&str> {
    let mut rows = rows(csv);
    rows.sort_unstable();
    rows
}

#[test]
fn compressed_files_give_the_flows_of_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read(office_file(folder.path())).unwrap();
    let expected = replay(folder.path(), &["office.pcap", "--format", "csv"]);
    assert_eq!(expected.code, Some(0), "{expected:?}");
    for (name, bytes) in packed(&plain) {
        // The name does not tell how it is compressed.
        std::fs::write(folder.path().join("input"), &bytes).unwrap();
        let said = replay(folder.path(), &["input", "--format", "csv"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(rows(&said.stdout) == rows(&expected.stdout), "{name}: the same rows in the same order");
    }
}

#[test]
fn a_compressed_file_that_is_cut_gives_what_was_readable_and_exit_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read(office_file(folder.path())).unwrap();
    for (name, bytes) in packed(&plain) {
        let name = format!("office.pcap.{name}");
        std::fs::write(folder.path().join(&name), &bytes[..bytes.len() / 2]).unwrap();
        let said = replay(folder.path(), &[&name, "--format", "csv"]);
        // bzip2 and LZ4 pack so little in one block: nothing of it can be read then.
        assert_eq!(said.code, Some(if rows(&said.stdout).is_empty() { 2 } else { 1 }), "{name}: {}", said.stderr);
        assert!(said.stderr.contains("the compressed data are damaged, or end early"), "{name}: {}", said.stderr);
    }
}

/// Starts `sonde replay` with a pipe for its standard input.
fn piped(arguments: &[&str], folder: &Path) -> Child {
    Command::new(binary("sonde"))
        .arg("replay")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn standard_input_is_read_as_a_pipe_plain_or_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read(office_file(folder.path())).unwrap();
    let expected = replay(folder.path(), &["office.pcap", "--format", "csv"]);
    let mut inputs = packed(&plain);
    inputs.push(("plain", plain));
    for name in ["-", "/dev/stdin"] {
        for (kind, bytes) in &inputs {
            let mut child = piped(&[name, "--format", "csv"], folder.path());
            child.stdin.take().unwrap().write_all(bytes).unwrap();
            let said = ended(child);
            assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{name} {kind}");
            assert!(sorted(&said.stdout) == sorted(&expected.stdout), "{name} {kind}: the same rows");
        }
    }
}

#[test]
fn a_pipe_that_hands_over_a_few_octets_at_a_time_is_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let packet = |n: u64| Packet {
        time: START + n,
        bytes: Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(1, 2).payload(vec![0; 60]).build(),
    };
    let path = folder.path().join("few.pcap");
    save_in_order(&path, (0..20).map(packet).collect());
    let bytes = std::fs::read(path).unwrap();
    let mut child = piped(&["-", "--format", "csv", "--summary"], folder.path());
    let mut input = child.stdin.take().unwrap();
    for (at, piece) in bytes.chunks(7).enumerate() {
        input.write_all(piece).unwrap();
        // Pauses inside the file's header, inside a packet, and later.
        if at < 3 || at % 100 == 0 {
            thread::sleep(Duration::from_millis(250));
        }
    }
    drop(input);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("20 packets received, 20 metered in 1 records of 1 flows"), "{}", said.stderr);
}

#[test]
fn a_named_pipe_is_read_and_a_large_recording_is_the_same_by_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.pcap");
    // More than the buffer between the pipe and the worker holds, in flows that begin and end all the time.
    let packets = (0..40_000u16).map(|n| {
        let [a, b] = (n / 7).to_le_bytes();
        let bytes = Stack::ethernet().ipv4([10, 0, a, b], [10, 1, 0, 1]).udp(n / 16 + 1, 53).payload(vec![7; 1000]).build();
        Packet { time: START + u64::from(n) * 5_000_000, bytes }
    });
    save_in_order(&path, packets.collect());
    let expected = replay(folder.path(), &["large.pcap", "--format", "csv"]);
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::copy(path, std::path::Path::new(&pipe)).unwrap()
    });
    let said = replay(folder.path(), &["pipe", "--format", "csv"]);
    writer.join().unwrap();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert!(rows(&expected.stdout).len() > 1000);
    assert!(sorted(&said.stdout) == sorted(&expected.stdout), "the same rows");
}

/// A data frame with quality of service, to the distribution system, LLC and SNAP.
fn wireless(before: &[u8]) -> Vec<u8> {
    let header = [0x88, 0x01, 0, 0, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x10, 0, 0, 0];
    [before, &header, &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat()
}

/// A datagram of 10.0.0.1:4000 to 10.0.0.2:53 behind this header, of these link types.
fn linked() -> Vec<(u32, &'static str, Vec<u8>)> {
    let ethernet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let with = |header: &[u8], rest: &[u8]| [header, rest].concat();
    let attributes = [&[2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 0, 0, 52, 0, 9, 0][..]].concat();
    vec![
        (9, "PPP", vec![0xff, 3, 0, 0x21]),
        (9, "PPP without framing", vec![0, 0x21]),
        (9, "PPP with a protocol of one octet", vec![0x21]),
        (50, "PPP in HDLC-like framing", vec![0xff, 3, 0, 0x21]),
        (50, "Cisco HDLC under the number of PPP", vec![0x0f, 0, 8, 0]),
        (51, "PPPoE", vec![0x11, 0, 0, 7, 0, 50, 0, 0x21]),
        (104, "Cisco HDLC", vec![0x0f, 0, 8, 0]),
        (166, "PPP with a direction for its address", vec![1, 3, 0, 0x21]),
        (204, "PPP behind a direction", vec![0, 0xff, 3, 0, 0x21]),
        (205, "Cisco HDLC behind a direction", vec![1, 0x8f, 0, 8, 0]),
        (219, "MPLS", vec![0, 0x10, 0x01, 0x40]),
        (239, "NFLOG", attributes),
        (192, "PPI", with(&[0, 0, 8, 0, 1, 0, 0, 0], &ethernet)),
        (178, "Juniper's Ethernet", with(b"MGC\x01", &ethernet)),
        (179, "Juniper's PPP", with(b"MGC\x80\0\x02ab", &[0xff, 3, 0, 0x21])),
        (181, "Juniper's Cisco HDLC", with(b"MGC\0", &[0x0f, 0, 8, 0])),
        (137, "Juniper's ATM", with(b"MGC\0abcd", &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0])),
        (105, "IEEE 802.11", wireless(&[])),
        (127, "IEEE 802.11 behind radiotap", wireless(&[0, 0, 8, 0, 0, 0, 0, 0])),
        (192, "IEEE 802.11 behind PPI", wireless(&[0, 0, 8, 0, 105, 0, 0, 0])),
        (109, "ENC", vec![0; 12]),
        (117, "PFLOG", with(&[61, 2], &[0; 62])),
    ]
}

#[test]
fn every_link_type_that_is_read_gives_the_same_flow() {
    let folder = tempfile::tempdir().unwrap();
    let ip = Stack::new().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(4000, 53).payload(vec![9; 20]).build_unpadded();
    for (link, name, header) in linked() {
        let mut writer = CaptureWriter::new(Vec::new(), Format::Pcap, Resolution::Nano, ByteOrder::Little, link).unwrap();
        writer.packet(&Packet { time: START, bytes: [&header[..], &ip].concat() }).unwrap();
        std::fs::write(folder.path().join("one.pcap"), writer.finish().unwrap()).unwrap();
        let said = replay(folder.path(), &["one.pcap", "--json"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{name}");
        let flow: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{name}: {error}: {}", said.stdout));
        let of = |field: &str| flow[field].clone();
        assert_eq!((of("source_address"), of("source_port"), of("octets")), ("10.0.0.1".into(), 4000.into(), 48.into()), "{name}: {flow}");
        assert_eq!((of("destination_address"), of("destination_port")), ("10.0.0.2".into(), 53.into()), "{name}: {flow}");
    }
}

#[test]
fn a_link_type_that_is_not_read_is_named_and_the_exit_status_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = CaptureWriter::new(Vec::new(), Format::Pcap, Resolution::Nano, ByteOrder::Little, 189).unwrap();
    for n in 0..3 {
        writer.packet(&Packet { time: START + n, bytes: vec![0; 70] }).unwrap();
    }
    std::fs::write(folder.path().join("usb.pcap"), writer.finish().unwrap()).unwrap();
    let said = replay(folder.path(), &["usb.pcap"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("usb.pcap: 3 packets are not read: 3 of link type 189 (USB_LINUX)"), "{}", said.stderr);
    assert!(said.stderr.contains("0 packets received"), "{}", said.stderr);
    let said = replay(folder.path(), &["usb.pcap", "--json"]);
    let error: serde_json::Value = serde_json::from_str(said.stderr.trim()).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["file"]), (&"UNIMPLEMENTED".into(), &"usb.pcap".into()), "{error}");

    // Two sections of a pcapng: one that is read, one that is not.
    let mut both = Vec::new();
    for link in [189, ETHERNET] {
        let mut writer = CaptureWriter::new(Vec::new(), Format::PcapNg, Resolution::Nano, ByteOrder::Little, link).unwrap();
        let bytes = Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(4000, 53).payload(vec![9; 20]).build();
        writer.packet(&Packet { time: START, bytes }).unwrap();
        both.extend(writer.finish().unwrap());
    }
    std::fs::write(folder.path().join("both.pcapng"), both).unwrap();
    let said = replay(folder.path(), &["both.pcapng", "--format", "csv", "--summary"]);
    assert_eq!((said.code, rows(&said.stdout).len()), (Some(1), 1), "{said:?}");
    assert!(said.stderr.contains("1 of link type 189 (USB_LINUX)"), "{}", said.stderr);
    assert!(said.stderr.contains("1 packets received, 1 metered"), "{}", said.stderr);
}

#[test]
fn a_folder_and_a_device_are_refused_with_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let said = replay(folder.path(), &[".", "/dev/null"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains(". is a folder: a regular file is needed"), "{}", said.stderr);
    assert!(said.stderr.contains("/dev/null: at offset 0: the file is empty"), "{}", said.stderr);
}
