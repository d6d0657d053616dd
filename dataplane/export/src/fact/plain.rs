//! The fields that every flow of a kind has.
//!
//! Times are sent twice: as milliseconds (152, 153), which every collector reads and nfdump and Flowmon read only, and as
//! nanoseconds (156, 157), because a NIC's clock deserves them. Of a VLAN tag that is not there id and priority are 0
//! (`dot1qDEI`, a truth value, is not sent then: see [`super::tags`]); the outer id is sent twice: `vlanId` (58) is what
//! most collectors read, and `dot1qVlanId` (243) what it is. ICMP type and code mean something where `protocolIdentifier` is 1 or 58,
//! TCP flags, `tcpMss` and `tcpSynSize` where it is 6: these are those of the flow's first SYN, and 0 where none was seen or it had no
//! such option. A direction without packets has TTLs of 0.
//!
//! Not here: what only some flows have. Not sent: number of fragments, worker.

use sonde_packet::proto;
use sonde_record::{NO_VLAN, RecordView};

use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, cesnet, field, octets, reverse};

const HEAD: [Field; 21] = [
    field(148),
    field(152),
    field(153),
    field(156),
    field(157),
    field(1),
    reverse(1),
    field(2),
    reverse(2),
    field(352),
    reverse(352),
    field(10),
    field(136),
    field(239),
    field(58),
    field(243),
    field(244),
    field(245),
    field(246),
    field(56),
    field(80),
];

const ETHERTYPE: [Field; 1] = [field(256)];

const IP: [Field; 15] = [
    field(60),
    field(4),
    field(5),
    field(192),
    reverse(192),
    field(52),
    reverse(52),
    field(53),
    reverse(53),
    field(6),
    reverse(6),
    cesnet(902),
    cesnet(900),
    field(7),
    field(11),
];

const IPV4_ONLY: [Field; 6] = [field(176), field(177), field(32), field(197), field(8), field(12)];

const IPV6_ONLY: [Field; 6] = [field(178), field(179), field(139), field(31), field(27), field(28)];

/// Bidirectional flows without IP.
pub(crate) const LAYER2_FIELDS: [Field; 22] = join(HEAD, ETHERTYPE);
const IP_FIELDS: [Field; 37] = join(LAYER2_FIELDS, IP);
/// Bidirectional IPv4 flows.
pub(crate) const IPV4_FIELDS: [Field; 43] = join(IP_FIELDS, IPV4_ONLY);
/// Bidirectional IPv6 flows.
pub(crate) const IPV6_FIELDS: [Field; 43] = join(IP_FIELDS, IPV6_ONLY);

const IPV4_OCTETS: usize = octets(&IPV4_FIELDS);
const IPV6_OCTETS: usize = octets(&IPV6_FIELDS);
const LAYER2_OCTETS: usize = octets(&LAYER2_FIELDS);

const fn join<const A: usize, const B: usize, const N: usize>(a: [Field; A], b: [Field; B]) -> [Field; N] {
    assert!(A + B == N, "the joined list has the length of both");
    let mut all = [a[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < A { a[at] } else { b[at - A] };
        at += 1;
    }
    all
}

/// Nanoseconds since 1970 as the NTP timestamp of `dateTimeNanoseconds` (RFC 7011 section 6.1.10): seconds since 1900 modulo
/// 2^32 and 2^-32 fractions, rounded up so that a reader gets the same nanosecond back by rounding down.
#[inline(always)]
pub fn ntp(nanoseconds: u64) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    const SECOND: u64 = 1_000_000_000;
    let seconds = (nanoseconds / SECOND).wrapping_add(FROM_1900_TO_1970);
    // Less than 2^62: no overflow.
    let fraction = ((nanoseconds % SECOND) << 32).div_ceil(SECOND);
    seconds << 32 | fraction
}

/// The id of a tag, 0 where there is none.
#[inline(always)]
fn vlan(tci: u16) -> u16 {
    if tci == NO_VLAN { 0 } else { tci & 0x0fff }
}

/// Id and priority (IEEE 802.1Q section 9.6).
#[inline(always)]
fn put_tag(out: &mut Cursor<'_>, tci: u16) {
    out.put(vlan(tci).to_be_bytes());
    out.put([if tci == NO_VLAN { 0 } else { (tci >> 13) as u8 }]);
}

/// The fields every kind of flow has, in the order of [`LAYER2_FIELDS`].
#[inline(always)]
fn put_head(out: &mut Cursor<'_>, record: &RecordView<'_>) {
    const MILLISECOND: u64 = 1_000_000;
    out.put(record.flow_id().to_be_bytes());
    out.put((record.start() / MILLISECOND).to_be_bytes());
    out.put((record.end() / MILLISECOND).to_be_bytes());
    out.put(ntp(record.start()).to_be_bytes());
    out.put(ntp(record.end()).to_be_bytes());
    out.put(record.octets()[0].to_be_bytes());
    out.put(record.octets()[1].to_be_bytes());
    out.put(record.packets()[0].to_be_bytes());
    out.put(record.packets()[1].to_be_bytes());
    out.put(record.wire()[0].to_be_bytes());
    out.put(record.wire()[1].to_be_bytes());
    out.put(u32::from(record.ingress()).to_be_bytes());
    out.put([record.end_reason() as u8]);
    out.put([record.initiator() as u8]);
    let [outer, customer] = record.vlan_tci();
    out.put(vlan(outer).to_be_bytes());
    put_tag(out, outer);
    put_tag(out, customer);
    out.put(record.smac());
    out.put(record.dmac());
    out.put(record.ethertype().to_be_bytes());
}

/// The fields IPv4 and IPv6 share.
#[inline(always)]
fn put_ip(out: &mut Cursor<'_>, record: &RecordView<'_>, version: u8, icmp_in_port: bool) {
    out.put([version]);
    out.put([record.proto()]);
    out.put([record.tos()]);
    for ttl in [record.ttl(), record.ttl_min(), record.ttl_max()] {
        out.put([ttl[0]]);
        out.put([ttl[1]]);
    }
    out.put(record.tcp_flags()[0].to_be_bytes());
    out.put(record.tcp_flags()[1].to_be_bytes());
    out.put(record.syn_len().to_be_bytes());
    out.put(record.syn_mss().to_be_bytes());
    out.put(record.sport().to_be_bytes());
    let type_and_code = u16::from_be_bytes(record.icmp());
    let icmp = icmp_in_port && matches!(record.proto(), proto::ICMP | proto::ICMPV6);
    out.put(if icmp { type_and_code } else { record.dport() }.to_be_bytes());
    out.put(record.icmp());
    out.put(type_and_code.to_be_bytes());
}

/// Writes the fields of an IPv4 flow.
pub(crate) fn ipv4(record: &RecordView<'_>, icmp_in_port: bool, out: &mut [u8; IPV4_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    put_ip(&mut out, record, 4, icmp_in_port);
    out.put([record.ip_flags()]);
    let [.., a, b, c, d] = record.src();
    out.put([a, b, c, d]);
    let [.., a, b, c, d] = record.dst();
    out.put([a, b, c, d]);
    out.end();
}

/// Writes the fields of an IPv6 flow.
pub(crate) fn ipv6(record: &RecordView<'_>, icmp_in_port: bool, out: &mut [u8; IPV6_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    put_ip(&mut out, record, 6, icmp_in_port);
    out.put(record.flow_label().to_be_bytes());
    out.put(record.src());
    out.put(record.dst());
    out.end();
}

/// Writes the fields of a flow without IP.
pub(crate) fn layer2(record: &RecordView<'_>, out: &mut [u8; LAYER2_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    out.end();
}
