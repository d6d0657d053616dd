//! Link types: what a recording says its frames begin with (<https://www.tcpdump.org/linktypes.html>).
//!
//! A few link types put a header of the capturing machine before the frame: radiotap, PPI, NFLOG, Juniper's and others. The reader takes
//! it off, so that lengths and octets are those of the frame on the link.

use super::pseudo::{self, Pseudo};
use sonde_packet::Link;

/// What is done with the frames of a link type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// They begin with the link header.
    Plain(Link),
    /// They begin with a header of the capturing machine.
    Behind(Pseudo),
    /// They are not read.
    Unread,
}

/// The frames of one interface: their link type, and the octets of their frame check sequence (FCS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    number: u16,
    reading: Reading,
    /// Octets of FCS at the end of each frame on the wire.
    fcs: u8,
}

impl Frames {
    /// Of a LINKTYPE number.
    pub(super) fn of(number: u16, fcs: u8) -> Self {
        Self { number, reading: reading(number), fcs }
    }

    /// The same with another FCS.
    pub(super) fn with_fcs(self, fcs: u8) -> Self {
        Self { fcs, ..self }
    }

    /// The number of a link type whose frames are not read.
    #[inline(always)]
    pub(super) fn unread(self) -> Option<u16> {
        (self.reading == Reading::Unread).then_some(self.number)
    }

    /// The link header on, and the length on the wire without FCS. A frame whose first header is cut is empty.
    #[inline(always)]
    pub(super) fn cut(self, bytes: &[u8], wire: u32) -> (Link, &[u8], u32) {
        match self.reading {
            Reading::Plain(link) if self.fcs == 0 => (link, bytes, wire),
            Reading::Plain(link) => without_fcs(link, bytes, wire, self.fcs),
            Reading::Behind(pseudo) => behind(pseudo, bytes, wire, self.fcs),
            Reading::Unread => (Link::Unknown, bytes, wire),
        }
    }
}

#[cold]
fn behind(pseudo: Pseudo, bytes: &[u8], wire: u32, fcs: u8) -> (Link, &[u8], u32) {
    let found = pseudo::strip(pseudo, bytes);
    let rest = bytes.get(found.octets..).unwrap_or_default();
    let octets = u32::try_from(found.octets).unwrap_or(u32::MAX);
    // NFLOG and PPI say how long what they carry is; what is behind it is theirs again.
    let rest = rest.get(..found.length.unwrap_or(rest.len())).unwrap_or(rest);
    let wire = match found.length {
        Some(length) => u32::try_from(length).unwrap_or(u32::MAX),
        None => wire.saturating_sub(octets),
    };
    without_fcs(found.link, rest, wire, found.fcs.unwrap_or(fcs))
}

/// Takes the FCS off. It stands at the end of the frame on the wire: a frame that was cut when it was captured may not have it.
#[cold]
fn without_fcs(link: Link, bytes: &[u8], wire: u32, fcs: u8) -> (Link, &[u8], u32) {
    let wire = wire.saturating_sub(fcs.into());
    (link, bytes.get(..wire as usize).unwrap_or(bytes), wire)
}

fn reading(number: u16) -> Reading {
    match number {
        1 => Reading::Plain(Link::Ethernet),
        0 | 108 => Reading::Plain(Link::Null),
        // 12 and 14 are the DLT_RAW of the BSDs, which old files carry in the place of 101.
        12 | 14 | 101 | 228 | 229 => Reading::Plain(Link::RawIp),
        113 => Reading::Plain(Link::LinuxSll),
        276 => Reading::Plain(Link::LinuxSll2),
        9 => Reading::Plain(Link::Ppp),
        50 => Reading::Plain(Link::PppSerial),
        51 => Reading::Plain(Link::Pppoe),
        104 => Reading::Plain(Link::CiscoHdlc),
        105 => Reading::Plain(Link::Ieee80211),
        219 => Reading::Plain(Link::Mpls),
        _ => pseudo::of(number).map_or(Reading::Unread, Reading::Behind),
    }
}

/// The name of a link type in the registry, for people.
pub fn name(number: u16) -> &'static str {
    NAMES
        .binary_search_by_key(&number, |(number, _)| *number)
        .ok()
        .and_then(|at| NAMES.get(at))
        .map_or("no name is known", |(_, name)| *name)
}

/// The registry, by number.
const NAMES: &[(u16, &str)] = &[
    (0, "NULL"),
    (1, "ETHERNET"),
    (3, "AX25"),
    (6, "IEEE802_5, token ring"),
    (7, "ARCNET_BSD"),
    (8, "SLIP"),
    (9, "PPP"),
    (10, "FDDI"),
    (50, "PPP_HDLC"),
    (51, "PPP_ETHER"),
    (99, "SYMANTEC_FIREWALL"),
    (100, "ATM_RFC1483"),
    (101, "RAW"),
    (104, "C_HDLC"),
    (105, "IEEE802_11"),
    (106, "ATM_CLIP"),
    (107, "FRELAY"),
    (108, "LOOP"),
    (109, "ENC"),
    (113, "LINUX_SLL"),
    (114, "LTALK"),
    (117, "PFLOG"),
    (119, "IEEE802_11_PRISM"),
    (122, "IP_OVER_FC"),
    (123, "SUNATM"),
    (127, "IEEE802_11_RADIOTAP"),
    (129, "ARCNET_LINUX"),
    (130, "JUNIPER_MLPPP"),
    (131, "JUNIPER_MLFR"),
    (132, "JUNIPER_ES"),
    (133, "JUNIPER_GGSN"),
    (134, "JUNIPER_MFR"),
    (135, "JUNIPER_ATM2"),
    (136, "JUNIPER_SERVICES"),
    (137, "JUNIPER_ATM1"),
    (138, "APPLE_IP_OVER_IEEE1394"),
    (139, "MTP2_WITH_PHDR"),
    (140, "MTP2"),
    (141, "MTP3"),
    (142, "SCCP"),
    (143, "DOCSIS"),
    (144, "LINUX_IRDA"),
    (147, "USER0"),
    (148, "USER1"),
    (149, "USER2"),
    (150, "USER3"),
    (151, "USER4"),
    (152, "USER5"),
    (153, "USER6"),
    (154, "USER7"),
    (155, "USER8"),
    (156, "USER9"),
    (157, "USER10"),
    (158, "USER11"),
    (159, "USER12"),
    (160, "USER13"),
    (161, "USER14"),
    (162, "USER15"),
    (163, "IEEE802_11_AVS"),
    (164, "JUNIPER_MONITOR"),
    (165, "BACNET_MS_TP"),
    (166, "PPP_PPPD"),
    (167, "JUNIPER_PPPOE"),
    (168, "JUNIPER_PPPOE_ATM"),
    (169, "GPRS_LLC"),
    (177, "LINUX_LAPD"),
    (178, "JUNIPER_ETHER"),
    (179, "JUNIPER_PPP"),
    (180, "JUNIPER_FRELAY"),
    (181, "JUNIPER_CHDLC"),
    (182, "MFR"),
    (183, "JUNIPER_VP"),
    (187, "BLUETOOTH_HCI_H4"),
    (189, "USB_LINUX"),
    (192, "PPI"),
    (194, "JUNIPER_ISM"),
    (195, "IEEE802_15_4_WITHFCS"),
    (196, "SITA"),
    (197, "ERF"),
    (200, "JUNIPER_ST"),
    (201, "BLUETOOTH_HCI_H4_WITH_PHDR"),
    (203, "LAPD"),
    (204, "PPP_WITH_DIR"),
    (205, "C_HDLC_WITH_DIR"),
    (206, "FRELAY_WITH_DIR"),
    (209, "IPMB_LINUX"),
    (215, "IEEE802_15_4_NONASK_PHY"),
    (219, "MPLS"),
    (220, "USB_LINUX_MMAPPED"),
    (224, "FC_2"),
    (225, "FC_2_WITH_FRAME_DELIMS"),
    (226, "IPNET"),
    (227, "CAN_SOCKETCAN"),
    (228, "IPV4"),
    (229, "IPV6"),
    (230, "IEEE802_15_4_NOFCS"),
    (231, "DBUS"),
    (235, "DVB_CI"),
    (236, "MUX27010"),
    (237, "STANAG_5066_D_PDU"),
    (238, "JUNIPER_ATM_CEMIC"),
    (239, "NFLOG"),
    (240, "NETANALYZER"),
    (241, "NETANALYZER_TRANSPARENT"),
    (242, "IPOIB"),
    (243, "MPEG_2_TS"),
    (247, "INFINIBAND"),
    (248, "SCTP"),
    (249, "USBPCAP"),
    (251, "BLUETOOTH_LE_LL"),
    (252, "WIRESHARK_UPPER_PDU"),
    (253, "NETLINK"),
    (254, "BLUETOOTH_LINUX_MONITOR"),
    (258, "PKTAP"),
    (259, "EPON"),
    (265, "ISO_14443"),
    (266, "RDS"),
    (268, "OPENFLOW"),
    (270, "ZWAVE_R1_R2"),
    (271, "IPMI_HPM_2"),
    (272, "ZWAVE_R3"),
    (274, "ETHERNET_MPACKET"),
    (275, "DISPLAYPORT_AUX"),
    (276, "LINUX_SLL2"),
    (278, "OPENVIZSLA"),
    (279, "EBHSCR"),
    (280, "VPP_DISPATCH"),
    (281, "DSA_TAG_BRCM"),
    (282, "DSA_TAG_BRCM_PREPEND"),
    (283, "IEEE802_15_4_TAP"),
    (284, "DSA_TAG_DSA"),
    (285, "DSA_TAG_EDSA"),
    (288, "USB_2_0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_and_names_every_type_that_is_read() {
        assert!(NAMES.is_sorted_by(|(a, _), (b, _)| a < b));
        for number in (0..=u16::MAX).filter(|number| reading(*number) != Reading::Unread && ![12, 14].contains(number)) {
            assert_ne!(name(number), "no name is known", "{number}");
        }
        assert_eq!((name(147), name(9999)), ("USER0", "no name is known"));
    }

    #[test]
    fn an_fcs_is_taken_off_where_it_was_captured() {
        let frames = Frames::of(1, 4);
        let octets = [7; 64];
        assert_eq!(frames.cut(&octets, 64), (Link::Ethernet, &octets[..60], 60));
        // Cut by the snap length: before the FCS, and inside it.
        assert_eq!(frames.cut(&octets[..50], 64), (Link::Ethernet, &octets[..50], 60));
        assert_eq!(frames.cut(&octets[..62], 64), (Link::Ethernet, &octets[..60], 60));
        assert_eq!(frames.cut(&octets[..2], 2), (Link::Ethernet, &octets[..0], 0));
    }
}
