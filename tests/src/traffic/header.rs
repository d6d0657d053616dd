//! What every header needs: the name of what follows it, and its length.

/// Transparent Ethernet bridging (RFC 1701): what tunnels call an Ethernet header.
pub(super) const ETHERNET: u16 = 0x6558;

/// How a layer is named by the one below it.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// Bytes without a name.
    Nothing,
    /// By a protocol number.
    Protocol(u8),
    /// By an ethertype.
    Ethertype(u16),
    /// By both: IP can stand in a frame and in a tunnel.
    Both(u16, u8),
    /// Not at all: 802.3 says the length, LLC the rest.
    Length,
}

impl Name {
    pub(super) fn protocol(self) -> u8 {
        match self {
            Self::Protocol(protocol) | Self::Both(_, protocol) => protocol,
            // IANA's "no next header": nothing that follows is looked at.
            Self::Nothing | Self::Ethertype(_) | Self::Length => 59,
        }
    }

    pub(super) fn ethertype(self, length: usize) -> u16 {
        match self {
            Self::Ethertype(ethertype) | Self::Both(ethertype, _) => ethertype,
            Self::Length => len16(length),
            // IEEE Std 802 local experimental ethertype 1.
            Self::Nothing | Self::Protocol(_) => 0x88b5,
        }
    }

    /// The next protocol of VXLAN-GPE and NSH (RFC 8300 section 11.2.5); 255 is for experiments there.
    pub(super) fn next_protocol(self) -> u8 {
        match self.ethertype(0) {
            0x0800 => 1,
            0x86dd => 2,
            ETHERNET => 3,
            0x894f => 4,
            0x8847 => 5,
            _ => 255,
        }
    }
}

/// A header in front of what it carries.
pub(super) fn join(head: &[u8], mut body: Vec<u8>) -> Vec<u8> {
    body.splice(0..0, head.iter().copied());
    body
}

pub(super) fn len16(length: usize) -> u16 {
    u16::try_from(length).expect("longer than a 16-bit length field can say")
}

pub(super) fn len8(length: usize) -> u8 {
    u8::try_from(length).expect("longer than an 8-bit length field can say")
}
