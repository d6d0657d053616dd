//! Numbers of flows by the names people know.

/// tcpControlBits (IANA IPFIX element 6): a letter for each flag that was seen.
pub(super) fn flags(bits: u32) -> String {
    const LETTERS: [(u32, char); 9] = [(1, 'F'), (2, 'S'), (4, 'R'), (8, 'P'), (16, 'A'), (32, 'U'), (64, 'E'), (128, 'C'), (256, 'N')];
    LETTERS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}

/// An ethertype by its name, or in hexadecimal.
pub(super) fn ethertype(number: u32) -> String {
    match number {
        0x0806 => "arp".to_owned(),
        0x88cc => "lldp".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

/// flowEndReason (RFC 7012, element 136), short.
pub(super) fn reason(number: u32) -> &'static str {
    match number {
        1 => "idle",
        2 => "active",
        3 => "end",
        4 => "forced",
        5 => "no room",
        _ => "?",
    }
}
