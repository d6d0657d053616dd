//! The encapsulating security payload (RFC 4303 section 2). What it hides is not looked into.

use crate::cursor::{Cursor, Fields};
use crate::headers::Headers;

/// Octets of the field that is read.
const OCTETS: usize = 4;
const SECURITY_PARAMETERS_INDEX: usize = 0;

/// The beginning of the payload.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn security_parameters_index(self) -> u32 {
        self.0.u32::<SECURITY_PARAMETERS_INDEX>()
    }
}

/// Takes over the index of the next header; 0 when it was cut off.
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    headers.spi = at.peek().map(Header).map_or(0, Header::security_parameters_index);
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ipv4, layers_of};

    #[test]
    fn the_index_is_taken_over() {
        assert_eq!(layers_of(&ipv4(50, "00000abc 00000001")).spi, 0xabc);
        assert_eq!(layers_of(&ipv4(50, "000000")).spi, 0, "cut off");
    }
}
