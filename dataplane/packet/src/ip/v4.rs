//! IPv4 (RFC 791 section 3.1).

use crate::cursor::{Cursor, Fields};
use crate::headers::{Fragment, Headers, Malformed, Network};

/// Octets of the header without options.
pub(crate) const OCTETS: usize = 20;
/// Version (4 bits), header length in words of four octets (4).
const VERSION_AND_LENGTH: usize = 0;
const TYPE_OF_SERVICE: usize = 1;
const TOTAL_LENGTH: usize = 2;
const IDENTIFICATION: usize = 4;
/// Reserved, don't fragment, more fragments; offset in units of eight octets (13 bits).
const FRAGMENT: usize = 6;
const TTL: usize = 8;
const PROTOCOL: usize = 9;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// An IPv4 header as far as its options.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    #[inline(always)]
    fn version(self) -> u8 {
        self.0.u8::<VERSION_AND_LENGTH>() >> 4
    }

    /// Octets of the options; `None` when the header says that it is shorter than its fixed part.
    #[inline(always)]
    fn options(self) -> Option<usize> {
        let words = usize::from(self.0.u8::<VERSION_AND_LENGTH>() & 0x0f).checked_sub(OCTETS / 4)?;
        Some(words.saturating_mul(4))
    }

    #[inline(always)]
    fn total_length(self) -> u16 {
        self.0.u16::<TOTAL_LENGTH>()
    }

    #[inline(always)]
    fn fragment(self) -> Fragment {
        let field = self.0.u16::<FRAGMENT>();
        Fragment { id: u32::from(self.0.u16::<IDENTIFICATION>()), offset: (field & 0x1fff).wrapping_shl(3), more: field & 0x2000 != 0 }
    }

    #[inline(always)]
    fn flags(self) -> u8 {
        self.0.u8::<FRAGMENT>() & 0xe0
    }

    #[inline(always)]
    fn network(self) -> Network {
        Network::V4(self.0.octets::<SOURCE, 4>(), self.0.octets::<DESTINATION, 4>())
    }
}

/// Reads the header. `behind` is how long the packet is on the wire at most.
///
/// The answer is the offset in the frame of what follows; `None` in a later fragment, and when the capture ends inside the options:
/// addresses and protocol are known, ports are not.
#[inline]
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, behind: u32) -> Result<Option<usize>, Malformed> {
    let header = at.take().map(Header).ok_or(Malformed::Ipv4Truncated)?;
    if header.version() != 4 {
        return Err(Malformed::Ipv4BadVersion);
    }
    let options = header.options().ok_or(Malformed::Ipv4BadHeaderLength)?;
    // Segmentation offload on the capturing host leaves a total length of 0: then the wire says it.
    headers.octets = match header.total_length() {
        0 => behind,
        total => u32::from(total),
    };
    if usize::try_from(headers.octets).unwrap_or(usize::MAX) < options.saturating_add(OCTETS) {
        return Err(Malformed::Ipv4BadTotalLength);
    }
    headers.fragment = header.fragment();
    headers.network = header.network();
    headers.tos = header.0.u8::<TYPE_OF_SERVICE>();
    headers.ip_flags = header.flags();
    headers.ttl = header.0.u8::<TTL>();
    headers.protocol = header.0.u8::<PROTOCOL>();
    if at.skip(options).is_none() || headers.fragment.offset != 0 {
        return Ok(None);
    }
    Ok(Some(usize::from(headers.l3_offset).saturating_add(OCTETS).saturating_add(options)))
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, V4_UDP, check_frame};

    #[test]
    fn ipv4_faults_have_their_reasons() {
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0800 45000028"), "ipv4_truncated");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0800 55{}", &V4_UDP[2..]), "ipv4_bad_version");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0800 44{}", &V4_UDP[2..]), "ipv4_bad_header_length");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0800 45b80013{}", &V4_UDP[8..]), "ipv4_bad_total_length");
    }

    #[test]
    fn total_length_of_zero_is_what_the_wire_says() {
        check_frame(
            Link::Ethernet,
            &format!("{ETHERNET} 0800 45b80000{}", &V4_UDP[8..]),
            "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0",
        );
    }

    #[test]
    fn options_are_passed_over_and_a_later_fragment_has_no_ports() {
        check_frame(
            Link::RawIp,
            "46000020 00010000 40110000 0a000001 0a000002 01010100 0035 d431 0008 0000",
            "10.0.0.1 > 10.0.0.2 p17 53>54321 32 octets vlan [] icmp [0, 0] frag 0",
        );
        check_frame(
            Link::RawIp,
            "4500001c 00012001 40110000 0a000001 0a000002 0035 d431 0008 0000",
            "10.0.0.1 > 10.0.0.2 p17 0>0 28 octets vlan [] icmp [0, 0] frag 8",
        );
    }
}
