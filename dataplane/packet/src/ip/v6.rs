//! IPv6 (RFC 8200 section 3).

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed, Network};
use crate::ip::jumbo;
use crate::proto;

/// Octets of the header.
const OCTETS: usize = 40;
/// Version (4 bits), traffic class (8), flow label (20).
const VERSION_CLASS_LABEL: usize = 0;
const PAYLOAD_LENGTH: usize = 4;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;
const SOURCE: usize = 8;
const DESTINATION: usize = 24;

/// An IPv6 header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    #[inline(always)]
    fn version(self) -> u8 {
        self.0.u8::<VERSION_CLASS_LABEL>() >> 4
    }

    #[inline(always)]
    fn traffic_class(self) -> u8 {
        let [first, second] = self.0.octets::<VERSION_CLASS_LABEL, 2>();
        first.wrapping_shl(4) | second >> 4
    }

    #[inline(always)]
    fn flow_label(self) -> u32 {
        self.0.u32::<VERSION_CLASS_LABEL>() & 0x000f_ffff
    }

    #[inline(always)]
    fn network(self) -> Network {
        Network::V6(self.0.octets::<SOURCE, 16>(), self.0.octets::<DESTINATION, 16>())
    }
}

/// Reads the header. `behind` is how long the packet is on the wire at most. The answer is the offset in the frame of what follows.
#[inline]
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, behind: u32) -> Result<usize, Malformed> {
    let header = at.take().map(Header).ok_or(Malformed::Ipv6Truncated)?;
    if header.version() != 6 {
        return Err(Malformed::Ipv6BadVersion);
    }
    headers.network = header.network();
    headers.protocol = header.0.u8::<NEXT_HEADER>();
    headers.octets = match header.0.u16::<PAYLOAD_LENGTH>() {
        0 => unsaid(*at, headers.protocol, behind),
        payload => u32::from(payload).saturating_add(40),
    };
    headers.tos = header.traffic_class();
    headers.flow_label = header.flow_label();
    headers.ttl = header.0.u8::<HOP_LIMIT>();
    Ok(usize::from(headers.l3_offset).saturating_add(OCTETS))
}

/// Longest jumbogram whose option is believed against what was seen of it, in octets: no Linux host makes a longer one (GSO_MAX_SIZE).
const JUMBOGRAM_MAX: u32 = 8 * 65_535;

/// The length of an IPv6 packet whose payload length is 0: that of its jumbo payload option (RFC 2675 section 2). Without one,
/// segmentation offload on the capturing host left the 0, as in IPv4, and the wire says it; nothing at all follows "no next header".
fn unsaid(at: Cursor<'_>, next: u8, behind: u32) -> u32 {
    match jumbo::payload_length(at, next) {
        Some(payload) if payload.saturating_add(40) <= behind.max(JUMBOGRAM_MAX) => payload.saturating_add(40),
        None if next == proto::NO_NEXT_HEADER => 40,
        _ => behind.max(40),
    }
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ENDS6, ETHERNET, bytes, check_frame, frame_of};
    use crate::{Link, decode};

    #[test]
    fn every_field_is_read() {
        let bytes = bytes(&format!("6a112345 0008 11 3f {ENDS6} 0035 d431 0008 0000"));
        let headers = decode(&frame_of(Link::RawIp, &bytes)).expect("a packet");
        assert_eq!((headers.tos, headers.flow_label, headers.ttl, headers.octets), (0xa1, 0x0001_2345, 0x3f, 48));
        check_frame(Link::RawIp, "60000000 0100", "ipv6_truncated");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 86dd 50000000 0000 3b 40 {ENDS6}"), "ipv6_bad_version");
    }
}
