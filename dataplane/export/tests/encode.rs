//! Every rule of the encoder, read back by a decoder that shares no code with it.

mod decoder;
mod outlet;

use decoder::{Collector, Fields, Message, number, octets};
use outlet::{DOMAIN, Outlet, TIME, sent};
use proptest::prelude::*;
use sonde_export::elements::{CESNET_PEN, REVERSE_PEN};
use sonde_export::fact::plain::ntp;
use sonde_export::format::{Format, Statistics};
use sonde_export::{Encoder, FileWriter, KINDS, Options};
use sonde_record::{EndReason, Head, Initiator, Kind, NO_VLAN, Record, vlan_id};

/// Everything an exporter sends for these records, each message on its own, flushed at the end.
fn send(records: &[Record], message_octets_max: usize, messages_max: usize) -> Vec<Vec<u8>> {
    sent(records, &Options { message_octets_max, messages_max, ..Options::default() }).messages
}

fn read(sent: &[Vec<u8>]) -> Vec<Message> {
    let mut collector = Collector::default();
    sent.iter().map(|message| collector.message(message)).collect()
}

/// What the record must look like on the wire, field by field.
fn check(record: &Record, fields: &Fields) {
    let reverse = REVERSE_PEN;
    let expect = |pen, element, value: u64| assert_eq!(number(fields, pen, element), value, "{pen}:{element}");
    let tag = |id| if id == NO_VLAN { 0 } else { u64::from(id) };
    expect(0, 148, record.flow_id);
    expect(0, 152, record.start / 1_000_000);
    expect(0, 153, record.end / 1_000_000);
    assert_eq!(nanoseconds(number(fields, 0, 156)), record.start % (1_000_000_000 << 32), "flowStartNanoseconds");
    assert_eq!(nanoseconds(number(fields, 0, 157)), record.end % (1_000_000_000 << 32), "flowEndNanoseconds");
    for (element, [forward, back]) in [(1, record.octets), (2, record.packets), (352, record.wire)] {
        expect(0, element, forward);
        expect(reverse, element, back);
    }
    expect(0, 10, record.ingress.into());
    expect(0, 136, record.end_reason as u64);
    expect(0, 239, record.initiator as u64);
    expect(0, 58, tag(record.vlan()[0]));
    for (tci, [id, priority, dei]) in record.vlan_tci.into_iter().zip([[243, 244, 388], [245, 246, 389]]) {
        let there = tci != NO_VLAN;
        expect(0, id, tag(vlan_id(tci)));
        expect(0, priority, if there { u64::from(tci) / 8192 } else { 0 });
        let sent = fields.iter().any(|(pen, element, _)| (*pen, *element) == (0, dei));
        assert_eq!(sent, there, "a truth value of a tag, and of none none");
        if there {
            expect(0, dei, if tci & 0x1000 != 0 { 1 } else { 2 });
        }
    }
    let tags = record.vlan_tci.iter().filter(|tci| **tci != NO_VLAN).count();
    assert_eq!(octets(fields, 0, 56), record.smac);
    assert_eq!(octets(fields, 0, 80), record.dmac);
    expect(0, 256, record.ethertype.into());
    let (version, source, addresses, icmp) = match record.kind {
        Kind::Ipv4 => (4, 12, [8, 12], [176, 177, 32]),
        Kind::Ipv6 => (6, 0, [27, 28], [178, 179, 139]),
        Kind::Layer2 => {
            assert_eq!(fields.len(), 22 + tags);
            return;
        }
    };
    assert_eq!(fields.len(), 43 + tags);
    expect(0, 60, version);
    expect(0, 4, record.proto.into());
    expect(0, 5, record.tos.into());
    for (element, ttl) in [(192, record.ttl), (52, record.ttl_min), (53, record.ttl_max)] {
        expect(0, element, ttl[0].into());
        expect(reverse, element, ttl[1].into());
    }
    match record.kind {
        Kind::Ipv4 => expect(0, 197, record.ip_flags.into()),
        _ => expect(0, 31, record.flow_label.into()),
    }
    expect(CESNET_PEN, 902, record.syn_len.into());
    expect(CESNET_PEN, 900, record.syn_mss.into());
    expect(0, 6, record.tcp_flags[0].into());
    expect(reverse, 6, record.tcp_flags[1].into());
    expect(0, 7, record.sport.into());
    expect(0, 11, record.dport.into());
    expect(0, icmp[0], record.icmp[0].into());
    expect(0, icmp[1], record.icmp[1].into());
    expect(0, icmp[2], u16::from_be_bytes(record.icmp).into());
    assert_eq!(octets(fields, 0, addresses[0]), &record.src[source..]);
    assert_eq!(octets(fields, 0, addresses[1]), &record.dst[source..]);
}

/// Nanoseconds since 1970, modulo the 2^32 seconds of the format, of an NTP timestamp, rounded down.
fn nanoseconds(ntp: u64) -> u64 {
    let seconds = (ntp >> 32).wrapping_sub(2_208_988_800) & 0xffff_ffff;
    seconds * 1_000_000_000 + (((ntp & 0xffff_ffff) * 1_000_000_000) >> 32)
}

prop_compose! {
    fn any_record()(
        ids in any::<(u64, u64, u64, u16, u8)>(),
        kind in prop::sample::select(vec![Kind::Ipv4, Kind::Ipv6, Kind::Layer2]),
        end_reason in (1u8..=5).prop_map(|n| EndReason::from_u8(n).unwrap()),
        initiator in prop::sample::select(vec![Initiator::FirstPacket, Initiator::Source, Initiator::Destination]),
        addresses in any::<([u8; 16], [u8; 16], [u8; 6], [u8; 6])>(),
        ports in any::<(u16, u16, u8, u8, [u8; 2])>(),
        counts in any::<([u64; 2], [u64; 2], [u64; 2])>(),
        rest in any::<([u16; 2], [[u8; 2]; 3], u16, u16)>(),
        vlan in any::<[u16; 2]>().prop_map(|tci| match tci {
            [outer, _] if outer & 7 == 0 || outer == NO_VLAN => [NO_VLAN; 2],
            [outer, inner] if inner & 7 == 0 => [outer, NO_VLAN],
            tci => tci,
        }),
        more in any::<(u8, u32, u16)>(),
    ) -> Record {
        let (flow_id, start, end, ingress, worker) = ids;
        let (src, dst, smac, dmac) = addresses;
        let (sport, dport, proto, tos, icmp) = ports;
        let (octets, packets, wire) = counts;
        let (tcp_flags, [ttl, ttl_min, ttl_max], ethertype, syn_mss) = rest;
        let (ip_flags, flow_label, syn_len) = more;
        Head {
            flow_id, kind, end_reason, initiator, worker, ingress, start, end, src, dst, sport, dport, proto, octets, packets, wire,
            tcp_flags, ttl, ttl_min, ttl_max, ip_flags, flow_label: flow_label & 0xf_ffff, syn_len, syn_mss, tos, vlan_tci: vlan, smac, dmac, ethertype, icmp, ..Head::default()
        }
        .into()
    }
}

proptest! {
    #[test]
    fn any_record_is_read_back_field_by_field(record in any_record()) {
        let messages = read(&send(std::slice::from_ref(&record), 1400, 1));
        let [(_, fields)] = messages.last().unwrap().records.as_slice() else { panic!("one record") };
        check(&record, fields);
    }

    #[test]
    fn any_sequence_of_records_arrives_whole_in_messages_that_fit(
        records in prop::collection::vec(any_record(), 0..200),
        octets_max in 512usize..3000,
        messages_max in 1usize..8,
    ) {
        let messages = read(&send(&records, octets_max, messages_max));
        let mut sequence = 0u32;
        let mut arrived = Vec::new();
        for message in &messages {
            prop_assert!(message.octets <= octets_max, "{} > {octets_max}", message.octets);
            prop_assert_eq!((message.time, message.domain, message.sequence), (TIME, DOMAIN, sequence));
            sequence += u32::try_from(message.records.len()).unwrap();
            arrived.extend(&message.records);
        }
        prop_assert_eq!(arrived.len(), records.len());
        // Each template keeps the order of its records.
        for kind in KINDS {
            for tags in 0..3 {
                let tagged = |record: &&Record| record.vlan_tci.iter().filter(|tci| **tci != NO_VLAN).count() == tags;
                let sent: Vec<_> = records.iter().filter(|record| record.kind == kind).filter(tagged).collect();
                let Some(id) = sent.first().map(|first| arrived.iter().find(|(_, fields)| number(fields, 0, 148) == first.flow_id).unwrap().0)
                else { continue };
                let read: Vec<_> = arrived.iter().filter(|(other, _)| *other == id).collect();
                prop_assert_eq!(read.len(), sent.len());
                sent.iter().zip(read).for_each(|(record, (_, fields))| check(record, fields));
            }
        }
    }

    #[test]
    fn nanoseconds_survive_the_ntp_format(time in 0u64..1 << 62) {
        prop_assert_eq!(nanoseconds(ntp(time)), time % (1_000_000_000 << 32));
    }
}

#[test]
fn the_ntp_format_counts_from_1900() {
    assert_eq!(ntp(0), 2_208_988_800 << 32);
    assert_eq!(ntp(500_000_000), 2_208_988_800 << 32 | 1 << 31);
    // The era ends on 7 February 2036, and the count begins again.
    assert_eq!(ntp(2_085_978_496_000_000_000), 0);
}

#[test]
fn a_full_message_is_as_large_as_it_may_be() {
    for octets_max in [512, 513, 514, 515, 1400, 1432, 8972, 65_000] {
        for kind in KINDS {
            let records = vec![Record::new(Head { kind, ..Head::default() }); 1500];
            let messages = read(&send(&records, octets_max, 4));
            let record = messages.iter().find_map(|m| m.records.first()).unwrap().1.iter().map(|f| f.2.len()).sum::<usize>();
            let full = messages.iter().map(|m| m.octets).max().unwrap();
            assert!(full <= octets_max && full + record + 4 > octets_max, "{full} of {octets_max}, records of {record}");
        }
    }
}

#[test]
fn all_messages_of_a_batch_but_the_last_have_its_segment_size() {
    let mut encoder = Encoder::new(Options { messages_max: 8, ..Options::default() });
    let mut outlet = Outlet::new(&encoder);
    while outlet.calls.is_empty() {
        encoder.put(&Record::new(Head::default()).view().unwrap(), &mut outlet);
    }
    let [(segment, sizes, records)] = outlet.calls.as_slice() else { panic!("one call") };
    assert_eq!((sizes.len(), *records), (8, 72), "8 messages of 9 records");
    assert!(sizes.iter().all(|size| Some(*size) == *segment));
}

#[test]
fn a_message_that_is_not_full_waits_unless_asked_for() {
    let mut encoder = Encoder::new(Options { messages_max: 8, ..Options::default() });
    let mut outlet = Outlet::new(&encoder);
    for _ in 0..12 {
        encoder.put(&Record::new(Head::default()).view().unwrap(), &mut outlet);
    }
    let mut flush = |partial| {
        encoder.flush(partial, &mut outlet);
        outlet.calls.drain(..).map(|(_, sizes, records)| (sizes.len(), records)).collect::<Vec<_>>()
    };
    assert_eq!([flush(false), flush(false), flush(true)], [vec![(1, 9)], vec![], vec![(1, 3)]]);
    assert_eq!(encoder.records(), 0);
}

#[test]
fn a_template_is_announced_before_its_first_record_and_not_again() {
    let kinds = [Kind::Ipv4, Kind::Ipv4, Kind::Ipv6, Kind::Ipv4, Kind::Ipv6];
    let records: Vec<_> = (0..).zip(kinds).map(|(n, kind)| Record::new(Head { flow_id: n, kind, ..Head::default() })).collect();
    let mut encoder = Encoder::new(Options { messages_max: 1, ..Options::default() });
    let mut outlet = Outlet::new(&encoder);
    let announced: Vec<usize> = records
        .iter()
        .map(|record| {
            let before = outlet.messages.len();
            encoder.put(&record.view().unwrap(), &mut outlet);
            encoder.flush(true, &mut outlet);
            // The collector panics where a template is missing.
            let messages = read(&outlet.messages);
            assert_eq!(messages.last().unwrap().records.len(), 1);
            messages[before..].iter().map(|message| message.templates.len()).sum()
        })
        .collect();
    assert_eq!(announced, [1, 0, 1, 0, 0]);
    assert_eq!(read(&outlet.messages)[0].templates, [256, 257], "options are known from the start");
}

#[test]
fn who_comes_later_is_told_the_templates_that_were_made_yet() {
    for message_octets_max in [512, 600, 1400, 65_000] {
        let mut encoder = Encoder::new(Options { message_octets_max, ..Options::default() });
        let mut outlet = Outlet::new(&encoder);
        KINDS.into_iter().for_each(|kind| encoder.put(&Record::new(Head { kind, ..Head::default() }).view().unwrap(), &mut outlet));
        let mut collector = Collector::default();
        let mut announced = 0;
        for message in encoder.templates() {
            assert!(message.octets.len() <= message_octets_max);
            let read = collector.message(&message.octets);
            assert_eq!((read.templates.len(), message.records), (message.templates as usize, 0));
            announced += read.templates.len();
        }
        assert_eq!(announced, 2 + 3);
        for template in encoder.known() {
            let read = &collector.templates[&template.id];
            let fields: Vec<_> = template.fields.iter().map(|f| (f.pen(), f.element.id, f.element.length)).collect();
            assert_eq!((read.scope, &read.fields), (template.scope, &fields));
        }
    }
}

#[test]
fn a_set_of_records_shorter_than_its_padding_has_none() {
    for names in ["dot1qPriority", "vlanId", "vlanId,dot1qPriority"] {
        let options = Options { fields: sonde_export::Fields::parse(names).unwrap(), ..Options::default() };
        for count in 1..9 {
            // The collector takes everything that is long enough for a record.
            let messages = read(&sent(&vec![Record::new(Head::default()); count], &options).messages);
            assert_eq!(messages.last().unwrap().records.len(), count, "{names}");
        }
    }
}

#[test]
fn options_tell_the_statistics_and_every_interface() {
    let statistics = Statistics { octets: 1 << 40, messages: 2, records: 3, not_sent: 4 };
    let long = "ü".repeat(200);
    let mut interfaces: Vec<_> = (1..=60).map(|n| (n, format!("uplink-{n}"))).collect();
    interfaces.push((61, long));
    let mut collector = Collector::default();
    let encoder = Encoder::new(Options { message_octets_max: 512, ..Options::default() });
    for message in encoder.templates() {
        collector.message(&message.octets);
    }
    let (mut records, mut counted) = (Vec::new(), 0);
    for message in encoder.options(DOMAIN, &statistics, &interfaces) {
        assert!(message.octets.len() <= 512 && message.templates == 0);
        counted += message.records;
        records.extend(collector.message(&message.octets).records);
    }
    assert_eq!((records.len(), counted), (62, 62));
    let (id, fields) = &records[0];
    let values = [149, 40, 41, 42, 166].map(|element| number(fields, 0, element));
    assert_eq!((*id, values), (256, [u64::from(DOMAIN), 1 << 40, 2, 3, 4]));
    for ((number_set, name), (id, fields)) in interfaces.iter().zip(&records[1..]) {
        assert_eq!((*id, number(fields, 0, 10)), (257, u64::from(*number_set)));
        let read = std::str::from_utf8(octets(fields, 0, 82)).unwrap();
        assert!(name.starts_with(read) && read.len() == name.len().min(254), "{read}");
    }
}

#[test]
fn a_file_is_a_stream_of_messages() {
    let records: Vec<_> = (0..5000u64)
        .zip(KINDS.into_iter().cycle())
        .map(|(n, kind)| Record::new(Head { flow_id: n, kind, end: (100 + n) * 1_000_000_000, octets: [n, 1], ..Head::default() }))
        .collect();
    let write = || {
        let mut file = FileWriter::new(Vec::new(), 3, Options::default()).with_interfaces(vec![(1, "lan".to_owned())]);
        for record in &records {
            record.put(&mut file);
        }
        file.finish().unwrap()
    };
    let (file, totals) = write();
    let messages = Collector::default().stream(&file);
    let flows: Vec<_> = messages.iter().flat_map(|m| &m.records).filter(|(id, _)| *id > 257).collect();
    assert_eq!((totals.records, totals.octets, flows.len()), (5000, file.len() as u64, 5000));
    assert_eq!(flows.iter().map(|(_, fields)| number(fields, 0, 1)).sum::<u64>(), 5000 * 4999 / 2);
    let mut sequence = 0;
    for message in &messages[..messages.len() - 1] {
        assert_eq!((message.domain, message.sequence), (3, sequence));
        sequence += u32::try_from(message.records.len()).unwrap();
    }
    assert_eq!(messages.last().unwrap().time, 5099, "the end of the last flow");
    assert_eq!(file, write().0, "the same records make the same file");
}

#[test]
fn a_file_of_no_flow_has_templates_and_statistics() {
    let (file, totals) = FileWriter::new(Vec::new(), 1, Options::default()).finish().unwrap();
    let messages = Collector::default().stream(&file);
    assert_eq!((totals.records, messages.len()), (0, 2));
}

#[test]
fn a_file_that_cannot_be_written_says_so_at_the_end() {
    #[derive(Debug)]
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut file = FileWriter::new(Full, 1, Options::default());
    Record::new(Head::default()).put(&mut file);
    Record::new(Head::default()).put(&mut file);
    assert_eq!(file.finish().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}
