//! Headers that carry other packets: tags, labels, sessions, tunnels. Their bytes, with every length, type and checksum that can be
//! derived from what they carry.

use std::net::Ipv4Addr;

use super::checksum::internet_checksum;
use super::header::{Name, join, len8, len16};

/// A header that carries another packet.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// SNAP behind [`super::Layer::Llc`] (IEEE 802 section 9.5).
    Snap {
        /// Organisation; zero says that an ethertype follows (RFC 1042).
        oui: [u8; 3],
        /// In place of the type of what is carried.
        kind: Option<u16>,
    },
    /// An entry of an MPLS label stack (RFC 3032 section 2.1); it is the last when what it carries is none.
    Mpls {
        /// Label, 20 bits.
        label: u32,
        /// Traffic class, 3 bits (RFC 5462), once "experimental".
        class: u8,
        /// Time to live.
        ttl: u8,
    },
    /// The control word of a pseudowire (RFC 4385 section 3, RFC 4448 section 4.6) with its sequence number.
    ControlWord(u16),
    /// PPPoE (RFC 2516 section 4).
    Pppoe {
        /// Code: 0 is a session's data.
        code: u8,
        /// Session.
        session: u16,
    },
    /// PPP (RFC 1661 section 2).
    Ppp(Ppp),
    /// A tag whose ethertype stands behind so many octets: VN-tag (0x8926, 4 octets), E-tag (0x893f, 6 octets; IEEE 802.1BR section 7.5).
    Tag {
        /// Its ethertype.
        tpid: u16,
        /// What stands between the two ethertypes.
        control: Vec<u8>,
    },
    /// Cisco FabricPath: forwarding tag (10 bits) and TTL (6), behind an Ethernet header of switches.
    FabricPath {
        /// Both.
        tag: u16,
    },
    /// A network service header (RFC 8300 section 2) with metadata of type 1.
    Nsh {
        /// Path, 24 bits.
        path: u32,
        /// Index.
        index: u8,
    },
    /// GRE (RFC 2784, RFC 2890).
    Gre(Gre),
    /// GRE of version 1, which carries PPP (RFC 2637 section 4.1).
    Pptp {
        /// Call, the low half of the key.
        call: u16,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number, if there is one.
        acknowledgement: Option<u32>,
    },
    /// ERSPAN type II or III (draft-foschiano-erspan-03 section 4).
    Erspan(Erspan),
    /// VXLAN (RFC 7348 section 5).
    Vxlan {
        /// Network, 24 bits.
        vni: u32,
        /// Policy group (draft-smith-vxlan-group-policy-05).
        group: Option<u16>,
    },
    /// VXLAN that says what it carries (draft-ietf-nvo3-vxlan-gpe-13 section 3.1).
    VxlanGpe {
        /// Network, 24 bits.
        vni: u32,
    },
    /// GENEVE (RFC 8926 section 3.4).
    Geneve {
        /// Network, 24 bits.
        vni: u32,
        /// Options, each a class, a type and whole words.
        options: Vec<(u16, u8, Vec<u8>)>,
    },
    /// GTP's user plane, a G-PDU (3GPP TS 29.281 section 5.1).
    Gtp(Gtp),
    /// What may stand before the IPv6 packet of Teredo (RFC 4380 section 5.1.1).
    Teredo {
        /// An authentication header without identifier and value, with this nonce.
        nonce: Option<u64>,
        /// Origin: port and address.
        origin: Option<(u16, Ipv4Addr)>,
    },
    /// L2TP version 2, a data message (RFC 2661 section 3.1).
    L2tp {
        /// Tunnel.
        tunnel: u16,
        /// Session.
        session: u16,
        /// Whether its length is said.
        length: bool,
        /// Ns and Nr.
        sequence: Option<[u16; 2]>,
        /// So many octets of padding before the payload.
        offset: Option<u16>,
    },
    /// L2TP version 3, a data message (RFC 3931 section 4.1).
    L2tpV3 {
        /// Whether it stands in UDP, where two octets of flags and version come first.
        udp: bool,
        /// Session.
        session: u32,
        /// Cookie: none, 4 or 8 octets.
        cookie: Vec<u8>,
    },
    /// EtherIP (RFC 3378 section 3).
    EtherIp,
    /// CAPWAP data (RFC 5415 section 4.3); with a radio's MAC address the frame is an IEEE 802.11 one.
    Capwap {
        /// Address of the radio.
        radio: Option<[u8; 6]>,
    },
    /// LINKTYPE_LINUX_SLL, or LINKTYPE_LINUX_SLL2 with this number of an interface: what Linux shows of any link.
    Cooked {
        /// Address of the sender.
        address: [u8; 6],
        /// The interface.
        interface: Option<u32>,
    },
    /// LINKTYPE_NULL: the address family of BSD (30 for IPv6, as Darwin has it), in either byte order.
    Loopback {
        /// Most significant octet first.
        big: bool,
    },
    /// AYIYA (draft-massar-v6ops-ayiya-02 section 4).
    Ayiya {
        /// Identity: 1, 2, 4, ... octets.
        identity: Vec<u8>,
        /// Signature: whole words.
        signature: Vec<u8>,
    },
    /// IEEE 802.11 data (section 9.3.2) from a station, three addresses; SNAP follows.
    Wireless {
        /// Access point, source, destination.
        addresses: [[u8; 6]; 3],
        /// Traffic identifier of a frame with quality of service; its highest bit says that an A-MSDU follows ([`aggregate`]).
        quality: Option<u8>,
    },
}

/// An A-MSDU (IEEE 802.11 section 9.3.2.2.2): payloads from LLC on, as subframes between these two stations.
pub fn aggregate(destination: [u8; 6], source: [u8; 6], payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for payload in payloads {
        // Each but the last is padded to whole words.
        all.resize(all.len().next_multiple_of(4), 0);
        all.extend([destination, source].as_flattened());
        all.extend(len16(payload.len()).to_be_bytes());
        all.extend(payload);
    }
    all
}

/// How PPP says what it carries.
#[derive(Clone, Debug, Default)]
pub struct Ppp {
    /// Address and control octets stand before it (RFC 1662 section 3.1).
    pub framed: bool,
    /// The protocol is one octet (RFC 1661 section 6.5).
    pub compressed: bool,
    /// In place of the protocol of what is carried.
    pub protocol: Option<u16>,
}

/// A GRE header.
#[derive(Clone, Debug, Default)]
pub struct Gre {
    /// Key.
    pub key: Option<u32>,
    /// Sequence number.
    pub sequence: Option<u32>,
    /// Whether there is a checksum.
    pub checksum: bool,
    /// In place of the type of what is carried.
    pub protocol: Option<u16>,
}

/// An ERSPAN header.
#[derive(Clone, Debug)]
pub struct Erspan {
    /// Session, 10 bits.
    pub session: u16,
    /// VLAN of the mirrored port, 12 bits.
    pub vlan: u16,
    /// Index of the port: type II. Type III has a timestamp in its place.
    pub index: Option<u32>,
    /// Eight octets of the platform, type III only.
    pub platform: Option<[u8; 8]>,
}

/// A GTP-U header.
#[derive(Clone, Debug, Default)]
pub struct Gtp {
    /// Tunnel endpoint.
    pub teid: u32,
    /// Sequence number.
    pub sequence: Option<u16>,
    /// Extension headers: type, then what stands between length and next type, 4n - 2 octets.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Carrier {
    /// Puts the header in front of the body; returns both and the header's own name.
    pub(super) fn put(&self, body: Vec<u8>, above: Name) -> (Vec<u8>, Name) {
        let (header, name) = match self {
            Self::Snap { oui, kind } => {
                let kind = kind.unwrap_or_else(|| above.ethertype(body.len()));
                ([oui.as_slice(), &kind.to_be_bytes()].concat(), Name::Nothing)
            }
            Self::Mpls { label, class, ttl } => (mpls(*label, *class, *ttl, above), Name::Both(0x8847, 137)),
            // Named as the label stack is: nothing says that it is there.
            Self::ControlWord(sequence) => (u32::from(*sequence).to_be_bytes().to_vec(), Name::Nothing),
            Self::Pppoe { code, session } => {
                let lengths = [session.to_be_bytes(), len16(body.len()).to_be_bytes()].concat();
                ([&[0x11, *code], lengths.as_slice()].concat(), Name::Ethertype(if *code == 0 { 0x8864 } else { 0x8863 }))
            }
            Self::Ppp(ppp) => (point_to_point(ppp, above), Name::Ethertype(0x880b)),
            Self::Tag { tpid, control } => {
                ([control.as_slice(), &above.ethertype(body.len()).to_be_bytes()].concat(), Name::Ethertype(*tpid))
            }
            Self::FabricPath { tag } => (tag.to_be_bytes().to_vec(), Name::Ethertype(0x8903)),
            Self::Nsh { path, index } => (service_header(*path, *index, above), Name::Ethertype(0x894f)),
            Self::Gre(gre) => (generic(gre, &body, above), Name::Protocol(47)),
            Self::Pptp { call, sequence, acknowledgement } => {
                let mut header = vec![0x30, if acknowledgement.is_some() { 0x81 } else { 0x01 }, 0x88, 0x0b];
                header.extend(len16(body.len()).to_be_bytes());
                header.extend(call.to_be_bytes());
                header.extend(sequence.to_be_bytes());
                header.extend(acknowledgement.iter().flat_map(|number| number.to_be_bytes()));
                (header, Name::Protocol(47))
            }
            Self::Erspan(erspan) => mirror(erspan),
            Self::Vxlan { vni, group } => {
                let group_id = group.unwrap_or(0).to_be_bytes();
                ([&[if group.is_some() { 0x88 } else { 0x08 }, 0], group_id.as_slice(), &number24(*vni), &[0]].concat(), Name::Nothing)
            }
            Self::VxlanGpe { vni } => ([&[0x0c, 0, 0, above.next_protocol()], number24(*vni).as_slice(), &[0]].concat(), Name::Nothing),
            Self::Geneve { vni, options } => (geneve(*vni, options, above.ethertype(body.len())), Name::Nothing),
            Self::Gtp(gtp) => (gtp_user(gtp, body.len()), Name::Nothing),
            Self::Teredo { nonce, origin } => (teredo(*nonce, *origin), Name::Nothing),
            Self::L2tp { .. } => (self.l2tp(body.len()), Name::Nothing),
            Self::L2tpV3 { udp, session, cookie } => {
                let flags: &[u8] = if *udp { &[0, 3, 0, 0] } else { &[] };
                ([flags, &session.to_be_bytes(), cookie].concat(), Name::Protocol(115))
            }
            Self::EtherIp => (vec![0x30, 0], Name::Protocol(97)),
            Self::Capwap { radio } => (capwap(*radio), Name::Nothing),
            Self::Cooked { address, interface } => (cooked(*address, *interface, above.ethertype(body.len())), Name::Nothing),
            Self::Loopback { big } => {
                let family: u32 = if above.ethertype(0) == 0x86dd { 30 } else { 2 };
                ((if *big { family.to_be_bytes() } else { family.to_le_bytes() }).to_vec(), Name::Nothing)
            }
            Self::Ayiya { identity, signature } => {
                assert!(identity.len().is_power_of_two() && signature.len().is_multiple_of(4), "lengths that AYIYA can say");
                let lengths = [identity.len().trailing_zeros().to_le_bytes()[0] << 4 | 1, len8(signature.len() / 4) << 4 | 2];
                // Authentication by a shared secret, the packet is forwarded; the time.
                let rest = [&[0x11, above.protocol(), 0, 0, 0, 9], identity.as_slice(), signature].concat();
                ([lengths.as_slice(), &rest].concat(), Name::Nothing)
            }
            Self::Wireless { addresses, quality } => {
                let mut header = vec![if quality.is_some() { 0x88 } else { 0x08 }, 1, 0, 0];
                header.extend(addresses.as_flattened());
                header.extend([0, 0]);
                header.extend(quality.iter().flat_map(|tid| [*tid, 0]));
                (header, Name::Nothing)
            }
        };
        (join(&header, body), name)
    }

    fn l2tp(&self, octets: usize) -> Vec<u8> {
        let Self::L2tp { tunnel, session, length, sequence, offset } = self else { return Vec::new() };
        let flags = u16::from(*length) << 14 | u16::from(sequence.is_some()) << 11 | u16::from(offset.is_some()) << 9 | 2;
        let mut rest = [tunnel.to_be_bytes(), session.to_be_bytes()].concat();
        rest.extend(sequence.iter().flatten().flat_map(|number| number.to_be_bytes()));
        if let Some(padding) = offset {
            rest.extend(padding.to_be_bytes());
            rest.resize(rest.len() + usize::from(*padding), 0);
        }
        let mut header = flags.to_be_bytes().to_vec();
        if *length {
            header.extend(len16(4 + rest.len() + octets).to_be_bytes());
        }
        header.extend(rest);
        header
    }
}

fn number24(number: u32) -> [u8; 3] {
    let [high, a, b, c] = number.to_be_bytes();
    assert_eq!(high, 0, "the number has 24 bits");
    [a, b, c]
}

fn mpls(label: u32, class: u8, ttl: u8, above: Name) -> Vec<u8> {
    assert!(label < 1 << 20 && class < 8, "a label has 20 bits, a traffic class 3");
    let bottom = u32::from(above.ethertype(0) != 0x8847);
    (label << 12 | u32::from(class) << 9 | bottom << 8 | u32::from(ttl)).to_be_bytes().to_vec()
}

fn point_to_point(ppp: &Ppp, above: Name) -> Vec<u8> {
    let protocol = ppp.protocol.unwrap_or_else(|| match above.ethertype(0) {
        0x0800 => 0x0021,
        0x86dd => 0x0057,
        0x8847 => 0x0281,
        other => panic!("PPP has no number for ethertype {other:#06x}"),
    });
    let [high, low] = protocol.to_be_bytes();
    let mut header = if ppp.framed { vec![0xff, 0x03] } else { Vec::new() };
    if !ppp.compressed {
        header.push(high);
    }
    header.push(low);
    header
}

/// Version 0, TTL 63, six words, metadata of type 1: four words of context.
fn service_header(path: u32, index: u8, above: Name) -> Vec<u8> {
    let mut header = (63u16 << 6 | 6).to_be_bytes().to_vec();
    // RFC 8300 section 11.2.5 has the numbers of VXLAN-GPE, with 4 for NSH and 5 for MPLS, too.
    header.extend([1, above.next_protocol()]);
    header.extend(number24(path));
    header.push(index);
    header.extend([7; 16]);
    header
}

fn generic(gre: &Gre, body: &[u8], above: Name) -> Vec<u8> {
    let flags = u16::from(gre.checksum) << 15 | u16::from(gre.key.is_some()) << 13 | u16::from(gre.sequence.is_some()) << 12;
    let mut header = flags.to_be_bytes().to_vec();
    header.extend(gre.protocol.unwrap_or_else(|| above.ethertype(body.len())).to_be_bytes());
    if gre.checksum {
        header.extend([0; 4]);
    }
    header.extend(gre.key.iter().chain(&gre.sequence).flat_map(|number| number.to_be_bytes()));
    if gre.checksum {
        let sum = internet_checksum(&[&header, body]).to_be_bytes();
        header[4..6].copy_from_slice(&sum);
    }
    header
}

fn mirror(erspan: &Erspan) -> (Vec<u8>, Name) {
    assert!(erspan.session < 1 << 10 && erspan.vlan < 1 << 12, "a session has 10 bits, a VLAN 12");
    let version: u16 = if erspan.index.is_some() { 1 } else { 2 };
    let mut header = [(version << 12 | erspan.vlan).to_be_bytes(), erspan.session.to_be_bytes()].concat();
    if let Some(index) = erspan.index {
        header.extend(index.to_be_bytes());
        return (header, Name::Ethertype(0x88be));
    }
    // Timestamp, security group, then P, frame type (0: Ethernet), hardware, direction, granularity, and whether more follows.
    header.extend([0, 0, 1, 0, 0, 0, 0, u8::from(erspan.platform.is_some())]);
    header.extend(erspan.platform.iter().flatten());
    (header, Name::Ethertype(0x22eb))
}

fn geneve(vni: u32, options: &[(u16, u8, Vec<u8>)], protocol: u16) -> Vec<u8> {
    let mut list = Vec::new();
    for (class, kind, data) in options {
        assert!(data.len().is_multiple_of(4), "an option has whole words");
        list.extend(class.to_be_bytes());
        list.extend([*kind, len8(data.len() / 4)]);
        list.extend(data);
    }
    // Section 3.5: the C bit says that some option is critical, by the high bit of its type.
    let critical = if options.iter().any(|(_, kind, _)| kind & 0x80 != 0) { 0x40 } else { 0 };
    let mut header = vec![len8(list.len() / 4), critical];
    header.extend(protocol.to_be_bytes());
    header.extend(number24(vni));
    header.push(0);
    header.extend(list);
    header
}

fn gtp_user(gtp: &Gtp, octets: usize) -> Vec<u8> {
    let mut optional = Vec::new();
    if gtp.sequence.is_some() || !gtp.extensions.is_empty() {
        optional.extend(gtp.sequence.unwrap_or(0).to_be_bytes());
        optional.extend([0, gtp.extensions.first().map_or(0, |(kind, _)| *kind)]);
    }
    for (at, (_, content)) in gtp.extensions.iter().enumerate() {
        assert!((content.len() + 2).is_multiple_of(4), "an extension header has whole words");
        optional.push(len8((content.len() + 2) / 4));
        optional.extend(content);
        optional.push(gtp.extensions.get(at + 1).map_or(0, |(kind, _)| *kind));
    }
    let flags = 0x30 | u8::from(!gtp.extensions.is_empty()) << 2 | u8::from(gtp.sequence.is_some()) << 1;
    let mut header = vec![flags, 255];
    header.extend(len16(optional.len() + octets).to_be_bytes());
    header.extend(gtp.teid.to_be_bytes());
    header.extend(optional);
    header
}

fn teredo(nonce: Option<u64>, origin: Option<(u16, Ipv4Addr)>) -> Vec<u8> {
    let mut header = Vec::new();
    if let Some(nonce) = nonce {
        header.extend([0, 1, 0, 0]);
        header.extend(nonce.to_be_bytes());
        header.push(0);
    }
    if let Some((port, address)) = origin {
        // Both are sent with every bit turned over.
        header.extend([0, 0]);
        header.extend((!port).to_be_bytes());
        header.extend((!u32::from(address)).to_be_bytes());
    }
    header
}

/// Packet type 0 (to us), hardware type 1 (Ethernet), an address of six octets in a field of eight.
fn cooked(address: [u8; 6], interface: Option<u32>, protocol: u16) -> Vec<u8> {
    let padded = [address.as_slice(), &[0, 0]].concat();
    match interface {
        None => [[0, 0, 0, 1, 0, 6].as_slice(), &padded, &protocol.to_be_bytes()].concat(),
        Some(interface) => {
            let first = [protocol.to_be_bytes(), [0, 0]].concat();
            [first.as_slice(), &interface.to_be_bytes(), &[0, 1, 0, 6], &padded].concat()
        }
    }
}

/// Preamble; header length in words; wireless binding 1 is IEEE 802.11.
fn capwap(radio: Option<[u8; 6]>) -> Vec<u8> {
    let (words, native) = if radio.is_some() { (4, 1) } else { (2, 0) };
    let mut header = vec![0, words << 3, 1 << 6 | 1 << 1 | native, if radio.is_some() { 0x10 } else { 0 }, 0, 0, 0, 0];
    if let Some(address) = radio {
        header.push(6);
        header.extend(address);
        header.push(0);
    }
    header
}
