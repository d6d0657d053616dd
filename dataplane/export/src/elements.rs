//! The information elements Sonde sends, from IANA's registry "IP Flow Information Export (IPFIX) Entities".

/// Private enterprise number of reverse elements (RFC 5103 section 6.1): the element's own id, counted in the other direction.
pub const REVERSE_PEN: u32 = 29_305;

/// Private enterprise number of ntop, whose nProbe has elements for what IANA has none for. Their names are nProbe's.
pub const NTOP_PEN: u32 = 35_632;

/// Length of an element whose every value says its own length (RFC 7011 section 7).
pub const VARIABLE: u16 = 0xffff;

/// One information element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const fn ntop(id: u16, length: u16, name: &'static str) -> Element {
    Element { pen: NTOP_PEN, id, length, name, reversible: false }
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
    one(40, 8, "exportedOctetTotalCount"),
    one(41, 8, "exportedMessageTotalCount"),
    one(42, 8, "exportedFlowRecordTotalCount"),
    one(56, 6, "sourceMacAddress"),
    one(58, 2, "vlanId"),
    one(60, 1, "ipVersion"),
    one(80, 6, "destinationMacAddress"),
    one(82, VARIABLE, "interfaceName"),
    one(136, 1, "flowEndReason"),
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
    both(192, 1, "ipTTL"),
    one(239, 1, "biflowDirection"),
    one(245, 2, "dot1qCustomerVlanId"),
    one(256, 2, "ethernetType"),
    both(352, 8, "layer2OctetDeltaCount"),
    ntop(101, 2, "SRC_IP_COUNTRY"),
    ntop(102, 16, "SRC_IP_CITY"),
    ntop(103, 2, "DST_IP_COUNTRY"),
    ntop(104, 16, "DST_IP_CITY"),
    ntop(525, 24, "SRC_HOST_LABEL"),
    ntop(526, 24, "DST_HOST_LABEL"),
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
            assert!(matches!(element.length, 1 | 2 | 4 | 6 | 8 | 16 | 24 | VARIABLE), "{}", element.name);
            // RFC 7011 section 3.2: the top bit of the id is the enterprise flag.
            assert!(element.id < 0x8000, "{}", element.name);
        }
    }

    #[test]
    fn names_are_unique_and_in_the_registry_style() {
        for (at, element) in ELEMENTS.iter().enumerate() {
            // Registries of enterprises have their own styles.
            let iana =
                element.name.starts_with(|c: char| c.is_ascii_lowercase()) && element.name.chars().all(|c| c.is_ascii_alphanumeric());
            assert!(iana || element.pen != 0, "{}", element.name);
            assert!(ELEMENTS[at + 1..].iter().all(|other| other.name != element.name), "{}", element.name);
        }
    }

    #[test]
    fn identifiers_times_and_keys_have_no_reverse() {
        for id in [4, 7, 8, 10, 11, 12, 27, 28, 56, 58, 80, 136, 148, 149, 152, 153, 156, 157, 239, 245, 256] {
            assert!(!element(id).reversible, "{id}");
        }
    }
}
