//! One frame of every layer and tunnel the builder knows, with what a reader of it has to say.

use super::capture::{ETHERNET, LINUX_SLL, LINUX_SLL2, NULL, RAW};
use super::carrier::{Carrier, Erspan, Gre, Gtp, Ppp, aggregate};
use super::fragment::fragments;
use super::layer::{Arp, Icmp, Ipv4, Ipv6, Layer, Sctp, Tcp, TcpOption, tcp_flags};
use super::stack::Stack;

/// A frame and what it says.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it shows.
    pub name: &'static str,
    /// Its link type, a LINKTYPE number.
    pub link: u32,
    /// The frame, from its link header on.
    pub frame: Vec<u8>,
    /// Its tunnels as `sonde replay` names them, outermost first, joined by "/".
    pub tunnels: &'static str,
    /// Fields by tshark's names with their values, "field=value", in words separated by spaces; a field that occurs several times has
    /// its values joined by commas.
    pub says: &'static str,
}

const A4: [u8; 4] = [192, 0, 2, 1];
const B4: [u8; 4] = [198, 51, 100, 2];
const A6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];
const B6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2];

fn sample(name: &'static str, tunnels: &'static str, says: &'static str, stack: Stack) -> Sample {
    Sample { name, link: ETHERNET, frame: stack.build(), tunnels, says }
}

fn v4() -> Stack {
    let ip = Ipv4 { tos: 0xb8, id: 0x1234, dont_fragment: true, ttl: 61, ..Ipv4::new(A4, B4) };
    Stack::ethernet().push(ip)
}

fn v6() -> Stack {
    let ip = Ipv6 { class: 0x2e, label: 0xabcde, hop_limit: 62, ..Ipv6::new(A6, B6) };
    Stack::ethernet().push(ip)
}

/// A packet inside a tunnel: other addresses, TTL and class than the outer ones.
trait Inner {
    fn inner4(self) -> Self;
    fn inner6(self) -> Self;
    fn inner_ethernet(self) -> Self;
}

impl Inner for Stack {
    fn inner4(self) -> Self {
        self.push(Ipv4 { tos: 0x28, id: 7, ttl: 33, ..Ipv4::new([10, 1, 0, 1], [10, 2, 0, 2]) }).udp(50_001, 50_002).payload("inside of it")
    }

    fn inner6(self) -> Self {
        let ends = ([0xfd00, 0, 0, 1, 0, 0, 0, 1], [0xfd00, 0, 0, 2, 0, 0, 0, 2]);
        let syn = Tcp::new(50_003, 50_004, tcp_flags::SYN | tcp_flags::ECE | tcp_flags::CWR).at(0x0102_0304, 0);
        self.push(Ipv6 { class: 0x14, label: 0x54321, hop_limit: 34, ..Ipv6::new(ends.0, ends.1) }).push(syn)
    }

    fn inner_ethernet(self) -> Self {
        self.push(Layer::Ethernet { src: [0x06, 0, 0, 0, 0, 0x01], dst: [0x06, 0, 0, 0, 0, 0x02], ethertype: None })
    }
}

fn tag(tpid: u16, priority: u16, dei: bool, id: u16) -> Layer {
    Layer::Vlan { tpid, tci: priority << 13 | u16::from(dei) << 12 | id, ethertype: None }
}

fn mpls(label: u32, class: u8, ttl: u8) -> Carrier {
    Carrier::Mpls { label, class, ttl }
}

/// Every sample, each name once.
pub fn samples() -> Vec<Sample> {
    let mut all = link();
    all.extend(other_links());
    all.extend(labels());
    all.extend(transports());
    all.extend(extensions());
    all.extend(ip_in_ip());
    all.extend(generic());
    all.extend(mirrors());
    all.extend(overlays());
    all.extend(mobile());
    all.extend(sessions());
    all.extend(backbones());
    all.extend(stations());
    all.extend(parts());
    all
}

/// Tags, LLC, PPPoE and other things between Ethernet and IP.
fn link() -> Vec<Sample> {
    let ethernet = Stack::ethernet;
    let llc = Layer::Llc { dsap: 0xaa, ssap: 0xaa, control: 3 };
    let asks = Arp { operation: 1, sender_mac: [2, 0, 0, 0, 0, 1], sender: A4.into(), target_mac: [0; 6], target: B4.into() };
    let says = Arp { operation: 2, sender_mac: [2, 0, 0, 0, 0, 9], sender: B4.into(), target_mac: [2, 0, 0, 0, 0, 1], target: A4.into() };
    vec![
        sample("ethernet", "", "eth.type=0x0800 ip.ttl=33", ethernet().inner4()),
        sample("802.1q", "", "vlan.priority=5 vlan.dei=1 vlan.id=100", ethernet().push(tag(0x8100, 5, true, 100)).inner4()),
        sample("priority tag", "", "vlan.priority=7 vlan.dei=0 vlan.id=0", ethernet().push(tag(0x8100, 7, false, 0)).inner6()),
        sample(
            "qinq",
            "",
            "ieee8021ad.priority=3 ieee8021ad.dei=1 ieee8021ad.id=4094 vlan.priority=1 vlan.dei=0 vlan.id=2",
            ethernet().push(tag(0x88a8, 3, true, 4094)).push(tag(0x8100, 1, false, 2)).inner6(),
        ),
        sample(
            "four tags",
            "",
            "vlan.priority=0,1,2,3 vlan.dei=0,1,0,1 vlan.id=11,12,13,14",
            (0..4).fold(ethernet(), |stack, at| stack.push(tag(0x8100, at, at % 2 == 1, 11 + at))).inner4(),
        ),
        sample("old qinq", "", "vlan.id=21,22", ethernet().push(tag(0x9100, 0, false, 21)).push(tag(0x8100, 0, false, 22)).inner4()),
        sample("vn-tag", "", "vntag.dst=5 vntag.src=6", ethernet().push(long_tag(0x8926, &[0, 5, 0, 6])).inner4()),
        sample("e-tag", "", "etag.ecid_base=0x0009", ethernet().push(long_tag(0x893f, &[0, 0, 0, 9, 0, 0])).inner4()),
        sample("llc and snap", "", "llc.dsap=0xaa", ethernet().push(llc.clone()).push(snap()).inner4()),
        sample("llc in a vlan", "", "vlan.id=7 vlan.len=48", ethernet().vlan(7).push(llc).push(snap()).inner4()),
        sample("spanning tree", "", "stp.type=0x00", stp()),
        sample("fabricpath", "", "cfp.ftag=5", Stack::ethernet().push(Carrier::FabricPath { tag: 5 << 6 | 32 }).inner_ethernet().inner4()),
        sample("arp request", "", "arp.opcode=1 arp.src.proto_ipv4=192.0.2.1", ethernet().push(asks)),
        sample("arp reply in a vlan", "", "arp.opcode=2 arp.src.proto_ipv4=198.51.100.2", ethernet().vlan(9).push(says)),
        sample("pppoe with ipv4", "", "pppoe.session_id=0x1234", ethernet().push(pppoe()).push(Carrier::Ppp(Ppp::default())).inner4()),
        sample(
            "pppoe with ipv6 in a vlan",
            "",
            "pppoe.session_id=0x1234 vlan.id=7",
            ethernet().vlan(7).push(pppoe()).push(Carrier::Ppp(Ppp::default())).inner6(),
        ),
        sample(
            "pppoe with mpls",
            "",
            "pppoe.session_id=0x1234 mpls.label=17",
            ethernet().push(pppoe()).push(Carrier::Ppp(Ppp::default())).push(mpls(17, 0, 9)).inner4(),
        ),
        sample("nsh", "", "nsh.spi=74565 nsh.si=250", ethernet().push(Carrier::Nsh { path: 0x12345, index: 250 }).inner4()),
        sample("nsh with ethernet", "", "nsh.nextproto=3", ethernet().push(Carrier::Nsh { path: 1, index: 1 }).inner_ethernet().inner6()),
    ]
}

/// Frames of links that are not Ethernet.
fn other_links() -> Vec<Sample> {
    let address = [2, 0, 0, 0, 0, 9];
    let cooked = |interface| Stack::new().push(Carrier::Cooked { address, interface });
    let loopback = |big| Stack::new().push(Carrier::Loopback { big });
    let asks = Arp { operation: 1, sender_mac: address, sender: A4.into(), target_mac: [0; 6], target: B4.into() };
    let of = |link, sample: Sample| Sample { link, ..sample };
    vec![
        of(RAW, sample("raw ipv4", "", "ip.version=4", Stack::new().inner4())),
        of(RAW, sample("raw ipv6 with a tunnel", "4in6", "ipv6.version=6 ip.ttl=33", Stack::new().ipv6(A6, B6).inner4())),
        of(NULL, sample("loopback", "", "null.family=2", loopback(false).inner4())),
        of(NULL, sample("loopback with ipv6", "", "null.family=30", loopback(false).inner6())),
        of(NULL, sample("loopback of another byte order", "", "null.family=2", loopback(true).inner4())),
        of(LINUX_SLL, sample("cooked", "", "sll.src.eth=02:00:00:00:00:09 sll.etype=0x0800", cooked(None).inner4())),
        of(LINUX_SLL, sample("cooked with a tag", "", "sll.etype=0x8100 vlan.id=5", cooked(None).vlan(5).inner6())),
        of(LINUX_SLL, sample("cooked arp", "", "sll.etype=0x0806 arp.opcode=1", cooked(None).push(asks))),
        of(LINUX_SLL2, sample("cooked 2", "", "sll.ifindex=3 sll.etype=0x86dd", cooked(Some(3)).inner6())),
        of(LINUX_SLL2, sample("cooked 2 with mpls", "", "sll.etype=0x8847 mpls.label=16", cooked(Some(3)).push(mpls(16, 0, 9)).inner4())),
    ]
}

fn long_tag(tpid: u16, control: &[u8]) -> Carrier {
    Carrier::Tag { tpid, control: control.to_vec() }
}

fn snap() -> Carrier {
    Carrier::Snap { oui: [0; 3], kind: None }
}

fn pppoe() -> Carrier {
    Carrier::Pppoe { code: 0, session: 0x1234 }
}

/// A configuration message (IEEE 802.1D section 9.3.1).
fn stp() -> Stack {
    Stack::ethernet().push(Layer::Llc { dsap: 0x42, ssap: 0x42, control: 3 }).payload([0; 35])
}

/// Labels of pseudowires with Ethernet, without a control word and with one: nothing in a frame says so, a reader has to be told.
const PSEUDOWIRE: u32 = 2000;
const PSEUDOWIRE_CONTROLLED: u32 = 2001;

/// MPLS, with IP and as pseudowires.
fn labels() -> Vec<Sample> {
    let stack = || Stack::ethernet().push(mpls(100, 5, 63)).push(mpls(1_048_575, 0, 1));
    let wire = |label| Stack::ethernet().push(mpls(100, 5, 63)).push(mpls(label, 0, 1));
    let to = |dst: [u8; 6]| Layer::Ethernet { src: [0x06, 0, 0, 0, 0, 0x01], dst, ethertype: None };
    vec![
        sample("mpls", "", "mpls.label=16 mpls.exp=7 mpls.bottom=1 mpls.ttl=255", Stack::ethernet().push(mpls(16, 7, 255)).inner4()),
        sample("two labels", "", "mpls.label=100,1048575 mpls.exp=5,0 mpls.bottom=0,1 mpls.ttl=63,1", stack().inner6()),
        sample(
            "labels in a vlan",
            "",
            "vlan.id=5 mpls.label=18,19",
            Stack::ethernet().vlan(5).push(mpls(18, 0, 9)).push(mpls(19, 0, 9)).inner4(),
        ),
        sample("pseudowire", "", "mpls.label=100,2000 udp.dstport=50002", wire(PSEUDOWIRE).inner_ethernet().inner4()),
        sample(
            "pseudowire with a control word",
            "",
            "mpls.label=100,2001 pweth.cw.sequence_number=9 udp.dstport=50002",
            wire(PSEUDOWIRE_CONTROLLED).push(Carrier::ControlWord(9)).inner_ethernet().vlan(3).inner4(),
        ),
        sample(
            "pseudowire to a mac of 4",
            "",
            "mpls.label=100,2000 udp.dstport=50002",
            wire(PSEUDOWIRE).push(to([0x44, 0x38, 0x39, 0, 0, 2])).inner4(),
        ),
        sample(
            "pseudowire to a mac of 6",
            "",
            "mpls.label=100,2000 tcp.dstport=50004",
            wire(PSEUDOWIRE).push(to([0x6c, 0x62, 0x6d, 0, 0, 2])).inner6(),
        ),
    ]
}

/// What stands on IP.
fn transports() -> Vec<Sample> {
    let options = [TcpOption::Mss(1460), TcpOption::SackPermitted, TcpOption::Nop, TcpOption::WindowScale(7)];
    let every = tcp_flags::FIN | tcp_flags::PSH | tcp_flags::ACK | tcp_flags::URG | tcp_flags::AE;
    let init = [&[1, 0, 0, 20], &[0, 0, 0, 7, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1][..]].concat();
    let join = Icmp { kind: 0x16, code: 25, rest: [224, 1, 2, 3] };
    vec![
        sample("tcp syn", "", "tcp.flags=0x0002 tcp.seq_raw=5", v4().push(Tcp::new(40_000, 443, tcp_flags::SYN).at(5, 0).with(options))),
        sample(
            "tcp with every other flag",
            "",
            "tcp.flags=0x0139 tcp.ack_raw=6",
            v6().push(Tcp::new(443, 40_000, every).at(5, 6)).payload("data"),
        ),
        sample("udp", "", "udp.srcport=50011 udp.dstport=50012 ip.dsfield=0xb8 ip.id=0x1234", v4().udp(50_011, 50_012).payload("seven b")),
        sample("udp over ipv6", "", "ipv6.tclass=0x0000002e ipv6.flow=0x0abcde ipv6.hlim=62", v6().udp(50_011, 50_012).payload("seven b")),
        sample("udp-lite", "", "udp.srcport=5003", v4().push(Layer::UdpLite { src: 5003, dst: 5004, coverage: 8 }).payload("lite")),
        sample(
            "udp-lite over ipv6",
            "",
            "udp.srcport=5003",
            v6().push(Layer::UdpLite { src: 5003, dst: 5004, coverage: 0 }).payload("lite"),
        ),
        sample(
            "dccp",
            "",
            "dccp.srcport=5005 dccp.dstport=5006",
            v4().push(Layer::Dccp { src: 5005, dst: 5006, sequence: 8, service: 42 }),
        ),
        sample("sctp", "", "sctp.srcport=5007", v4().push(Sctp { src: 5007, dst: 5008, tag: 0 }).payload(init.clone())),
        sample("sctp over ipv6", "", "sctp.srcport=5007", v6().push(Sctp { src: 5007, dst: 5008, tag: 0 }).payload(init)),
        sample("icmp echo", "", "icmp.type=8 icmp.code=0", v4().icmp(8, 0, [0, 1, 0, 1]).payload("ping")),
        sample(
            "icmp unreachable",
            "",
            "icmp.type=3 icmp.code=13",
            v4().icmp(3, 13, [0; 4]).payload(v4().udp(53, 5009).payload("quoted..").build_unpadded().split_off(14)),
        ),
        sample("icmpv6 echo", "", "icmpv6.type=128 icmpv6.code=0", v6().icmpv6(128, 0, [0, 1, 0, 1]).payload("ping")),
        sample(
            "igmp",
            "",
            "igmp.type=0x16",
            Stack::ethernet().push(Ipv4 { ttl: 1, options: vec![0x94, 4, 0, 0], ..Ipv4::new(A4, [224, 1, 2, 3]) }).push(Layer::Igmp(join)),
        ),
        sample("a packet that ends before its padding", "", "ip.len=20 ip.proto=6", ended()),
        sample("esp", "", "esp.spi=0x00000abc esp.sequence=9", v4().push(Layer::Esp { spi: 0xabc, sequence: 9 }).payload([0x5a; 32])),
        sample("esp over ipv6", "", "esp.spi=0xfedcba98", v6().push(Layer::Esp { spi: 0xfedc_ba98, sequence: 9 }).payload([0x5a; 32])),
        sample("ah", "", "ah.spi=0x00000abd", v4().push(ah()).push(Tcp::new(40_000, 443, tcp_flags::SYN))),
        sample("ah over ipv6", "", "ah.spi=0x00000abd", v6().push(ah()).udp(50_011, 50_012).payload("authentic")),
    ]
}

/// An IP header alone, and behind it what looks like TCP.
fn ended() -> Stack {
    Stack::ethernet().push(Ipv4 { protocol: Some(6), total_length: Some(20), ..Ipv4::new(A4, B4) }).payload([0x50; 30])
}

fn ah() -> Layer {
    Layer::Ah { spi: 0xabd, sequence: 1, icv: vec![1; 12] }
}

/// Extension headers of IPv6.
fn extensions() -> Vec<Sample> {
    let segments = [[0xfd00, 0, 0, 0, 0, 0, 0, 0xe1], [0xfd00, 0, 0, 0, 0, 0, 0, 0xe2], B6].map(Into::into).to_vec();
    let route = |segments_left| Layer::SegmentRouting { segments_left, flags: 0, tag: 0x0107, segments: segments.clone() };
    let hop = || Layer::HopByHop(vec![5, 2, 0, 0]);
    let home = Layer::Routing { kind: 2, segments_left: 1, addresses: vec![[0xfd00, 0, 0, 0, 0, 0, 0, 0xe9].into()] };
    vec![
        sample("hop by hop", "", "ipv6.hopopts.nxt=58 icmpv6.type=143", v6().push(hop()).icmpv6(143, 0, [0; 4])),
        sample(
            "destination options",
            "",
            "ipv6.dstopts.nxt=17",
            v6().push(Layer::Destination(vec![1, 2, 0, 0])).udp(50_011, 50_012).payload("x"),
        ),
        sample("mobility's routing header", "", "ipv6.routing.type=2", v6().push(home).udp(50_011, 50_012).payload("home")),
        sample(
            "segment routing",
            "",
            "ipv6.routing.segleft=2 ipv6.routing.srh.last_entry=2 ipv6.routing.srh.tag=0107",
            v6().push(route(2)).push(Tcp::new(40_000, 443, tcp_flags::ACK)).payload("routed"),
        ),
        sample("segment routing with ipv4", "4in6", "ipv6.routing.segleft=1 ip.ttl=33", v6().push(route(1)).inner4()),
        sample("segment routing with ipv6", "6in6", "ipv6.routing.segleft=1 ipv6.hlim=62,34", v6().push(route(1)).inner6()),
        sample("segment routing with ethernet", "etherip", "ipv6.routing.segleft=0", v6().push(route(0)).inner_ethernet().inner4()),
        sample(
            "every extension",
            "",
            "ipv6.hopopts.nxt=60 ipv6.routing.nxt=44 ipv6.fraghdr.nxt=51 ah.next_header=60",
            v6().push(hop())
                .push(Layer::Destination(vec![1, 2, 0, 0]))
                .push(route(1))
                .push(Layer::Fragment { offset: 0, more: false, id: 0x0102_0304, next: None })
                .push(ah())
                .push(Layer::Destination(vec![1, 2, 0, 0]))
                .udp(50_011, 50_012)
                .payload("deep"),
        ),
    ]
}

/// A header with the router alert option (RFC 2113).
fn alert() -> Ipv4 {
    Ipv4 { options: vec![0x94, 4, 0, 0], ..Ipv4::new(A4, B4) }
}

fn ip_in_ip() -> Vec<Sample> {
    let deep = v4().ipv4([10, 9, 0, 1], [10, 9, 0, 2]).ipv6([0xfd09; 8], [0xfd0a; 8]);
    vec![
        sample("4in4", "4in4", "ip.ttl=61,33 ip.proto=4,17", v4().inner4()),
        sample("6in4", "6in4", "ip.proto=41 ipv6.hlim=34", v4().inner6()),
        sample("4in6", "4in6", "ipv6.nxt=4 ip.ttl=33", v6().inner4()),
        sample("6in6", "6in6", "ipv6.nxt=41,6 ipv6.hlim=62,34", v6().inner6()),
        sample("an encapsulation limit", "6in6", "ipv6.dstopts.nxt=41", v6().push(Layer::Destination(vec![4, 1, 4])).inner6()),
        sample("ah in tunnel mode", "4in4", "ah.next_header=4 ip.ttl=61,33", v4().push(ah()).inner4()),
        sample("options before a tunnel", "6in4", "ip.hdr_len=24 ipv6.hlim=34", Stack::ethernet().push(alert()).inner6()),
        sample("three levels", "4in4/6in4/4in6", "ip.proto=4,41,17 ipv6.nxt=4", deep.inner4()),
        sample("etherip", "etherip", "etherip.ver=3 eth.type=0x0800,0x86dd", v4().push(Carrier::EtherIp).inner_ethernet().inner6()),
        sample("mpls in ip", "mpls-in-ip", "ip.proto=137,17 mpls.label=77", v4().push(mpls(77, 1, 9)).inner4()),
        sample(
            "mpls in udp",
            "mpls-in-ip",
            "udp.dstport=6635 mpls.label=77,78",
            v4().udp(49_152, 6635).push(mpls(77, 1, 9)).push(mpls(78, 0, 9)).inner6(),
        ),
    ]
}

/// GRE in all its forms.
fn generic() -> Vec<Sample> {
    let gre = |key: Option<u32>, sequence: Option<u32>, checksum| Carrier::Gre(Gre { key, sequence, checksum, protocol: None });
    let pptp = |acknowledgement| Carrier::Pptp { call: 9, sequence: 5, acknowledgement };
    let framed = || Carrier::Ppp(Ppp { framed: true, ..Ppp::default() });
    vec![
        sample("gre", "gre", "gre.proto=0x0800 ip.ttl=61,33", v4().push(gre(None, None, false)).inner4()),
        sample("gre over ipv6", "gre", "gre.proto=0x86dd ipv6.hlim=62,34", v6().push(gre(None, None, false)).inner6()),
        sample("gre with a key", "gre", "gre.key=0x01020304", v4().push(gre(Some(0x0102_0304), None, false)).inner4()),
        sample(
            "gre with key, sequence and checksum",
            "gre",
            "gre.key=0x00000007 gre.sequence_number=3 gre.checksum.status=1",
            v4().push(gre(Some(7), Some(3), true)).inner6(),
        ),
        sample("ethernet in gre", "gre", "gre.proto=0x6558", v4().push(gre(None, None, false)).inner_ethernet().inner4()),
        sample(
            "ethernet in gre with a small key",
            "gre",
            "gre.key=0x0000002a",
            v4().push(gre(Some(42), None, false)).inner_ethernet().inner4(),
        ),
        sample(
            "ethernet in gre with key and sequence",
            "gre",
            "gre.key=0x00abcd01 gre.sequence_number=3",
            v4().push(gre(Some(0x00ab_cd01), Some(3), false)).inner_ethernet().inner4(),
        ),
        sample("nvgre", "nvgre", "gre.key=0x00abcd01", v4().push(gre(Some(0x00ab_cd01), None, false)).inner_ethernet().vlan(6).inner6()),
        sample(
            "gre in udp",
            "gre",
            "udp.dstport=4754,50002 gre.proto=0x0800",
            v4().udp(49_152, 4754).push(gre(None, None, false)).inner4(),
        ),
        sample("mpls in gre", "gre", "gre.proto=0x8847 mpls.label=77", v4().push(gre(None, None, false)).push(mpls(77, 0, 9)).inner4()),
        sample(
            "otv over gre",
            "gre",
            "mpls.label=2000 eth.type=0x0800,0x0800",
            v4().push(gre(None, None, false)).push(mpls(PSEUDOWIRE, 0, 9)).inner_ethernet().inner4(),
        ),
        sample("pptp", "gre", "gre.key.call_id=9 gre.sequence_number=5", v4().push(pptp(None)).push(framed()).inner4()),
        sample(
            "pptp with an acknowledgement",
            "gre",
            "gre.ack_number=4",
            v4().push(pptp(Some(4))).push(Carrier::Ppp(Ppp::default())).inner6(),
        ),
        sample(
            "gre with nsh",
            "gre",
            "nsh.nextproto=1",
            v4().push(gre(None, None, false)).push(Carrier::Nsh { path: 5, index: 4 }).inner4(),
        ),
    ]
}

fn mirrors() -> Vec<Sample> {
    let sequenced = || Carrier::Gre(Gre { sequence: Some(8), ..Gre::default() });
    let erspan = |index, platform| Carrier::Erspan(Erspan { session: 0x3fe, vlan: 12, index, platform });
    let first = Carrier::Gre(Gre { protocol: Some(0x88be), ..Gre::default() });
    vec![
        sample("erspan i", "gre+erspan", "gre.proto=0x88be udp.dstport=50002", v4().push(first).inner_ethernet().inner4()),
        sample(
            "erspan ii",
            "gre+erspan",
            "erspan.spanid=1022 erspan.vlan=12",
            v4().push(sequenced()).push(erspan(Some(3), None)).inner_ethernet().inner6(),
        ),
        sample(
            "erspan iii",
            "gre+erspan",
            "erspan.spanid=1022",
            v4().push(sequenced()).push(erspan(None, None)).inner_ethernet().vlan(4).inner4(),
        ),
        sample(
            "erspan iii with its platform",
            "gre+erspan",
            "erspan.spanid=1022 erspan.o=1",
            v6().push(sequenced()).push(erspan(None, Some([0x0c, 0, 0, 1, 0, 0, 0, 2]))).inner_ethernet().inner4(),
        ),
    ]
}

/// VXLAN, its extension, GENEVE.
fn overlays() -> Vec<Sample> {
    let vxlan = |vni| Carrier::Vxlan { vni, group: None };
    let gpe = || v4().udp(49_152, 4790).push(Carrier::VxlanGpe { vni: 0x00ab_cdef });
    let geneve =
        |options: &[(u16, u8, Vec<u8>)]| v4().udp(49_152, 6081).push(Carrier::Geneve { vni: 0x00ab_cdef, options: options.to_vec() });
    let options = [(0x0102, 0x80, vec![1, 2, 3, 4]), (0x0103, 1, vec![5; 8]), (0x0104, 2, Vec::new())];
    let twice = v4().udp(49_152, 4789).push(vxlan(5)).inner_ethernet().ipv4([10, 8, 0, 1], [10, 8, 0, 2]).udp(49_153, 4789).push(vxlan(6));
    vec![
        sample("vxlan", "vxlan", "vxlan.vni=11259375", v4().udp(49_152, 4789).push(vxlan(0x00ab_cdef)).inner_ethernet().inner4()),
        sample(
            "vxlan over ipv6",
            "vxlan",
            "vxlan.vni=1",
            v6().udp(49_152, 4789).push(vxlan(1)).inner_ethernet().push(tag(0x8100, 3, true, 66)).inner6(),
        ),
        sample(
            "vxlan with a policy group",
            "vxlan",
            "vxlan.gbp=300 vxlan.vni=7",
            v4().udp(49_152, 4789).push(Carrier::Vxlan { vni: 7, group: Some(300) }).inner_ethernet().inner4(),
        ),
        sample(
            "otv over udp",
            "vxlan",
            "udp.dstport=8472,50002 vxlan.vni=9",
            v4().udp(49_152, 8472).push(vxlan(9)).inner_ethernet().inner4(),
        ),
        sample("vxlan in vxlan", "vxlan/vxlan", "vxlan.vni=5,6", twice.inner_ethernet().inner6()),
        sample(
            "vxlan in the vlan of a vxlan",
            "vxlan/vxlan",
            "vxlan.vni=5,6 vlan.id=17",
            v4().udp(49_152, 4789)
                .push(vxlan(5))
                .inner_ethernet()
                .vlan(17)
                .ipv6([0xfd08; 8], [0xfd09; 8])
                .udp(49_153, 4789)
                .push(vxlan(6))
                .inner_ethernet()
                .inner4(),
        ),
        sample("vxlan-gpe with ipv4", "vxlan-gpe", "vxlan.vni=11259375 vxlan.next_proto=1", gpe().inner4()),
        sample("vxlan-gpe with ipv6", "vxlan-gpe", "vxlan.next_proto=2", gpe().inner6()),
        sample("vxlan-gpe with ethernet", "vxlan-gpe", "vxlan.next_proto=3", gpe().inner_ethernet().inner4()),
        sample("vxlan-gpe with nsh", "vxlan-gpe", "vxlan.next_proto=4", gpe().push(Carrier::Nsh { path: 5, index: 4 }).inner4()),
        sample("vxlan-gpe with mpls", "vxlan-gpe", "vxlan.next_proto=5 mpls.label=33", gpe().push(mpls(33, 0, 9)).inner4()),
        sample("geneve", "geneve", "geneve.vni=0xabcdef", geneve(&[]).inner_ethernet().inner4()),
        sample("geneve with ipv6", "geneve", "geneve.proto_type=0x86dd", geneve(&[]).inner6()),
        sample("geneve with options", "geneve", "geneve.option.class=0x0102,0x0103,0x0104", geneve(&options).inner_ethernet().inner6()),
    ]
}

/// GTP and CAPWAP.
fn mobile() -> Vec<Sample> {
    let gtp = |gtp: Gtp| v4().udp(2152, 2152).push(Carrier::Gtp(gtp));
    let teid = 0xdead_beef;
    // TS 38.415 section 5.5.2: downlink session information with QoS flow 9.
    let session = (0x85, vec![0, 9]);
    let long = (0x85, vec![0, 9, 0, 0, 0, 0]);
    // TS 29.281 section 5.2.2.2: a UDP port.
    let port = (0x40, vec![0x08, 0x68]);
    let radio = [2, 0, 0, 0, 0, 7];
    let data = || v4().udp(49_152, 5247);
    let wireless = |quality| Carrier::Wireless { addresses: [radio, [2, 0, 0, 0, 0, 8], [2, 0, 0, 0, 0, 9]], quality };
    let llc = || Layer::Llc { dsap: 0xaa, ssap: 0xaa, control: 3 };
    vec![
        sample("gtp", "gtp", "gtp.teid=0xdeadbeef", gtp(Gtp { teid, ..Gtp::default() }).inner4()),
        sample(
            "gtp with a sequence",
            "gtp",
            "gtp.teid=0xdeadbeef gtp.seq_number=0x0007",
            gtp(Gtp { teid, sequence: Some(7), ..Gtp::default() }).inner6(),
        ),
        sample(
            "gtp with an extension",
            "gtp",
            "gtp.teid=0x00000005",
            gtp(Gtp { teid: 5, extensions: vec![session.clone()], ..Gtp::default() }).inner4(),
        ),
        sample(
            "gtp with extensions",
            "gtp",
            "gtp.seq_number=0x0001",
            gtp(Gtp { teid: 6, sequence: Some(1), extensions: vec![port, session] }).inner6(),
        ),
        sample(
            "gtp with a long extension",
            "gtp",
            "gtp.teid=0x00000007",
            gtp(Gtp { teid: 7, extensions: vec![long], ..Gtp::default() }).inner4(),
        ),
        sample("capwap", "capwap", "capwap.header.flags.t=0", data().push(Carrier::Capwap { radio: None }).inner_ethernet().inner4()),
        sample(
            "capwap with 802.11",
            "capwap",
            "capwap.header.flags.t=1 wlan.sa=02:00:00:00:00:08",
            data().push(Carrier::Capwap { radio: Some(radio) }).push(wireless(None)).push(llc()).push(snap()).inner4(),
        ),
        sample(
            "capwap with 802.11 and quality of service",
            "capwap",
            "wlan.qos.tid=5",
            data().push(Carrier::Capwap { radio: Some(radio) }).push(wireless(Some(5))).push(llc()).push(snap()).inner6(),
        ),
    ]
}

/// Teredo and L2TP.
fn sessions() -> Vec<Sample> {
    let teredo = |nonce, origin| v4().udp(49_152, 3544).push(Carrier::Teredo { nonce, origin });
    let origin = Some((4000, [203, 0, 113, 9].into()));
    let l2tp = |length, sequence, offset| v4().udp(1701, 1701).push(Carrier::L2tp { tunnel: 3, session: 4, length, sequence, offset });
    let framed = || Carrier::Ppp(Ppp { framed: true, ..Ppp::default() });
    let short = || Carrier::Ppp(Ppp { compressed: true, ..Ppp::default() });
    let three = |udp, cookie: &[u8]| Carrier::L2tpV3 { udp, session: 0x0001_0002, cookie: cookie.to_vec() };
    vec![
        sample("teredo", "teredo", "ipv6.hlim=34", teredo(None, None).inner6()),
        sample("teredo with an origin", "teredo", "teredo.orig.port=4000 teredo.orig.addr=203.0.113.9", teredo(None, origin).inner6()),
        sample("teredo with authentication", "teredo", "teredo.auth.idlen=0", teredo(Some(0x0102_0304_0506_0708), origin).inner6()),
        sample("l2tp", "l2tp", "l2tp.tunnel=3 l2tp.session=4", l2tp(false, None, None).push(framed()).inner4()),
        sample(
            "l2tp with everything",
            "l2tp",
            "l2tp.tunnel=3 l2tp.length_bit=1 l2tp.Ns=1",
            l2tp(true, Some([1, 2]), Some(4)).push(framed()).inner6(),
        ),
        sample("l2tp with a short protocol", "l2tp", "l2tp.session=4", l2tp(true, None, None).push(short()).inner4()),
        sample("l2tp v3 over ip", "l2tp", "l2tp.sid=0x00010002", v4().push(three(false, &[])).inner_ethernet().inner4()),
        sample(
            "l2tp v3 over ip with a cookie",
            "l2tp",
            "l2tp.sid=0x00010002",
            v4().push(three(false, &[9, 8, 7, 6])).inner_ethernet().inner6(),
        ),
        sample(
            "l2tp v3 with a sublayer",
            "l2tp",
            "l2tp.sid=0x00010002 l2tp.l2_spec_sequence=7",
            v4().push(three(false, &[9, 8, 7, 6, 0x40, 0, 0, 7])).inner_ethernet().inner4(),
        ),
        sample(
            "l2tp v3 over udp",
            "l2tp",
            "l2tp.sid=0x00010002",
            v4().udp(1701, 1701).push(three(true, &[9, 8, 7, 6, 5, 4, 3, 2])).inner_ethernet().inner4(),
        ),
    ]
}

/// Provider backbone bridges, and tags between ethertypes.
fn backbones() -> Vec<Sample> {
    let instance = |tag: [u8; 4]| [tag.as_slice(), &[6, 0, 0, 0, 0, 2], &[6, 0, 0, 0, 0, 1]].concat();
    let ethernet = Stack::ethernet;
    let erspan = || v4().push(Carrier::Gre(Gre { protocol: Some(0x88be), ..Gre::default() })).inner_ethernet();
    let ttag = || long_tag(0x8988, &[0, 0, 0x65, 0x5a, 0xbd, 0x40]);
    let macsec = sample("macsec", "", "macsec.PN=1", ethernet().push(long_tag(0x88e5, &[1, 0, 0, 0, 0, 1])).inner4());
    vec![
        sample(
            "802.1ah",
            "",
            "ieee8021ah.isid=291 ieee8021ah.cdst=06:00:00:00:00:02",
            ethernet().push(tag(0x88a8, 0, false, 100)).push(long_tag(0x88e7, &instance([0, 0, 1, 0x23]))).inner4(),
        ),
        sample("802.1ah of instance 0", "", "ieee8021ah.isid=0", ethernet().push(long_tag(0x88e7, &instance([0xe0, 0, 0, 0]))).inner6()),
        sample("ttag", "", "ttag.type=0x0800", ethernet().push(ttag()).inner4()),
        sample("ttag in erspan", "gre+erspan", "ttag.type=0x0800 ip.ttl=61,33", erspan().push(ttag()).inner4()),
        sample("cisco metadata", "", "cmd.sgt=2", ethernet().push(long_tag(0x8909, &[1, 1, 0, 1, 0, 2])).inner4()),
        sample("hsr", "", "hsr.sequence_nr=1", ethernet().push(long_tag(0x892f, &[0x10, 0x34, 0, 1])).inner4()),
        Sample { frame: [&macsec.frame[..], &[7; 16]].concat(), ..macsec }, // An integrity check value ends it.
    ]
}

/// Frames of wireless stations in GRE, and AYIYA.
fn stations() -> Vec<Sample> {
    let [radio, station, gateway] = [[2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 8], [2, 0, 0, 0, 0, 9]];
    let gre = |quality| {
        let carried = Carrier::Gre(Gre { protocol: Some(0x8200), ..Gre::default() });
        v4().push(carried).push(Carrier::Wireless { addresses: [radio, station, gateway], quality })
    };
    let llc = || Layer::Llc { dsap: 0xaa, ssap: 0xaa, control: 3 };
    let subframe = || Stack::new().push(llc()).push(snap());
    let packets =
        [subframe().inner4().build_unpadded(), subframe().ipv4([10, 1, 0, 3], [10, 2, 0, 4]).udp(50_013, 50_014).build_unpadded()];
    let ayiya = |identity, signature| v4().udp(49_152, 5072).push(Carrier::Ayiya { identity, signature });
    vec![
        sample("802.11 in gre", "gre+ieee80211", "gre.proto=0x8200 ip.ttl=61,33", gre(None).push(llc()).push(snap()).inner4()),
        sample("802.11 in gre with quality of service", "gre+ieee80211", "wlan.qos.tid=5", gre(Some(5)).push(llc()).push(snap()).inner6()),
        sample(
            "802.11 in gre with an a-msdu",
            "gre+ieee80211",
            "wlan.qos.amsdupresent=1 ip.ttl=61,33,64",
            gre(Some(0x85)).payload(aggregate(gateway, station, &packets)),
        ),
        sample("ayiya", "ayiya", "ayiya.nextheader=0x29", ayiya(vec![7; 16], vec![8; 20]).inner6()),
        sample("ayiya with ipv4", "ayiya", "ayiya.siglen=0x00", ayiya(vec![7], Vec::new()).inner4()),
    ]
}

/// Fragments, outside of tunnels and inside.
fn parts() -> Vec<Sample> {
    let whole = |stack: Stack| fragments(&stack.udp(50_011, 50_012).payload(vec![3; 64]), 40, 77);
    let vxlan = || v4().udp(49_152, 4789).push(Carrier::Vxlan { vni: 3, group: None }).inner_ethernet();
    let gtp = || v4().udp(2152, 2152).push(Carrier::Gtp(Gtp { teid: 5, ..Gtp::default() }));
    let named = |names: [&'static str; 2], tunnels: [&'static str; 2], says: [&'static str; 2], frames: Vec<Vec<u8>>| {
        let frames = frames.into_iter().zip(names).zip(tunnels).zip(says);
        frames.map(|(((frame, name), tunnels), says)| Sample { name, link: ETHERNET, frame, tunnels, says }).collect::<Vec<_>>()
    };
    [
        named(
            ["first fragment", "last fragment"],
            [""; 2],
            ["ip.frag_offset=0 ip.flags.mf=1", "ip.frag_offset=5 ip.flags.mf=0"],
            whole(v4()),
        ),
        named(
            ["first fragment of ipv6", "last fragment of ipv6"],
            [""; 2],
            ["ipv6.fraghdr.offset=0 ipv6.fraghdr.ident=0x0000004d", "ipv6.fraghdr.offset=5 ipv6.fraghdr.more=0"],
            whole(v6()),
        ),
        named(
            ["first fragment in vxlan", "last fragment in vxlan"],
            ["vxlan"; 2],
            ["ip.frag_offset=0,0 ip.flags.mf=0,1", "ip.frag_offset=0,5 ip.flags.mf=0,0"],
            whole(vxlan().ipv4([10, 1, 0, 1], [10, 2, 0, 2])),
        ),
        named(
            ["first fragment in gtp", "last fragment in gtp"],
            ["gtp"; 2],
            ["ipv6.fraghdr.more=1", "ipv6.fraghdr.offset=5"],
            whole(gtp().ipv6([0xfd01; 8], [0xfd02; 8])),
        ),
        named(
            ["first fragment of a tunnel", "last fragment of a tunnel"],
            ["gre", ""],
            ["ip.flags.mf=1,0", "ip.frag_offset=5"],
            tunnel_in_parts(),
        ),
    ]
    .concat()
}

/// GRE whose outer packet is in fragments: only the first has something to look into, and that ends early.
fn tunnel_in_parts() -> Vec<Vec<u8>> {
    let gre = Carrier::Gre(Gre { protocol: Some(0x0800), ..Gre::default() });
    fragments(&v4().push(gre).payload(Stack::new().inner4().build_unpadded()), 40, 78)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_name_stands_for_one_frame() {
        let samples = samples();
        let names: HashSet<_> = samples.iter().map(|sample| sample.name).collect();
        let frames: HashSet<_> = samples.iter().map(|sample| sample.frame.clone()).collect();
        assert_eq!((names.len(), frames.len()), (samples.len(), samples.len()));
        assert!(samples.iter().all(|sample| !sample.says.is_empty()));
    }
}
