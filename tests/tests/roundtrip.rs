//! Round trips: what the traffic builder puts into a frame of every layer and tunnel, tshark reads, and Sonde's decoder reads the same.
//!
//! [`FIELDS`] is the table of what is compared; a sample's own words (`Sample::says`) are held against tshark alone. Where the two
//! differ and Sonde is right, [`DIFFERENCES`] says why.

use sonde_packet::{Frame, Headers, Layers, Link, Network, Tunnels, View, decapsulate, decapsulate_part, layers_part, proto, syn_options};
use sonde_tests::traffic::{ByteOrder, CaptureWriter, Format, Resolution, START, Sample, capture, samples};
use sonde_tests::tshark;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// What tshark has to be told: which dissector a port has that is none by itself, and formats that the two ends of a tunnel agree on.
const DECODE_AS: &[&str] =
    &["udp.port==8472,vxlan", "mpls.label==2000,pwethnocw", "mpls.label==2001,pwethcw", "l2tp.pw_type==0,eth", "ethertype==0x8988,ttag"];
const PREFERENCES: &[&str] = &[
    "ip.check_checksum:TRUE",
    "tcp.check_checksum:TRUE",
    "udp.check_checksum:TRUE",
    "udplite.check_checksum:TRUE",
    "sctp.checksum:CRC 32c",
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "capwap.swap_fc:FALSE",
    "tcp.relative_sequence_numbers:FALSE",
];

/// The link types by their LINKTYPE numbers; the interfaces of the capture.
const LINKS: &[(u32, Link)] = &[
    (capture::ETHERNET, Link::Ethernet),
    (capture::RAW, Link::RawIp),
    (capture::NULL, Link::Null),
    (capture::LINUX_SLL, Link::LinuxSll),
    (capture::LINUX_SLL2, Link::LinuxSll2),
];

/// Checksums that tshark verifies.
const CHECKSUMS: &[&str] = &[
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "igmp.checksum.status",
    "sctp.checksum.status",
    "dccp.checksum.status",
    "gre.checksum.status",
];

/// Cookie and sublayer of a session of L2TP version 3, which its two ends have agreed on: sample and preferences.
const COOKIES: &[(&str, &str, &str)] = &[
    ("l2tp v3 over ip", "None", "None"),
    ("l2tp v3 over ip with a cookie", "4 Byte Cookie", "None"),
    ("l2tp v3 with a sublayer", "4 Byte Cookie", "Default L2-Specific"),
    ("l2tp v3 over udp", "8 Byte Cookie", "None"),
];

/// Sample, field, and why the two differ.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("icmp unreachable", "ip.len", QUOTED),
    ("icmp unreachable", "ip.proto", QUOTED),
    ("ah in tunnel mode", "esp.spi+ah.spi", "the index is that of the metered headers, and the outer ones have it"),
    ("ah in tunnel mode", "ip.proto", "Sonde says what stands behind the authentication header"),
    ("vxlan in the vlan of a vxlan", "ieee8021ad.id+vlan.id", BETWEEN),
    ("vxlan in the vlan of a vxlan", "ieee8021ad.priority+vlan.priority", BETWEEN),
    ("vxlan in the vlan of a vxlan", "ieee8021ad.dei+vlan.dei", BETWEEN),
];
const QUOTED: &str = "the last one is that of the header it quotes";
const BETWEEN: &str = "Sonde keeps the tags before the first tunnel and that of the innermost, none between";

/// Packets that tshark calls malformed: one ends inside what it carries; of FabricPath it takes the last four octets for the FCS.
const CUT: &[&str] = &["first fragment of a tunnel", "fabricpath"];

/// A frame as Sonde decodes it.
struct Seen {
    outer: Headers,
    /// The innermost.
    metered: Headers,
    layers: Layers,
    link: Link,
    /// The packet ends before its ports.
    ended: bool,
    frame: Vec<u8>,
}

impl Seen {
    fn new(sample: &Sample) -> Self {
        let wire_len = u32::try_from(sample.frame.len()).expect("a short frame");
        let link = LINKS.iter().find(|(number, _)| *number == sample.link).expect("a link type").1;
        let frame = Frame { bytes: &sample.frame, wire_len, link, port: 1, time: START };
        let tunnels = Tunnels::new(View::Both, 8);
        let packets = decapsulate(&frame, &tunnels).unwrap_or_else(|reason| panic!("{}: {reason:?}", sample.name));
        assert!(!packets.too_deep && !packets.unreadable, "{}: {packets:?}", sample.name);
        // Of several packets of one frame the last is looked at.
        let (mut packets, mut part) = (packets, None);
        while let Some(next) = packets.next {
            (packets, part) = (decapsulate_part(&frame, &tunnels, next).expect("decoded before"), Some(next));
        }
        let (metered, layers) = layers_part(&frame, &tunnels, true, part).expect("decoded before");
        assert_eq!(packets.inner.map_or(packets.outer, |inner| inner.headers), metered, "{}", sample.name);
        let ids = layers.vlan.map(|tci| tci & 0xfff);
        assert_eq!((packets.outer.tags, &packets.outer.vlan[..]), (layers.vlan_tags, &ids[..2]), "{}: the key's tags", sample.name);
        let ended = metered.transport_truncated(&frame);
        Self { outer: packets.outer, metered, layers, link, ended, frame: sample.frame.clone() }
    }

    /// An address of a frame of Ethernet.
    fn ethernet(&self, address: [u8; 6]) -> Option<Vec<String>> {
        (self.link == Link::Ethernet).then(|| vec![mac(address)])
    }

    fn tunnelled(&self) -> bool {
        self.layers.depth > 0
    }

    /// Tags before the first IP header, then the one inside the innermost tunnel.
    fn tags(&self) -> Vec<u16> {
        let outer = self.layers.vlan.iter().take(self.layers.vlan_tags.into()).copied();
        outer.chain(self.layers.inner_vlan).collect()
    }

    /// Labels before the first IP header; nothing is said of those when others are in a tunnel.
    fn labels(&self, part: fn(u32) -> u32) -> Option<Vec<String>> {
        let labels = self.layers.mpls.iter().take(self.layers.mpls_labels.into());
        (self.layers.inner_mpls == 0).then(|| labels.map(|entry| part(*entry).to_string()).collect())
    }

    fn inner_label(&self, part: fn(u32) -> u32) -> Option<Vec<String>> {
        (self.layers.inner_mpls != 0).then(|| vec![part(self.layers.inner_mpls).to_string()])
    }

    fn inner_macs(&self) -> Option<([u8; 6], [u8; 6])> {
        let macs = &self.layers.inner_macs;
        let half = |half: &[u8]| half.try_into().expect("six octets");
        (*macs != [0; 12]).then(|| (half(&macs[..6]), half(&macs[6..])))
    }

    fn is(&self, protocols: &[u8]) -> bool {
        protocols.contains(&self.metered.protocol) && self.metered.l4_offset != 0 && !self.ended
    }

    /// A tunnel of PPTP, whose identifier is half of its key.
    fn is_call(&self) -> bool {
        self.innermost("gre") && self.layers.tunnel_id != self.layers.gre_key
    }

    fn innermost(&self, name: &str) -> bool {
        self.layers.tunnel_names().last() == Some(name)
    }
}

/// Which of the values of a field that occurs several times.
#[derive(Clone, Copy)]
enum Which {
    First,
    Last,
    All,
}

/// What Sonde says of a field: nothing where the two are not to be compared.
type Ours = fn(&Seen) -> Option<Vec<String>>;

fn one(value: impl ToString) -> Option<Vec<String>> {
    Some(vec![value.to_string()])
}

/// The value where it is there; the field must be absent where it is not.
fn there<T: ToString>(value: Option<T>) -> Option<Vec<String>> {
    Some(value.into_iter().map(|value| value.to_string()).collect())
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

fn v4(of: &Headers) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if let Network::V4(src, dst) = of.network { Some((src.into(), dst.into())) } else { None }
}

fn v6(of: &Headers) -> Option<(Ipv6Addr, Ipv6Addr)> {
    if let Network::V6(src, dst) = of.network { Some((src.into(), dst.into())) } else { None }
}

/// A field of the innermost header if that is IPv4.
fn inner4(seen: &Seen, value: impl ToString) -> Option<Vec<String>> {
    v4(&seen.metered).and_then(|_| one(value))
}

fn inner6(seen: &Seen, value: impl ToString) -> Option<Vec<String>> {
    v6(&seen.metered).and_then(|_| one(value))
}

/// Layer, tshark's field (or several, one behind the other), which of its values, and what Sonde says.
const FIELDS: &[(&str, &str, Which, Ours)] = &[
    ("Ethernet", "eth.dst+ieee8021ah.cdst+wlan.da", Which::Last, |s| s.ethernet(s.inner_macs().map_or(s.outer.dmac, |(dst, _)| dst))),
    ("Ethernet", "eth.src+ieee8021ah.csrc+wlan.sa", Which::Last, |s| s.ethernet(s.inner_macs().map_or(s.outer.smac, |(_, src)| src))),
    ("cooked", "sll.src.eth", Which::All, |s| there(matches!(s.link, Link::LinuxSll | Link::LinuxSll2).then(|| mac(s.outer.smac)))),
    ("outer Ethernet", "eth.dst", Which::First, |s| s.ethernet(s.metered.dmac).filter(|_| s.tunnelled())),
    ("outer Ethernet", "eth.src", Which::First, |s| s.ethernet(s.metered.smac).filter(|_| s.tunnelled())),
    ("VLAN", "ieee8021ad.id+vlan.id", Which::All, |s| Some(s.tags().iter().map(|tci| (tci & 0xfff).to_string()).collect())),
    ("VLAN", "ieee8021ad.priority+vlan.priority", Which::All, |s| Some(s.tags().iter().map(|tci| (tci >> 13).to_string()).collect())),
    ("VLAN", "ieee8021ad.dei+vlan.dei", Which::All, |s| Some(s.tags().iter().map(|tci| (tci >> 12 & 1).to_string()).collect())),
    ("MPLS", "mpls.label", Which::All, |s| s.labels(|entry| entry >> 12)),
    ("MPLS", "mpls.exp", Which::All, |s| s.labels(|entry| entry >> 9 & 7)),
    ("MPLS", "mpls.bottom", Which::All, |s| s.labels(|entry| entry >> 8 & 1)),
    ("MPLS", "mpls.ttl", Which::All, |s| s.labels(|entry| entry & 0xff)),
    // Of a stack inside a tunnel only the last is kept.
    ("MPLS in a tunnel", "mpls.label", Which::Last, |s| s.inner_label(|entry| entry >> 12)),
    ("MPLS in a tunnel", "mpls.exp", Which::Last, |s| s.inner_label(|entry| entry >> 9 & 7)),
    ("MPLS in a tunnel", "mpls.ttl", Which::Last, |s| s.inner_label(|entry| entry & 0xff)),
    ("802.1ah", "ieee8021ah.isid", Which::Last, |s| there(s.layers.service_instance.map(|tag| tag & 0x00ff_ffff))),
    ("PPPoE", "pppoe.session_id", Which::All, |s| there(Some(s.layers.pppoe_session).filter(|id| *id != 0).map(|id| format!("{id:#06x}")))),
    ("ARP", "arp.opcode", Which::All, |s| there(Some(s.layers.arp.operation).filter(|op| *op != 0))),
    ("ARP", "arp.src.proto_ipv4", Which::All, |s| there((s.layers.arp.operation != 0).then(|| Ipv4Addr::from(s.layers.arp.sender)))),
    ("ARP", "arp.dst.proto_ipv4", Which::All, |s| there((s.layers.arp.operation != 0).then(|| Ipv4Addr::from(s.layers.arp.target)))),
    ("IPv4", "ip.src", Which::Last, |s| v4(&s.metered).and_then(|(src, _)| one(src))),
    ("IPv4", "ip.dst", Which::Last, |s| v4(&s.metered).and_then(|(_, dst)| one(dst))),
    ("IPv4", "ip.ttl", Which::Last, |s| inner4(s, s.metered.ttl)),
    ("IPv4", "ip.proto", Which::Last, |s| inner4(s, s.metered.protocol).filter(|_| s.metered.spi == 0)),
    ("IPv4", "ip.dsfield", Which::Last, |s| inner4(s, format!("{:#04x}", s.metered.tos))),
    ("IPv4", "ip.len", Which::Last, |s| inner4(s, s.metered.octets)),
    ("IPv4", "ip.id", Which::Last, |s| inner4(s, format!("{:#06x}", s.metered.fragment.id))),
    ("IPv4", "ip.flags.df", Which::Last, |s| inner4(s, s.metered.ip_flags >> 6 & 1)),
    ("IPv4", "ip.flags.mf", Which::Last, |s| inner4(s, u8::from(s.metered.fragment.more))),
    ("IPv4", "ip.frag_offset", Which::Last, |s| inner4(s, s.metered.fragment.offset / 8)),
    ("IPv6", "ipv6.src", Which::Last, |s| v6(&s.metered).and_then(|(src, _)| one(src))),
    // With segments to visit tshark says the last one, too, behind what stands in the header.
    ("IPv6", "ipv6.dst", Which::Last, |s| v6(&s.metered).filter(|_| s.layers.srh.segments == 0).and_then(|(_, dst)| one(dst))),
    ("IPv6", "ipv6.dst", Which::First, |s| v6(&s.outer).and_then(|(_, dst)| one(dst))),
    ("IPv6", "ipv6.nxt", Which::Last, |s| inner6(s, s.metered.protocol).filter(|_| s.metered.l4_offset == s.metered.l3_offset + 40)),
    ("IPv6", "ipv6.hlim", Which::Last, |s| inner6(s, s.metered.ttl)),
    ("IPv6", "ipv6.tclass", Which::Last, |s| inner6(s, format!("{:#010x}", s.metered.tos))),
    ("IPv6", "ipv6.flow", Which::Last, |s| inner6(s, format!("{:#08x}", s.metered.flow_label))),
    ("IPv6", "ipv6.plen", Which::Last, |s| inner6(s, s.metered.octets.saturating_sub(40))),
    ("fragment", "ipv6.fraghdr.ident", Which::Last, |s| {
        let there = s.metered.fragment.id != 0;
        v6(&s.metered).map(|_| there.then(|| format!("{:#010x}", s.metered.fragment.id)).into_iter().collect())
    }),
    ("SRH", "ipv6.routing.srh.last_entry", Which::All, |s| there(s.layers.srh.segments.checked_sub(1))),
    ("SRH", "ipv6.routing.segleft", Which::All, |s| (s.layers.srh.segments > 0).then(|| vec![s.layers.srh.segments_left.to_string()])),
    ("SRH", "ipv6.routing.srh.flags", Which::All, |s| there((s.layers.srh.segments > 0).then(|| format!("{:#04x}", s.layers.srh.flags)))),
    ("SRH", "ipv6.routing.srh.tag", Which::All, |s| there((s.layers.srh.segments > 0).then(|| format!("{:04x}", s.layers.srh.tag)))),
    ("SRH", "ipv6.routing.srh.addr", Which::First, |s| there((s.layers.srh.segments > 0).then(|| Ipv6Addr::from(s.layers.srh.last)))),
    ("ESP, AH", "esp.spi+ah.spi", Which::Last, |s| there(Some(s.metered.spi).filter(|spi| *spi != 0).map(|spi| format!("{spi:#010x}")))),
    ("TCP", "tcp.srcport", Which::Last, |s| there(s.is(&[proto::TCP]).then_some(s.metered.sport))),
    ("TCP", "tcp.dstport", Which::Last, |s| there(s.is(&[proto::TCP]).then_some(s.metered.dport))),
    ("TCP", "tcp.flags", Which::Last, |s| there(s.metered.tcp.map(|tcp| format!("{:#06x}", tcp.flags)))),
    ("TCP", "tcp.seq_raw", Which::Last, |s| there(s.metered.tcp.map(|tcp| tcp.seq))),
    ("TCP", "tcp.ack_raw", Which::Last, |s| there(s.metered.tcp.map(|tcp| tcp.ack))),
    ("TCP", "tcp.window_size_value", Which::Last, |s| there(s.metered.tcp.map(|tcp| tcp.window))),
    ("TCP", "tcp.options.mss_val", Which::Last, |s| there(options(s).map(|(mss, _)| mss).filter(|mss| *mss != 0))),
    ("TCP", "tcp.options.wscale.shift", Which::Last, |s| there(options(s).and_then(|(_, shift)| shift))),
    ("UDP, UDP-Lite", "udp.srcport", Which::Last, |s| s.is(&[proto::UDP, proto::UDP_LITE]).then(|| vec![s.metered.sport.to_string()])),
    ("UDP, UDP-Lite", "udp.dstport", Which::Last, |s| s.is(&[proto::UDP, proto::UDP_LITE]).then(|| vec![s.metered.dport.to_string()])),
    ("SCTP", "sctp.srcport", Which::Last, |s| there(s.is(&[proto::SCTP]).then_some(s.metered.sport))),
    ("SCTP", "sctp.dstport", Which::Last, |s| there(s.is(&[proto::SCTP]).then_some(s.metered.dport))),
    ("DCCP", "dccp.srcport", Which::Last, |s| there(s.is(&[proto::DCCP]).then_some(s.metered.sport))),
    ("DCCP", "dccp.dstport", Which::Last, |s| there(s.is(&[proto::DCCP]).then_some(s.metered.dport))),
    ("ICMP", "icmp.type", Which::Last, |s| there(s.is(&[proto::ICMP]).then_some(s.metered.icmp[0]))),
    ("ICMP", "icmp.code", Which::Last, |s| there(s.is(&[proto::ICMP]).then_some(s.metered.icmp[1]))),
    ("ICMPv6", "icmpv6.type", Which::Last, |s| there(s.is(&[proto::ICMPV6]).then_some(s.metered.icmp[0]))),
    ("ICMPv6", "icmpv6.code", Which::Last, |s| there(s.is(&[proto::ICMPV6]).then_some(s.metered.icmp[1]))),
    ("IGMP", "igmp.type", Which::Last, |s| there(s.is(&[proto::IGMP]).then(|| format!("{:#04x}", s.metered.icmp[0])))),
    ("IGMP", "igmp.max_resp", Which::Last, |s| there(s.is(&[proto::IGMP]).then_some(s.metered.icmp[1]))),
    ("outer IPv4", "ip.src", Which::First, |s| v4(&s.outer).and_then(|(src, _)| one(src))),
    ("outer IPv4", "ip.dst", Which::First, |s| v4(&s.outer).and_then(|(_, dst)| one(dst))),
    ("outer IPv4", "ip.ttl", Which::First, |s| (s.tunnelled() && v4(&s.outer).is_some()).then(|| vec![s.layers.outer_ttl.to_string()])),
    ("outer IPv4", "ip.dsfield", Which::First, |s| {
        (s.tunnelled() && v4(&s.outer).is_some()).then(|| vec![format!("{:#04x}", s.layers.outer_tos)])
    }),
    ("outer IPv4", "ip.proto", Which::First, |s| {
        (s.tunnelled() && v4(&s.outer).is_some()).then(|| vec![s.layers.outer_protocol.to_string()])
    }),
    ("outer IPv6", "ipv6.src", Which::First, |s| v6(&s.outer).and_then(|(src, _)| one(src))),
    ("outer IPv6", "ipv6.hlim", Which::First, |s| (s.tunnelled() && v6(&s.outer).is_some()).then(|| vec![s.layers.outer_ttl.to_string()])),
    ("outer UDP", "udp.srcport", Which::First, |s| (s.layers.outer_protocol == 17).then(|| vec![s.layers.outer_ports[0].to_string()])),
    ("outer UDP", "udp.dstport", Which::First, |s| (s.layers.outer_protocol == 17).then(|| vec![s.layers.outer_ports[1].to_string()])),
    // Version 1 divides the key: the call is its low half.
    ("GRE", "gre.key", Which::Last, |s| there(s.layers.gre_key.filter(|_| !s.is_call()).map(|key| format!("{key:#010x}")))),
    ("PPTP", "gre.key.call_id", Which::Last, |s| there(s.layers.tunnel_id.filter(|_| s.is_call()))),
    ("PPTP", "gre.key.payload_length", Which::Last, |s| there(s.layers.gre_key.filter(|_| s.is_call()).map(|key| key >> 16))),
    ("VXLAN", "vxlan.vni", Which::Last, |s| there(s.layers.tunnel_id.filter(|_| s.innermost("vxlan") || s.innermost("vxlan-gpe")))),
    ("GENEVE", "geneve.vni", Which::Last, |s| there(s.layers.tunnel_id.filter(|_| s.innermost("geneve")).map(|id| format!("{id:#08x}")))),
    ("GTP-U", "gtp.teid", Which::Last, |s| there(s.layers.tunnel_id.filter(|_| s.innermost("gtp")).map(|id| format!("{id:#010x}")))),
    ("ERSPAN", "erspan.spanid", Which::Last, |s| there(s.layers.tunnel_id.filter(|_| s.innermost("gre+erspan")))),
];

/// Maximum segment size and window scale of a SYN.
fn options(seen: &Seen) -> Option<(u16, Option<u8>)> {
    seen.metered.tcp.filter(|tcp| tcp.flags & sonde_packet::Tcp::SYN != 0)?;
    let found = syn_options(seen.frame.get(usize::from(seen.metered.l4_offset)..)?);
    Some((found.mss.unwrap_or(0), found.window_scale))
}

/// A frame's fields by tshark's names.
type Row = BTreeMap<String, Vec<String>>;

/// The values tshark has for each of the fields, a row a frame; nothing when tshark is not installed.
fn asked(file: &Path, preferences: &[String], fields: &BTreeSet<&str>) -> Option<Vec<Row>> {
    let mut command = tshark::tshark(file)?;
    command.args(["-E", "separator=\t", "-E", "occurrence=a", "-E", "aggregator=|"]);
    for preference in PREFERENCES.iter().copied().chain(preferences.iter().map(String::as_str)) {
        command.args(["-o", preference]);
    }
    for rule in DECODE_AS {
        command.args(["-d", rule]);
    }
    let lines = tshark::lines(&mut command, fields.iter().copied());
    let row = |line: &String| {
        let values = line.split('\t').map(|value| value.split('|').filter(|v| !v.is_empty()).map(number).collect());
        fields.iter().map(|field| (*field).to_owned()).zip(values).collect()
    };
    Some(lines.iter().map(row).collect())
}

/// A truth value as tshark 4.0 writes it; 4.4 writes the word.
fn number(value: &str) -> String {
    match value {
        "True" => "1",
        "False" => "0",
        other => other,
    }
    .to_owned()
}

/// The rows of all samples, each read with what tshark has to know of it.
fn rows(samples: &[Sample], file: &Path, fields: &BTreeSet<&str>) -> Option<Vec<Row>> {
    let mut rows = asked(file, &[], fields)?;
    assert_eq!(rows.len(), samples.len());
    for (name, cookie, sublayer) in COOKIES {
        let at = samples.iter().position(|sample| sample.name == *name).expect("a sample of this name");
        let agreed = [format!("l2tp.cookie_size:{cookie}"), format!("l2tp.l2_specific:{sublayer}")];
        rows[at] = asked(file, &agreed, fields)?.swap_remove(at);
    }
    Some(rows)
}

/// A sample's own words: field and values.
fn said(sample: &Sample) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    sample
        .says
        .split(' ')
        .map(|words| words.split_once('=').expect("field=value"))
        .map(|(field, values)| (field, values.split(',').collect()))
}

/// The tunnels of a frame by tshark's chain of protocols, in Sonde's names; NVGRE is GRE there.
fn tunnels(theirs: &Row) -> String {
    let protocols = theirs["frame.protocols"].join("");
    let (mut names, mut between, mut before) = (Vec::new(), Vec::new(), "");
    // What an ICMP error quotes is no tunnel.
    for protocol in protocols.split(':').take_while(|protocol| !protocol.starts_with("icmp")) {
        // tshark 4.4 does not name IP between MPLS and a transport.
        let implied = between.last() == Some(&"mpls") && matches!(protocol, "udp" | "tcp");
        let version = match protocol {
            "ip" => "4",
            "ipv6" => "6",
            _ if implied => "4",
            other => {
                between.push(other);
                continue;
            }
        };
        let has = |name: &str| between.contains(&name);
        let kinds = ["erspan", "gre", "vxlan", "geneve", "gtp", "teredo", "l2tp", "capwap.data", "etherip", "ayiya"];
        // Another subframe of an A-MSDU is beside the first, not inside.
        let beside = has("llc") && has("udp") && !names.is_empty();
        if !before.is_empty() && !beside {
            names.push(match kinds.into_iter().find(|kind| has(kind)) {
                Some("erspan") => "gre+erspan".to_owned(),
                Some("gre") if has("wlan") => "gre+ieee80211".to_owned(),
                Some("capwap.data") => "capwap".to_owned(),
                Some(kind) => kind.to_owned(),
                // It is known by its fields only.
                None if !theirs["vxlan.next_proto"].is_empty() => "vxlan-gpe".to_owned(),
                None if has("mpls") => "mpls-in-ip".to_owned(),
                None if has("eth") => "etherip".to_owned(),
                None => format!("{version}in{before}"),
            });
        }
        before = version;
        between.clear();
    }
    names.join("/")
}

fn capture_of(samples: &[Sample], path: &Path) {
    let (format, resolution) = (Format::PcapNg, Resolution::Nano);
    let mut writer = CaptureWriter::new(File::create(path).unwrap(), format, resolution, ByteOrder::Little, LINKS[0].0).unwrap();
    LINKS[1..].iter().for_each(|(number, _)| writer.add_interface(*number).unwrap());
    for (sample, time) in samples.iter().zip(START..) {
        let interface = (0..).zip(LINKS).find(|(_, (number, _))| *number == sample.link).expect("a link type").0;
        writer.frame(interface, time, &sample.frame).unwrap();
    }
    writer.finish().unwrap();
}

/// What Sonde says of a sample against what tshark says, a line a difference. `compared` counts the values of each row of [`FIELDS`].
fn compare(sample: &Sample, theirs: &Row, lines: &mut Vec<String>, compared: &mut [usize]) {
    let seen = Seen::new(sample);
    for ((layer, fields, which, ours), compared) in FIELDS.iter().zip(compared) {
        let Some(ours) = ours(&seen) else { continue };
        let all: Vec<&String> = fields.split('+').flat_map(|field| &theirs[field]).collect();
        let theirs: Vec<&String> = match which {
            Which::First => all.first().into_iter().copied().collect(),
            Which::Last => all.last().into_iter().copied().collect(),
            Which::All => all,
        };
        *compared += theirs.len();
        let excused = DIFFERENCES.iter().any(|(name, field, _)| *name == sample.name && field == fields);
        if !excused && ours.iter().ne(theirs.iter().copied()) {
            lines.push(format!("{}: {layer}: {fields}: tshark {theirs:?}, Sonde {ours:?}", sample.name));
        }
    }
}

#[test]
fn tshark_and_sonde_read_what_the_builder_wrote() {
    let samples = samples();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("samples.pcapng");
    capture_of(&samples, &path);
    let mut fields: BTreeSet<&str> = FIELDS.iter().flat_map(|(_, fields, ..)| fields.split('+')).collect();
    fields.extend(samples.iter().flat_map(said).map(|(field, _)| field));
    fields.extend(CHECKSUMS);
    fields.extend(["frame.protocols", "_ws.expert.message", "_ws.malformed"]);
    let Some(rows) = rows(&samples, &path, &fields) else { return };
    let (mut lines, mut compared) = (Vec::new(), vec![0; FIELDS.len()]);
    for (sample, theirs) in samples.iter().zip(&rows) {
        let protocols = theirs["frame.protocols"].join("");
        for (field, values) in said(sample) {
            if values != theirs[field] {
                lines.push(format!("{}: {field}: written {values:?}, tshark {:?} ({protocols})", sample.name, theirs[field]));
            }
        }
        if tunnels(theirs) != sample.tunnels.replace("nvgre", "gre") {
            lines.push(format!("{}: tunnels {}, tshark {protocols}", sample.name, sample.tunnels));
        }
        let wrong = CHECKSUMS.iter().filter(|field| theirs[**field].iter().any(|status| status == "0"));
        lines.extend(wrong.map(|field| format!("{}: {field} is bad ({protocols})", sample.name)));
        if !theirs["_ws.malformed"].is_empty() && !CUT.contains(&sample.name) {
            lines.push(format!("{}: malformed {:?} ({protocols})", sample.name, theirs["_ws.expert.message"]));
        }
        compare(sample, theirs, &mut lines, &mut compared);
    }
    println!("{} samples, {} values of {} fields compared", samples.len(), compared.iter().sum::<usize>(), FIELDS.len());
    let idle = FIELDS.iter().zip(&compared).filter(|(_, compared)| **compared == 0);
    lines.extend(idle.map(|((layer, fields, ..), _)| format!("{layer}: {fields}: no sample has a value")));
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn sonde_names_the_tunnels_of_every_sample() {
    for sample in samples() {
        let names = Seen::new(&sample).layers.tunnel_names().collect::<Vec<_>>().join("/");
        assert_eq!(names, sample.tunnels, "{}", sample.name);
    }
}
