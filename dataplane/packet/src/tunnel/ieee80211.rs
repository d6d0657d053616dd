//! IEEE 802.11 data frames in GRE, as access points send them to their controller.

use std::ops::RangeInclusive;

use crate::cursor::Cursor;
use crate::link::wireless::{self, ByteOrder};
use crate::listener::Listener;
use crate::tunnel::carried::Carried;

/// GRE's protocol types: the low octet tells access points and priorities apart.
pub(crate) const PROTOCOLS: RangeInclusive<u16> = 0x8200..=0x824f;

/// What the tunnel carries. The listener is told the stations.
pub(crate) fn read(at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Carried> {
    Some(Carried::unnamed(wireless::data(at, ByteOrder::Standard, listener)?.into()))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER4, SNAP, UDP4, bytes, check_tunnel, frame, ipv4, show_tunnel, wireless};
    use crate::{Tunnels, layers};

    #[test]
    fn wireless_frames_in_gre_of_every_form() {
        let payload = format!("{SNAP} {INNER4}");
        let inside = format!("gre+ieee80211 0 {UDP4}");
        let outside = " 0 192.0.2.1 > 192.0.2.2 p47 0>0";
        let plain = wireless("0801", "0010", "", &payload);
        for protocol in ["8200", "8210", "824f"] {
            check_tunnel(&ipv4(47, &format!("0000 {protocol} {plain}")), &inside);
        }
        for protocol in ["81ff", "8250"] {
            check_tunnel(&ipv4(47, &format!("0000 {protocol} {plain}")), &format!("gre 0 {}", "192.0.2.1 > 192.0.2.2 p47 0>0"));
        }
        let gre = |frame: &str| ipv4(47, &format!("2000 8200 00000000 {frame}"));
        for (why, frame) in [
            ("four addresses", wireless("0803", "0010", "060000000004", &payload)),
            ("to nobody's system", wireless("0800", "0010", "", &payload)),
            ("quality of service", wireless("8802", "0010", "0700", &payload)),
            ("and HT control", wireless("8882", "0010", "0700 00000001", &payload)),
            ("a bridge tunnel", wireless("0801", "0010", "", &format!("aaaa03 0000f8 0800 {INNER4}"))),
            ("a mesh", wireless("8803", "0010", "060000000004 0701", &format!("0105 00000001 060000000005 {payload}"))),
            ("no mesh, and the same bit", wireless("8802", "0010", "0701", &payload)),
        ] {
            assert_eq!(show_tunnel(&gre(&frame), &Tunnels::default()), inside, "{why}");
        }
        for (why, frame) in [
            ("protected", wireless("0841", "0010", "", &payload)),
            ("a first fragment", wireless("0805", "0010", "", &payload)),
            // It goes on somewhere in the packet, not with LLC.
            ("a later fragment", wireless("0801", "0110", "", payload.get(16..).unwrap_or_default())),
            ("no data", wireless("4801", "0010", "", &payload)),
            ("management", wireless("8000", "0010", "", &payload)),
            ("the octets of frame control turned over", wireless("0108", "0010", "", &payload)),
            ("no SNAP", wireless("0801", "0010", "", "4242030000000000")),
        ] {
            assert_eq!(show_tunnel(&gre(&frame), &Tunnels::default()), outside, "{why}");
        }
        let found = layers(&frame(&bytes(&gre(&plain))), &Tunnels::default(), true).expect("a packet").1;
        assert_eq!(found.inner_macs, [6, 0, 0, 0, 0, 3, 6, 0, 0, 0, 0, 2], "destination and source of the station");
        assert_eq!((found.tunnel_id, found.gre_key), (None, Some(0)), "a key of 0 is one");
    }
}
