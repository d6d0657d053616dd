//! The information elements Sonde sends, from IANA's registry "IP Flow Information Export (IPFIX) Entities".

/// Private enterprise number of reverse elements (RFC 5103 section 6.1): the element's own id, counted in the other direction.
pub const REVERSE_PEN: u32 = 29_305;

/// Private enterprise number of ntop, whose nProbe has elements for what IANA has none for. Their names are nProbe's.
pub const NTOP_PEN: u32 = 35_632;

/// Private enterprise number of CESNET, whose ipfixprobe has elements for what a SYN says, for ARP and for the pattern of a flow's
/// packets. Their names are those of libfds, their lengths those that ipfixprobe sends (libfds has 16 bits for some counters).
pub const CESNET_PEN: u32 = 8057;

/// Private enterprise number of Flowmon Networks: how a TCP connection performed, forward, in microseconds. Their names are those of libfds.
pub const FLOWMON_PEN: u32 = 39_499;

/// Length of an element whose every value says its own length (RFC 7011 section 7).
pub const VARIABLE: u16 = 0xffff;

/// One information element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Enterprise number; 0 is IANA.
    pub pen: u32,
    /// Number within the enterprise.
    pub id: u16,
    /// Octets Sonde sends of it, or [`VARIABLE`].
    pub length: u16,
    /// Name in the registry.
    pub name: &'static str,
    /// Whether it may also be sent for the reverse direction. RFC 5103 section 6.1: identifiers, statistics of processes and
    /// `biflowDirection` have no reverse; keys and times stand for both directions of a record, so Sonde never reverses them.
    pub reversible: bool,
}

const fn one(id: u16, length: u16, name: &'static str) -> Element {
    Element { pen: 0, id, length, name, reversible: false }
}

const fn both(id: u16, length: u16, name: &'static str) -> Element {
    Element { pen: 0, id, length, name, reversible: true }
}

const fn cesnet(id: u16, length: u16, name: &'static str) -> Element {
    Element { pen: CESNET_PEN, id, length, name, reversible: false }
}

const fn ntop(id: u16, length: u16, name: &'static str) -> Element {
    Element { pen: NTOP_PEN, id, length, name, reversible: false }
}

const fn flowmon(id: u16, length: u16, name: &'static str) -> Element {
    Element { pen: FLOWMON_PEN, id, length, name, reversible: false }
}

/// Every element Sonde sends, sorted by enterprise and id.
pub const ELEMENTS: &[Element] = &[
    both(1, 8, "octetDeltaCount"),
    both(2, 8, "packetDeltaCount"),
    one(4, 1, "protocolIdentifier"),
    both(5, 1, "ipClassOfService"),
    both(6, 2, "tcpControlBits"),
    one(7, 2, "sourceTransportPort"),
    one(8, 4, "sourceIPv4Address"),
    one(9, 1, "sourceIPv4PrefixLength"),
    one(10, 4, "ingressInterface"),
    one(11, 2, "destinationTransportPort"),
    one(12, 4, "destinationIPv4Address"),
    one(13, 1, "destinationIPv4PrefixLength"),
    one(16, 4, "bgpSourceAsNumber"),
    one(17, 4, "bgpDestinationAsNumber"),
    one(27, 16, "sourceIPv6Address"),
    one(28, 16, "destinationIPv6Address"),
    one(29, 1, "sourceIPv6PrefixLength"),
    one(30, 1, "destinationIPv6PrefixLength"),
    one(31, 4, "flowLabelIPv6"),
    both(32, 2, "icmpTypeCodeIPv4"),
    one(40, 8, "exportedOctetTotalCount"),
    one(41, 8, "exportedMessageTotalCount"),
    one(42, 8, "exportedFlowRecordTotalCount"),
    both(52, 1, "minimumTTL"),
    both(53, 1, "maximumTTL"),
    one(56, 6, "sourceMacAddress"),
    one(58, 2, "vlanId"),
    one(60, 1, "ipVersion"),
    one(70, 3, "mplsTopLabelStackSection"),
    one(71, 3, "mplsLabelStackSection2"),
    one(72, 3, "mplsLabelStackSection3"),
    one(73, 3, "mplsLabelStackSection4"),
    one(74, 3, "mplsLabelStackSection5"),
    one(75, 3, "mplsLabelStackSection6"),
    one(80, 6, "destinationMacAddress"),
    one(82, VARIABLE, "interfaceName"),
    one(95, 3, "applicationId"),
    one(136, 1, "flowEndReason"),
    both(139, 2, "icmpTypeCodeIPv6"),
    one(148, 8, "flowId"),
    one(149, 4, "observationDomainId"),
    one(152, 8, "flowStartMilliseconds"),
    one(153, 8, "flowEndMilliseconds"),
    one(156, 8, "flowStartNanoseconds"),
    one(157, 8, "flowEndNanoseconds"),
    one(166, 8, "notSentFlowTotalCount"),
    both(176, 1, "icmpTypeIPv4"),
    both(177, 1, "icmpCodeIPv4"),
    both(178, 1, "icmpTypeIPv6"),
    both(179, 1, "icmpCodeIPv6"),
    both(184, 4, "tcpSequenceNumber"),
    both(186, 2, "tcpWindowSize"),
    both(192, 1, "ipTTL"),
    one(197, 1, "fragmentFlags"),
    one(200, 1, "mplsTopLabelTTL"),
    one(202, 1, "mplsLabelStackDepth"),
    both(209, 8, "tcpOptions"),
    one(210, VARIABLE, "paddingOctets"),
    both(218, 2, "tcpSynTotalCount"),
    both(219, 2, "tcpFinTotalCount"),
    both(220, 2, "tcpRstTotalCount"),
    both(221, 4, "tcpPshTotalCount"),
    both(222, 4, "tcpAckTotalCount"),
    both(223, 2, "tcpUrgTotalCount"),
    one(231, 8, "initiatorOctets"),
    one(232, 8, "responderOctets"),
    one(239, 1, "biflowDirection"),
    one(243, 2, "dot1qVlanId"),
    one(244, 1, "dot1qPriority"),
    one(245, 2, "dot1qCustomerVlanId"),
    one(246, 1, "dot1qCustomerPriority"),
    one(256, 2, "ethernetType"),
    one(291, VARIABLE, "basicList"),
    one(295, 4, "IPSecSPI"),
    one(296, 4, "greKey"),
    one(303, 2, "informationElementId"),
    one(339, 1, "informationElementDataType"),
    one(340, VARIABLE, "informationElementDescription"),
    one(341, VARIABLE, "informationElementName"),
    one(344, 1, "informationElementSemantics"),
    one(345, 2, "informationElementUnits"),
    one(346, 4, "privateEnterpriseNumber"),
    one(351, 8, "layer2SegmentId"),
    both(352, 8, "layer2OctetDeltaCount"),
    one(388, 1, "dot1qDEI"),
    one(389, 1, "dot1qCustomerDEI"),
    one(412, 4, "dot1qServiceInstanceId"),
    one(414, 6, "dot1qCustomerSourceMacAddress"),
    one(415, 6, "dot1qCustomerDestinationMacAddress"),
    one(492, 1, "srhFlagsIPv6"),
    one(493, 2, "srhTagIPv6"),
    one(494, 16, "srhSegmentIPv6"),
    one(498, 1, "srhSegmentsIPv6Left"),
    one(507, 4, "gtpuTEid"),
    cesnet(33, 2, "ARPOpcode"),
    cesnet(35, 16, "ARPSrcPA"),
    cesnet(37, 16, "ARPDstPa"),
    cesnet(900, 2, "tcpMss"),
    cesnet(902, 2, "tcpSynSize"),
    cesnet(1013, 2, "packetLength"),
    cesnet(1014, 8, "packetTime"),
    cesnet(1015, 1, "packetFlag"),
    cesnet(1016, 1, "packetDirection"),
    cesnet(1020, 4, "ntsMeanPacketPayload"),
    cesnet(1021, 2, "ntsMinPacketPayload"),
    cesnet(1022, 2, "ntsMaxPacketPayload"),
    cesnet(1023, 4, "ntsStdevPacketPayload"),
    cesnet(1024, 4, "ntsKurtosisPacketPayload"),
    cesnet(1025, 4, "ntsRootMeanSquarePacketPayload"),
    cesnet(1026, 4, "ntsAverageDispersionPacketPayload"),
    cesnet(1027, 4, "ntsMeanScaledTime"),
    cesnet(1028, 4, "ntsMeanDifftimes"),
    cesnet(1029, 4, "ntsMinDifftimes"),
    cesnet(1030, 4, "ntsMaxDifftimes"),
    cesnet(1031, 4, "ntsTimeDistribution"),
    cesnet(1032, 4, "ntsSwitchingRatio"),
    cesnet(1050, 4, "burstSrcPackets"),
    cesnet(1051, 4, "burstSrcBytes"),
    cesnet(1052, 8, "burstSrcTimeStart"),
    cesnet(1053, 8, "burstSrcTimeStop"),
    cesnet(1054, 4, "burstDstPackets"),
    cesnet(1055, 4, "burstDstBytes"),
    cesnet(1056, 8, "burstDstTimeStart"),
    cesnet(1057, 8, "burstDstTimeStop"),
    cesnet(1060, 4, "phistSrcSizes"),
    cesnet(1061, 4, "phistSrcInterPacketTime"),
    cesnet(1062, 4, "phistDstSizes"),
    cesnet(1063, 4, "phistDstInterPacketTime"),
    ntop(101, 2, "SRC_IP_COUNTRY"),
    ntop(102, 16, "SRC_IP_CITY"),
    ntop(103, 2, "DST_IP_COUNTRY"),
    ntop(104, 16, "DST_IP_CITY"),
    ntop(106, 4, "UPSTREAM_TUNNEL_ID"),
    ntop(109, 4, "RETRANSMITTED_IN_PKTS"),
    ntop(110, 4, "RETRANSMITTED_OUT_PKTS"),
    ntop(111, 4, "OOORDER_IN_PKTS"),
    ntop(112, 4, "OOORDER_OUT_PKTS"),
    ntop(113, 1, "UNTUNNELED_PROTOCOL"),
    ntop(114, 4, "UNTUNNELED_IPV4_SRC_ADDR"),
    ntop(115, 2, "UNTUNNELED_L4_SRC_PORT"),
    ntop(116, 4, "UNTUNNELED_IPV4_DST_ADDR"),
    ntop(117, 2, "UNTUNNELED_L4_DST_PORT"),
    ntop(123, 4, "CLIENT_NW_LATENCY_MS"),
    ntop(124, 4, "SERVER_NW_LATENCY_MS"),
    ntop(125, 4, "APPL_LATENCY_MS"),
    ntop(396, 16, "UNTUNNELED_IPV6_SRC_ADDR"),
    ntop(397, 16, "UNTUNNELED_IPV6_DST_ADDR"),
    ntop(417, 2, "TCP_WIN_MSS_IN"),
    ntop(418, 1, "TCP_WIN_SCALE_IN"),
    ntop(421, 2, "TCP_WIN_MSS_OUT"),
    ntop(422, 1, "TCP_WIN_SCALE_OUT"),
    ntop(525, 24, "SRC_HOST_LABEL"),
    ntop(526, 24, "DST_HOST_LABEL"),
    ntop(531, 4, "SRC_TO_DST_IAT_MIN"),
    ntop(532, 4, "SRC_TO_DST_IAT_MAX"),
    ntop(533, 4, "SRC_TO_DST_IAT_AVG"),
    ntop(534, 4, "SRC_TO_DST_IAT_STDDEV"),
    ntop(535, 4, "DST_TO_SRC_IAT_MIN"),
    ntop(536, 4, "DST_TO_SRC_IAT_MAX"),
    ntop(537, 4, "DST_TO_SRC_IAT_AVG"),
    ntop(538, 4, "DST_TO_SRC_IAT_STDDEV"),
    flowmon(61, 4, "npmJitterDev"),
    flowmon(62, 4, "npmJitterAvg"),
    flowmon(63, 4, "npmJitterMin"),
    flowmon(64, 4, "npmJitterMax"),
    flowmon(65, 4, "npmDelayDev"),
    flowmon(66, 4, "npmDelayAvg"),
    flowmon(67, 4, "npmDelayMin"),
    flowmon(68, 4, "npmDelayMax"),
    flowmon(69, 4, "npnRoundTripTime"),
    flowmon(70, 4, "npmServerResponseTime"),
    flowmon(71, 4, "npmTcpRetransmission"),
    flowmon(72, 4, "npmTcpOutOfOrder"),
    flowmon(80, 1, "tcpSynSize"),
    flowmon(81, 1, "tcpSynTtl"),
];

/// The element with this IANA number.
///
/// # Panics
/// When [`ELEMENTS`] has no such element. Used in constants, that is an error of the compiler.
pub const fn element(id: u16) -> Element {
    enterprise(0, id)
}

/// The element with this number of an enterprise.
///
/// # Panics
/// As [`element`].
pub const fn enterprise(pen: u32, id: u16) -> Element {
    let mut at = 0;
    while at < ELEMENTS.len() {
        if ELEMENTS[at].pen == pen && ELEMENTS[at].id == id {
            return ELEMENTS[at];
        }
        at += 1;
    }
    panic!("no such element in ELEMENTS")
}

// Sorted without duplicates, or the compiler says so.
const _: () = {
    let mut at = 1;
    while at < ELEMENTS.len() {
        let (a, b) = (ELEMENTS[at - 1], ELEMENTS[at]);
        assert!(a.pen < b.pen || (a.pen == b.pen && a.id < b.id), "ELEMENTS must be sorted by enterprise and id");
        at += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_registry_types_or_larger_than_none() {
        for element in ELEMENTS {
            assert!(matches!(element.length, 1 | 2 | 3 | 4 | 6 | 8 | 16 | 24 | VARIABLE), "{}", element.name);
            // RFC 7011 section 3.2: the top bit of the id is the enterprise flag.
            assert!(element.id < 0x8000, "{}", element.name);
        }
    }

    #[test]
    fn names_are_unique_and_in_the_registry_style() {
        for (at, element) in ELEMENTS.iter().enumerate() {
            // Registries of enterprises have their own styles.
            let iana = element.name.chars().all(|c| c.is_ascii_alphanumeric());
            assert!(iana || element.pen != 0, "{}", element.name);
            assert!(ELEMENTS[at + 1..].iter().all(|other| other.pen != element.pen || other.name != element.name), "{}", element.name);
        }
    }

    #[test]
    fn identifiers_times_and_keys_have_no_reverse() {
        for id in [4, 7, 8, 10, 11, 12, 27, 28, 56, 58, 80, 136, 148, 149, 152, 153, 156, 157, 239, 243, 245, 256, 295, 296, 351] {
            assert!(!element(id).reversible, "{id}");
        }
    }
}
