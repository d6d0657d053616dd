//! Cisco metadata, the security group of a frame: version and length of the options in words of four octets, one octet each, then the
//! options. The next ethertype follows.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::skipped_tag;

const OCTETS: usize = 2;
const WORDS: usize = 1;

/// The octets that are always there.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    /// Octets up to the next ethertype.
    fn octets(self) -> usize {
        usize::from(self.0.u8::<WORDS>()).saturating_mul(4).saturating_add(OCTETS)
    }
}

/// Passes over the tag.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    let header = at.peek().map(Header).ok_or(Malformed::VlanTruncated)?;
    skipped_tag::read(at, headers, header.octets())
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::check_tag;

    #[test]
    fn options_of_every_length_are_passed_over() {
        check_tag("8909 01 01 0001 0002");
        check_tag("8909 01 02 0001 0002 0002 0003");
    }
}
