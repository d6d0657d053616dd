//! The segment routing header (RFC 8754 section 2): a routing header of type 4 with a list of segments, the last one first.

use crate::cursor::{Cursor, Fields};
use crate::listener::{Listener, SegmentRouting};

/// Octets of the header with the first segment of its list.
const OCTETS: usize = 24;
const TYPE: usize = 2;
const SEGMENTS_LEFT: usize = 3;
const LAST_ENTRY: usize = 4;
const FLAGS: usize = 5;
const TAG: usize = 6;
const SEGMENT_LIST: usize = 8;

const SEGMENT_ROUTING: u8 = 4;

/// A routing header that is long enough for segment routing.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn is_segment_routing(self) -> bool {
        self.0.u8::<TYPE>() == SEGMENT_ROUTING
    }

    fn segment_routing(self) -> SegmentRouting {
        SegmentRouting {
            segments: self.0.u8::<LAST_ENTRY>().saturating_add(1),
            segments_left: self.0.u8::<SEGMENTS_LEFT>(),
            flags: self.0.u8::<FLAGS>(),
            tag: self.0.u16::<TAG>(),
            last: self.0.octets::<SEGMENT_LIST, 16>(),
        }
    }
}

/// Tells the listener about the next header, if it is a segment routing header.
pub(crate) fn read(at: Cursor<'_>, listener: &mut impl Listener) {
    if let Some(header) = at.peek().map(Header).filter(|header| header.is_segment_routing()) {
        listener.segment_routing(header.segment_routing());
    }
}

#[cfg(test)]
mod tests {
    use crate::SegmentRouting;
    use crate::frame_tests::{ENDS6, ETHERNET, bytes, layers_of};

    #[test]
    fn the_listener_hears_a_segment_routing_header() {
        let segments = "20010db80000000000000000000000ff 20010db80000000000000000000000fe";
        let routed = |kind: &str| {
            let header = format!("1104 {kind}01 01 80 0007 {segments}");
            layers_of(&format!("{ETHERNET} 86dd 60000000 0030 2b 40 {ENDS6} {header} 0035 d431 0008 0000")).srh
        };
        let last = *bytes(segments).first_chunk().expect("16");
        assert_eq!(routed("04"), SegmentRouting { segments: 2, segments_left: 1, flags: 0x80, tag: 7, last });
        assert_eq!(routed("03"), SegmentRouting::default(), "another type of routing");
    }
}
