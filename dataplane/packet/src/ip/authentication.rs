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

/// Takes over the index of the header that stands next.
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    if let Some(header) = at.peek().map(Header) {
        headers.spi = header.security_parameters_index();
    }
}
