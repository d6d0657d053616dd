//! Records with layers and performance, read back by a decoder that shares no code with the encoder.

mod outlet;

use outlet::{Outlet, sent};
use proptest::prelude::*;
use sonde_export::elements::{CESNET_PEN, FLOWMON_PEN, NTOP_PEN, REVERSE_PEN};
use sonde_export::format::{Format, LeftOut};
use sonde_export::{Encoder, Fields as Choice, Options};
use sonde_flow::pattern::{PatternState, Sample, Wants};
use sonde_packet::{Arp, Layers, Network, SegmentRouting, Tunnel};
use sonde_record::fact::{
    Application, Burst, Bursts, FirstPacket, FirstPackets, Histograms, NetTisa, QuicPerformance, ResponseTimes, Spread, Syn, TcpDirection,
    TcpPerformance, UdpPerformance, quic_valid, valid,
};
use sonde_record::{Head, Kind, Record};
use sonde_tests::collector::{Collected, Decoder, Record as Fields};

/// The value of an unsigned field, which must be there.
fn number(fields: &Fields, pen: u32, id: u16) -> u64 {
    fields.value((pen, id)).unwrap_or_else(|| panic!("no field {pen}:{id}"))
}

fn octets(fields: &Fields, pen: u32, id: u16) -> &[u8] {
    &fields.values[&(pen, id)]
}

/// All fields, in messages of so many octets.
fn full(message_octets_max: usize) -> Options {
    Options { message_octets_max, fields: Choice::Full, ..Options::default() }
}

/// Each record as a collector reads it, in the order of the templates.
fn read(records: &[Record], options: &Options) -> Vec<Fields> {
    let (mut decoder, mut collected) = (Decoder::default(), Collected::default());
    for message in sent(records, options).messages {
        assert!(message.len() <= options.message_octets_max, "{} octets", message.len());
        decoder.message(&message, &mut collected);
    }
    assert_eq!((collected.faults, collected.missing), (Vec::new(), 0));
    collected.records
}

fn one(record: &Record) -> Fields {
    read(std::slice::from_ref(record), &full(1400)).pop().unwrap()
}

fn check_stack(layers: &Layers, fields: &Fields) {
    for (at, element) in (70..=75).enumerate() {
        let label = if at < usize::from(layers.mpls_labels) { layers.mpls[at] >> 8 } else { 0 };
        assert_eq!(number(fields, 0, element), u64::from(label), "label {at}");
    }
    let top = if layers.mpls_labels == 0 { 0 } else { layers.mpls[0] & 0xff };
    assert_eq!([200, 202].map(|element| number(fields, 0, element)), [u64::from(top), layers.mpls_labels.into()]);
    assert_eq!(number(fields, 0, 295), u64::from(layers.spi));
    let srh = &layers.srh;
    assert_eq!([492, 493, 498].map(|element| number(fields, 0, element)), [u64::from(srh.flags), srh.tag.into(), srh.segments_left.into()]);
    assert_eq!(octets(fields, 0, 494), srh.last);
    assert_eq!(number(fields, 0, 412), u64::from(layers.service_instance.unwrap_or(0) & 0x00ff_ffff), "dot1qServiceInstanceId");
}

fn check_tunnel(layers: &Layers, fields: &Fields) {
    let identified = layers.identified;
    let id = u64::from(layers.tunnel_id.unwrap_or(0));
    let segment = match identified {
        Some(Tunnel::Vxlan) => 1 << 56 | id & 0xff_ffff,
        Some(Tunnel::Nvgre) => 2 << 56 | id & 0xff_ffff,
        _ => 0,
    };
    assert_eq!(number(fields, 0, 351), segment, "layer2SegmentId");
    assert_eq!(number(fields, 0, 507), if identified == Some(Tunnel::GtpU) { id } else { 0 }, "gtpuTEid");
    assert_eq!(number(fields, NTOP_PEN, 106), id);
    assert_eq!(number(fields, 0, 296), u64::from(layers.gre_key.unwrap_or(0)));
    assert_eq!(number(fields, NTOP_PEN, 113), u64::from(layers.outer_protocol));
    assert_eq!([115, 117].map(|id| number(fields, NTOP_PEN, id)), layers.outer_ports.map(u64::from));
    let (v4, v6) = match layers.outer {
        Network::None => ([[0; 4]; 2], [[0; 16]; 2]),
        Network::V4(source, destination) => ([source, destination], [[0; 16]; 2]),
        Network::V6(source, destination) => ([[0; 4]; 2], [source, destination]),
    };
    assert_eq!([114, 116].map(|id| octets(fields, NTOP_PEN, id)), v4);
    assert_eq!([396, 397].map(|id| octets(fields, NTOP_PEN, id)), v6);
    let macs = [414, 415].map(|id| octets(fields, 0, id));
    assert_eq!(macs, [&layers.inner_macs[6..], &layers.inner_macs[..6]]);
}

/// Nanoseconds as units of a collector: 0 is "not measured".
fn units(measured: bool, nanoseconds: u64, unit: u64) -> u64 {
    if measured { (nanoseconds.div_ceil(unit)).clamp(1, u32::MAX.into()) } else { 0 }
}

fn check_tcp(tcp: &TcpPerformance, fields: &Fields) {
    let flowmon = |id| number(fields, FLOWMON_PEN, id);
    let ntop = |id| number(fields, NTOP_PEN, id);
    let both = |id| [number(fields, 0, id), number(fields, REVERSE_PEN, id)];
    let has = |bits: u64| tcp.valid & bits == bits;
    let karn = valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN;
    assert_eq!(flowmon(69), units(has(karn), tcp.server_rtt + tcp.client_rtt, 1000));
    assert_eq!(ntop(123), units(has(valid::CLIENT_RTT_KARN), tcp.client_rtt / 2, 1_000_000));
    assert_eq!(ntop(124), units(has(valid::SERVER_RTT_KARN), tcp.server_rtt / 2, 1_000_000));
    let answered = has(valid::RESPONSES) && tcp.responses.count != 0;
    assert_eq!(flowmon(70), units(answered, tcp.responses.sum / u64::from(tcp.responses.count.max(1)), 1000));
    let client = usize::from(tcp.client);
    let payload = [tcp.ways[client].payload, tcp.ways[1 - client].payload];
    assert_eq!([231, 232].map(|id| number(fields, 0, id)), payload, "initiatorOctets, responderOctets");
    let ways = |of: fn(&TcpDirection) -> u64| [of(&tcp.ways[0]), of(&tcp.ways[1])];
    assert_eq!([ntop(109), ntop(110)], ways(|way| way.retransmitted.into()));
    assert_eq!([ntop(111), ntop(112)], ways(|way| way.out_of_order.into()));
    assert_eq!([flowmon(71), flowmon(72)], [u64::from(tcp.ways[0].retransmitted), tcp.ways[0].out_of_order.into()]);
    let spread = |spread: &Spread| [spread.min, spread.mean, spread.max, spread.deviation];
    let scaled = |measured, of: &Spread, unit| spread(of).map(|value| units(measured, value, unit));
    let [forward, reverse] = &tcp.ways;
    assert_eq!([67, 66, 68, 65].map(flowmon), scaled(has(valid::DELAY), &forward.delay, 1000));
    assert_eq!([63, 62, 64, 61].map(flowmon), scaled(has(valid::JITTER), &forward.jitter, 1000));
    assert_eq!([531, 533, 532, 534].map(ntop), scaled(has(valid::DELAY), &forward.delay, 1_000_000));
    assert_eq!([535, 537, 536, 538].map(ntop), scaled(has(valid::DELAY << valid::REVERSE), &reverse.delay, 1_000_000));
    assert_eq!(both(218), ways(|way| way.syn_count.into()));
    assert_eq!(both(219), ways(|way| way.fin_count.into()));
    assert_eq!(both(220), ways(|way| way.rst_count.into()));
    assert_eq!(both(221), ways(|way| way.psh_count.into()));
    assert_eq!(both(222), ways(|way| way.ack_count.into()));
    assert_eq!(both(223), ways(|way| way.urg_count.into()));
    assert_eq!(both(184), ways(|way| way.isn.into()));
    let syns = [0, 1].map(|way| if has(valid::SYN << (way * valid::REVERSE)) { tcp.ways[way as usize].syn } else { Syn::default() });
    assert_eq!(both(209), syns.map(|syn| syn.kinds));
    assert_eq!(both(186), syns.map(|syn| u64::from(syn.window)));
    assert_eq!([ntop(417), ntop(421)], syns.map(|syn| u64::from(syn.mss)));
    assert_eq!([ntop(418), ntop(422)], syns.map(|syn| u64::from(syn.window_scale)));
    assert_eq!([flowmon(80), flowmon(81)], [u64::from(syns[client].octets.min(255)), syns[client].ttl.into()]);
}

fn check_udp(udp: &UdpPerformance, fields: &Fields) {
    let application = match udp.application {
        None => 0,
        Some(Application::Dns) => 0x03_0035,
        Some(Application::Ntp) => 0x03_007b,
        Some(Application::Snmp) => 0x03_00a1,
        Some(Application::Radius) => 0x03_0714,
    };
    assert_eq!(number(fields, 0, 95), application, "applicationId");
    let ResponseTimes { count, sum, .. } = udp.responses;
    let mean = sum / u64::from(count.max(1));
    assert_eq!(number(fields, FLOWMON_PEN, 70), units(count != 0, mean, 1000));
    assert_eq!(number(fields, NTOP_PEN, 125), units(count != 0, mean, 1_000_000));
}

fn check_quic(quic: &QuicPerformance, fields: &Fields) {
    let has = |bits: u8| quic.valid & bits == bits;
    let [client, server] = [quic_valid::CLIENT_RTT_KARN, quic_valid::SERVER_RTT_KARN];
    assert_eq!(number(fields, FLOWMON_PEN, 69), units(has(client | server), quic.server_rtt + quic.client_rtt, 1000));
    assert_eq!(number(fields, NTOP_PEN, 123), units(has(client), quic.client_rtt / 2, 1_000_000));
    assert_eq!(number(fields, NTOP_PEN, 124), units(has(server), quic.server_rtt / 2, 1_000_000));
}

fn check_arp(arp: &Arp, fields: &Fields) {
    assert_eq!(number(fields, CESNET_PEN, 33), u64::from(arp.operation));
    let text = |address: [u8; 4]| address.map(|octet| octet.to_string()).join(".");
    let read = |id| String::from_utf8(octets(fields, CESNET_PEN, id).to_vec()).unwrap();
    assert_eq!([35, 37].map(|id| read(id).trim_end_matches('\0').to_owned()), [text(arp.sender), text(arp.target)]);
}

/// The items of a list, all or as many of the first as fit the message.
fn items(fields: &Fields, id: u16) -> Vec<u64> {
    fields.list((CESNET_PEN, id)).unwrap_or_else(|| panic!("no list of {id}"))
}

/// Lists of what is expected, column by column, all as long; how long.
fn check_lists<const N: usize>(fields: &Fields, ids: [u16; N], expected: &[[u64; N]]) -> usize {
    let count = items(fields, ids[0]).len();
    assert!(count <= expected.len());
    for (column, id) in ids.into_iter().enumerate() {
        assert_eq!(items(fields, id), expected[..count].iter().map(|row| row[column]).collect::<Vec<_>>(), "{id}");
    }
    count
}

/// The patterns of a record. How many first packets and bursts of each direction did not fit.
fn check_patterns(record: &Record, fields: &Fields) -> [usize; 3] {
    if let Some(histograms) = record.get::<Histograms>() {
        let expected = [histograms.sizes[0], histograms.times[0], histograms.sizes[1], histograms.times[1]];
        for (id, expected) in (1060..).zip(expected) {
            assert_eq!(items(fields, id), expected.map(u64::from), "{id}");
        }
    }
    if let Some(nettisa) = record.get::<NetTisa>() {
        for (id, expected) in (1020..).zip(nettisa.values()) {
            let found = number(fields, CESNET_PEN, id);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "octets")]
            let whole = (expected as u64).min(65_535);
            let expected = if matches!(id, 1021 | 1022) { whole } else { expected.to_bits().into() };
            assert_eq!(found, expected, "{id}");
        }
    }
    let mut left = [0; 3];
    if let Some(first) = record.get::<FirstPackets>() {
        let row = |packet: FirstPacket| {
            let direction = if packet.way == 0 { 1 } else { 255 };
            [packet.payload.into(), packet.time / 1_000_000, u64::from(packet.flags) % 256, direction]
        };
        let expected: Vec<_> = first.packets().map(row).collect();
        left[0] = expected.len() - check_lists(fields, [1013, 1014, 1015, 1016], &expected);
    }
    if let Some(bursts) = record.get::<Bursts>() {
        let row = |burst: Burst| [burst.packets.into(), burst.octets.into(), burst.start / 1_000_000, burst.end / 1_000_000];
        for (way, ids) in [[1050, 1051, 1052, 1053], [1054, 1055, 1056, 1057]].into_iter().enumerate() {
            let expected: Vec<_> = bursts.bursts(u8::try_from(way).unwrap()).map(row).collect();
            left[1 + way] = expected.len() - check_lists(fields, ids, &expected);
        }
    }
    left
}

/// What the record must look like: its facts, of each every field, and no others. How many first packets and bursts of each direction did not
/// fit.
fn check(record: &Record, fields: &Fields) -> [usize; 3] {
    let layers = record.get::<Layers>().unwrap_or_default();
    let ip = record.kind != Kind::Layer2;
    let stack = layers.mpls_labels != 0 || layers.spi != 0 || layers.srh.segments != 0 || layers.service_instance.is_some();
    // A record has one of them; whatever else a ring may hold, the first is sent.
    let tcp = record.get::<TcpPerformance>().filter(|_| ip);
    let udp = record.get::<UdpPerformance>().filter(|_| ip && tcp.is_none());
    let quic = record.get::<QuicPerformance>().filter(|_| ip && tcp.is_none() && udp.is_none());
    let arp = !ip && layers.arp.operation != 0;
    let has = |element| fields.values.contains_key(&element);
    let found = [(0, 202), (NTOP_PEN, 113), (0, 218), (0, 95), (CESNET_PEN, 33), (CESNET_PEN, 1020)].map(has);
    let expected = [stack, layers.depth != 0, tcp.is_some(), udp.is_some(), arp, record.get::<NetTisa>().is_some()];
    assert_eq!(found, expected, "labels, tunnel, TCP, UDP, ARP, NetTiSA");
    assert_eq!(has((FLOWMON_PEN, 69)), tcp.is_some() || quic.is_some());
    let lists = [1060, 1013, 1050].map(|id| fields.list((CESNET_PEN, id)).is_some());
    let expected = [record.get::<Histograms>().is_some(), record.get::<FirstPackets>().is_some(), record.get::<Bursts>().is_some()];
    assert_eq!(lists, expected, "histograms, first packets, bursts");
    assert_eq!(number(fields, 0, 148), record.flow_id);
    if stack {
        check_stack(&layers, fields);
    }
    if layers.depth != 0 {
        check_tunnel(&layers, fields);
    }
    if let Some(tcp) = tcp {
        check_tcp(&tcp, fields);
    }
    if let Some(udp) = udp {
        check_udp(&udp, fields);
    }
    if let Some(quic) = quic {
        check_quic(&quic, fields);
    }
    if arp {
        check_arp(&layers.arp, fields);
    }
    check_patterns(record, fields)
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(source, destination)| Network::V4(source, destination)),
        any::<([u8; 16], [u8; 16])>().prop_map(|(source, destination)| Network::V6(source, destination)),
    ]
}

prop_compose! {
    fn any_layers()(
        mpls in any::<([u32; 6], bool)>(),
        labels in 0u8..=6,
        tunnel in prop::sample::select(Tunnel::ALL.to_vec()),
        depth in 0u8..=1,
        ids in any::<(u32, u32)>(),
        outer in network(),
        ports in any::<([u16; 2], u8, [u8; 12])>(),
        spi in prop_oneof![Just(0), any::<u32>()],
        srh in prop_oneof![Just((0, 0, 0, 0, [0; 16])), any::<(u8, u8, u8, u16, [u8; 16])>()],
        arp in any::<(u16, [u8; 4], [u8; 4])>(),
    ) -> Layers {
        let (segments, segments_left, flags, tag, last) = srh;
        let (outer_ports, outer_protocol, inner_macs) = ports;
        let (gre_key, tunnel_id) = (Some(ids.1), Some(ids.0));
        Layers {
            mpls: mpls.0, mpls_labels: if mpls.1 { labels } else { 0 }, tunnels: [tunnel as u8 | 0x80, 0, 0, 0], depth, tunnel_id,
            identified: Some(tunnel), service_instance: mpls.1.then_some(ids.1), gre_key, outer, outer_ports, outer_protocol, inner_macs, spi,
            srh: SegmentRouting { segments, segments_left, flags, tag, last },
            arp: Arp { operation: arp.0 % 3, sender: arp.1, target: arp.2 },
            ..Layers::default()
        }
    }
}

prop_compose! {
    fn any_direction()(
        spreads in any::<[[u32; 4]; 2]>(),
        payload in any::<u64>(),
        wide in any::<[u32; 8]>(),
        narrow in any::<[u16; 7]>(),
        syn in any::<(u64, [u16; 3], [u8; 2])>(),
    ) -> TcpDirection {
        let [delay, jitter] = spreads.map(|spread| {
            let [min, mean, max, deviation] = spread.map(|value| u64::from(value) << 8);
            Spread { min, mean, max, deviation }
        });
        let [retransmitted, out_of_order, duplicate_acks, psh_count, ack_count, isn, packets, data_packets] = wide;
        let [syn_count, fin_count, rst_count, urg_count, ..] = narrow;
        let (kinds, [window, mss, octets], [ttl, window_scale]) = syn;
        let syn = Syn { kinds, window, mss, octets, ttl, window_scale, sack_permitted: kinds & 16 != 0 };
        TcpDirection {
            delay, jitter, payload, packets, data_packets, retransmitted, out_of_order, duplicate_acks, psh_count, ack_count, isn,
            syn_count, fin_count, rst_count, urg_count, syn, ..TcpDirection::default()
        }
    }
}

prop_compose! {
    fn any_tcp()(
        valid in any::<u64>(),
        client in 0u8..=1,
        rtt in any::<[u32; 2]>(),
        responses in any::<(u32, u32)>(),
        ways in [any_direction(), any_direction()],
    ) -> TcpPerformance {
        let (count, sum) = responses;
        let responses = ResponseTimes { count, sum: u64::from(sum) << 16, ..ResponseTimes::default() };
        let [server_rtt, client_rtt] = rtt.map(u64::from);
        TcpPerformance { valid, client, server_rtt, client_rtt, responses, ways, ..TcpPerformance::default() }
    }
}

prop_compose! {
    fn any_udp()(application in 0usize..5, responses in any::<(u32, u32)>(), none in any::<bool>()) -> UdpPerformance {
        let all = [Application::Dns, Application::Ntp, Application::Snmp, Application::Radius];
        let (count, sum) = responses;
        let responses = ResponseTimes { count: if none { 0 } else { count }, sum: u64::from(sum) << 16, ..ResponseTimes::default() };
        UdpPerformance { application: all.get(application).copied(), responses, ..UdpPerformance::default() }
    }
}

prop_compose! {
    fn any_quic()(valid in any::<u8>(), client in 0u8..=1, rtt in any::<[u32; 2]>()) -> QuicPerformance {
        let [server_rtt, client_rtt] = rtt.map(u64::from);
        QuicPerformance { valid, client, server_rtt, client_rtt, ..QuicPerformance::default() }
    }
}

fn any_wants() -> impl Strategy<Value = Wants> {
    let all = any::<([bool; 3], u8)>();
    all.prop_map(|([histograms, bursts, nettisa], first)| Wants { histograms, first_packets: first % 31, bursts, nettisa })
}

/// The patterns of these packets, as words of a record.
fn pattern_words(wants: Wants, samples: impl IntoIterator<Item = Sample>) -> Vec<u64> {
    let mut state = PatternState::default();
    samples.into_iter().for_each(|sample| state.add(wants, &sample));
    let mut words = vec![0; 232];
    let filled = state.encode(wants, &mut words);
    words.truncate(filled);
    words
}

/// Some with pauses, so that there are bursts.
fn any_patterns() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![3 => 0u64..40, 1 => 900u64..5_000];
    let sample = (gap, prop_oneof![0u32..2_000, any::<u32>()], any::<u16>(), any::<bool>());
    (any_wants(), prop::collection::vec(sample, 1..100)).prop_map(|(wants, samples)| {
        let mut time = 1_700_000_000_000_000_000;
        let place = |(gap, payload, flags, reverse)| {
            time += gap * 1_000_000 + 1;
            Sample { time, payload, flags, way: u8::from(reverse) }
        };
        pattern_words(wants, samples.into_iter().map(place))
    })
}

prop_compose! {
    fn any_record()(
        flow_id in any::<u64>(),
        kind in prop::sample::select(vec![Kind::Ipv4, Kind::Ipv6, Kind::Layer2]),
        layers in prop::option::of(any_layers()),
        tcp in prop::option::of(any_tcp()),
        udp in prop::option::of(any_udp()),
        quic in prop::option::of(any_quic()),
        patterns in prop_oneof![Just(Vec::new()), any_patterns()],
    ) -> Record {
        let mut record = Record::of_words(Head { flow_id, kind, ..Head::default() }, &patterns);
        if let Some(layers) = layers {
            record = record.with(&layers);
        }
        if let Some(tcp) = tcp {
            record = record.with(&tcp);
        }
        if let Some(udp) = udp {
            record = record.with(&udp);
        }
        if let Some(quic) = quic {
            record = record.with(&quic);
        }
        record
    }
}

proptest! {
    #[test]
    fn any_facts_are_read_back_field_by_field(record in any_record()) {
        prop_assert_eq!(check(&record, &read(std::slice::from_ref(&record), &full(3000))[0]), [0; 3]);
    }

    #[test]
    fn records_of_all_templates_travel_beside_each_other(records in prop::collection::vec(any_record(), 0..60)) {
        let found = read(&records, &full(3000));
        prop_assert_eq!(found.len(), records.len());
        for record in &records {
            for fields in found.iter().filter(|fields| number(fields, 0, 148) == record.flow_id) {
                prop_assert_eq!(check(record, fields), [0; 3]);
            }
        }
    }

    #[test]
    fn what_is_chosen_has_the_values_that_it_has_among_all(
        records in prop::collection::vec(any_record(), 1..20),
        names in prop::sample::subsequence(sonde_export::selection::names(), 0..20),
    ) {
        let all = read(&records, &full(65_000));
        let named = Choice::parse(&names.join(",")).expect("names");
        for fields in [Choice::Standard, named] {
            let found = read(&records, &Options { fields: fields.clone(), ..full(65_000) });
            prop_assert_eq!(found.len(), all.len());
            for whole in &all {
                let is_chosen = |some: &&Fields| some.values.iter().all(|(element, value)| whole.values.get(element) == Some(value));
                let same = found.iter().filter(|fields| fields.value((0, 148)).is_none_or(|id| id == number(whole, 0, 148)));
                prop_assert!(same.clone().any(|some| is_chosen(&some)), "{fields:?}");
            }
        }
    }

    #[test]
    fn a_small_message_carries_what_fits_and_every_record(
        records in prop::collection::vec(any_record(), 0..30),
        octets_max in 512usize..1400,
        equal_messages in any::<bool>(),
        fields in prop::sample::select(vec![Choice::Standard, Choice::Full]),
    ) {
        let found = read(&records, &Options { fields, equal_messages, ..full(octets_max) });
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0u64, u64::wrapping_add);
        prop_assert_eq!(sum(&mut found.iter().map(|fields| number(fields, 0, 148))), sum(&mut records.iter().map(|r| r.flow_id)));
    }
}

/// IPv6, with everything that may go together, the most first packets and bursts.
fn largest() -> Record {
    // Bursts of three packets, one in each direction at a time.
    let sample = |n: u64| Sample { time: (1 + n / 6 * 2_000 + n % 6) * 1_000_000, payload: 1000, flags: 0x18, way: u8::from(n % 6 >= 3) };
    let patterns = pattern_words(Wants::ALL, (0..120).map(sample));
    let layers = Layers { mpls_labels: 2, depth: 1, tunnels: [Tunnel::Vxlan as u8 | 0x80, 0, 0, 0], ..Layers::default() };
    let tcp = TcpPerformance { valid: u64::MAX, ..TcpPerformance::default() };
    Record::of_words(Head { kind: Kind::Ipv6, flow_id: 1, ..Head::default() }, &patterns).with(&layers).with(&tcp)
}

#[test]
fn bursts_and_packets_that_do_not_fit_are_left_out_from_the_end() {
    let cut = |octets_max| check(&largest(), &read(&[largest()], &full(octets_max))[0]);
    assert_eq!(cut(2400), [0; 3]);
    // First packets come first, then both directions have half of what is left.
    let [_, forward, reverse] = cut(1900);
    assert!(forward > 0 && reverse - forward <= 1, "{forward} {reverse}");
    assert_eq!(cut(1400), [12, 13, 13], "where messages have their usual size");
    let [packets, bursts @ ..] = cut(1500);
    assert!(packets > 0 && bursts == [13, 13], "{packets} {bursts:?}");
}

#[test]
fn groups_and_items_that_find_no_room_are_counted() {
    let left_out = |octets_max, records: &[Record]| {
        let mut encoder = Encoder::new(full(octets_max));
        let mut outlet = Outlet::new(&encoder);
        records.iter().for_each(|record| encoder.put(&record.view().unwrap(), &mut outlet));
        let left = encoder.take_left_out();
        assert_eq!(encoder.take_left_out(), LeftOut::default(), "taken once");
        (left.groups, left.items)
    };
    let all = largest();
    let plain = Record::new(Head::default()).with(&all.get::<TcpPerformance>().unwrap());
    // What docs/ipfix.md says has room for everything; lists are cut before groups are left out.
    assert_eq!(left_out(65_000, &[all.clone(), plain.clone()]), (0, 0));
    let (groups, items) = left_out(1440, &[all.clone(), plain.clone()]);
    assert!(groups == 0 && items > 0, "{groups} groups, {items} items");
    assert_eq!(left_out(1440, &[all.clone(), plain, all.clone()]), (0, 2 * items));
    // A smaller message leaves out more groups, down to the smallest, of which docs/ipfix.md says the order.
    let each: Vec<u64> = [512, 700, 850, 1200].iter().map(|octets| left_out(*octets, std::slice::from_ref(&all)).0).collect();
    assert!(each.is_sorted_by(|a, b| a >= b) && each[0] > each[3] && each[3] > 0, "{each:?}");
    assert_eq!(left_out(512, &[Record::new(Head::default())]), (0, 0), "nothing was left out of a plain flow");
}

#[test]
fn messages_of_records_that_vary_are_as_full_as_they_can_be() {
    let packets = |n: u64| (0..n).map(|n| Sample { time: (1 + n) * 1_000_000, payload: 100, flags: 0, way: 0 });
    let kept = Wants { first_packets: 30, ..Wants::default() };
    let records: Vec<_> =
        (1..400).map(|n| Record::of_words(Head { flow_id: n, ..Head::default() }, &pattern_words(kept, packets(1 + n * 7 % 30)))).collect();
    let outlet = sent(&records, &Options { messages_max: 8, ..full(1400) });
    assert!(outlet.calls.iter().all(|(segment, sizes, _)| segment.is_none() && sizes.len() <= 8));
    assert_eq!(outlet.calls.iter().map(|(_, _, records)| records).sum::<usize>(), records.len());
    let sizes: Vec<usize> = outlet.calls.into_iter().flat_map(|(_, sizes, _)| sizes).collect();
    let (_, full) = sizes.split_last().unwrap();
    // The largest record has 221 octets, and 400 in its lists.
    assert!(full.iter().all(|size| (1400 - 621..=1400).contains(size)), "{sizes:?}");
    assert!(full.iter().sum::<usize>() / full.len() > 1100, "{sizes:?}");
}

/// The padding at the end of a record, which must be there.
fn padding(fields: &Fields) -> usize {
    let padding = octets(fields, 0, 210);
    assert!(padding.iter().all(|octet| *octet == 0));
    padding.len()
}

#[test]
fn messages_of_records_that_vary_are_padded_to_equal_size_where_that_is_wanted() {
    let packets = |n: u64| (0..n).map(|n| Sample { time: (1 + n) * 1_000_000, payload: 100, flags: 0, way: 0 });
    let kept = Wants { first_packets: 30, ..Wants::default() };
    let records: Vec<_> =
        (1..400).map(|n| Record::of_words(Head { flow_id: n, ..Head::default() }, &pattern_words(kept, packets(1 + n * 7 % 30)))).collect();
    for (octets_max, size) in [(1400, 1400), (1397, 1396), (9000, 9000)] {
        let options = Options { messages_max: 8, equal_messages: true, ..full(octets_max) };
        let outlet = sent(&records, &options);
        let full = outlet.calls.iter().flat_map(|(_, sizes, _)| sizes.split_last().map(|(_, full)| full).unwrap_or_default());
        assert!(full.clone().count() > 10 && full.clone().all(|octets| *octets == size), "{size}");
        assert!(outlet.calls.iter().all(|(segment, sizes, _)| *segment == Some(size) && sizes.iter().all(|octets| *octets <= size)));
        let found = read(&records, &options);
        assert_eq!(found.len(), records.len());
        records.iter().zip(&found).for_each(|(record, fields)| assert_eq!(check(record, fields), [0; 3]));
        // The last record of a message takes what it lacks, up to more than the short form of a length says.
        let most = found.iter().map(padding).max().unwrap();
        assert!(most > 254 && found.iter().filter(|fields| padding(fields) == 0).count() > records.len() / 3, "{most}");
    }
}

#[test]
fn a_flow_that_has_nothing_beside_it_has_the_plain_template() {
    let templates = |layers: Option<Layers>| {
        [Kind::Ipv4, Kind::Ipv6, Kind::Layer2].map(|kind| {
            let plain = Record::new(Head { kind, ..Head::default() });
            let read = one(&layers.map_or(plain.clone(), |layers| plain.with(&layers)));
            (read.template, read.values.len())
        })
    };
    // Five of these are of the operator's enterprise.
    assert_eq!(templates(None).map(|(_, fields)| fields), [48, 48, 27]);
    // A session of PPPoE has an element of the operator's enterprise, beside others of layers.
    let session = Layers { pppoe_session: 7, ..Layers::default() };
    assert_eq!(templates(Some(session)).map(|(_, fields)| fields), [58, 58, 37]);
}
