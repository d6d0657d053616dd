//! The authentication header (RFC 4302 section 2).

use crate::cursor::{Cursor, Fields};
use crate::headers::Headers;

/// Octets of the fields that are read.
const OCTETS: usize = 8;
const SECURITY_PARAMETERS_INDEX: usize = 4;

/// An authentication header as far as its security parameters index.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn security_parameters_index(self) -> u32 {
        self.0.u32::<SECURITY_PARAMETERS_INDEX>()
    }
}

/// Takes over the index of the next header.
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    if let Some(header) = at.peek().map(Header) {
        headers.spi = header.security_parameters_index();
    }
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{check_frame, ipv4, layers_of};

    #[test]
    fn the_index_is_taken_over_and_the_packet_behind_is_metered() {
        let hex = ipv4(51, "1104 0000 00000abd 00000001 000000000000000000000000 c000 0035 0008 0000");
        assert_eq!(layers_of(&hex).spi, 0xabd);
        check_frame(Link::Ethernet, &hex, "192.0.2.1 > 192.0.2.2 p17 49152>53 52 octets vlan [] icmp [0, 0] frag 0");
    }
}
