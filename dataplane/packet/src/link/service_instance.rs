//! The I-TAG of provider backbone bridges (IEEE 802.1Q section 9.7), behind its ethertype: priority, flags and service instance, then the
//! customer's Ethernet header. The addresses before the tag are those of bridges.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed, ServiceInstance};
use crate::link::ethernet;
use crate::listener::Listener;

const OCTETS: usize = 4;
/// Priority (3 bits), drop eligible (1), flags (4), I-SID (24).
const CONTROL: usize = 0;

/// An I-TAG without the addresses that IEEE counts to it.
#[derive(Clone, Copy)]
struct Tag<'a>(&'a [u8; OCTETS]);

impl Tag<'_> {
    fn control(self) -> u32 {
        self.0.u32::<CONTROL>()
    }
}

/// Reads the tag and the Ethernet header behind it, and tells the listener the tag's control information.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    let tag = at.take().map(Tag).ok_or(Malformed::VlanTruncated)?;
    headers.service_instance = ServiceInstance::new(tag.control());
    listener.service_instance(tag.control());
    ethernet::read(at, headers, listener)
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ETHERNET, INNER_ETHERNET, INNER4, bytes, frame, udp};
    use crate::{Tunnels, decapsulate, layers};

    #[test]
    fn the_innermost_service_instance_is_a_network_and_the_listener_hears_its_tag() {
        let of = |hex: &str| {
            let (headers, layers) = layers(&frame(&bytes(hex)), &Tunnels::default(), false).expect("a packet");
            (headers.sport, headers.vlan, headers.tags, layers.service_instance)
        };
        let bridged = |more: &str, tag: &str| of(&format!("{ETHERNET} {more} 88e7 {tag} {INNER_ETHERNET} 0800 {INNER4}"));
        assert_eq!(bridged("", "00000123"), (53, [0; 2], 0, Some(0x123)));
        assert_eq!(bridged("88a8 0064", "e8000000"), (53, [100, 0], 1, Some(0xe800_0000)), "I-SID 0, priority 7, UCA");
        assert_eq!(
            of(&format!(
                "{ETHERNET} 88a8 0064 88e7 00000001 {INNER_ETHERNET} 88a8 0065 88e7 00000002 {INNER_ETHERNET} 8100 0007 0800 {INNER4}"
            )),
            (53, [100, 101], 3, Some(2)),
            "twice"
        );
        assert_eq!(of(&format!("{ETHERNET} 8847 00064140 {INNER_ETHERNET} 88e7 00000123 {INNER_ETHERNET} 0800 {INNER4}")).3, Some(0x123));
        let instance = |hex: &str| {
            let packets = decapsulate(&frame(&bytes(hex)), &Tunnels::default()).expect("a packet");
            packets.inner.map_or((packets.network, false), |inner| (inner.network, true))
        };
        let [one, two] = ["00000001", "00000002"].map(|tag| instance(&format!("{ETHERNET} 88e7 {tag} {INNER_ETHERNET} 0800 {INNER4}")));
        assert!(one != two && one.0 != 0 && instance(&format!("{ETHERNET} 0800 {INNER4}")) == (0, false), "each is a network of its own");
        let inside = |tag: &str| format!("08000000 00000700 {INNER_ETHERNET} {tag} 0800 {INNER4}");
        let vxlan = instance(&udp(4789, &inside("")));
        let bridged = instance(&udp(4789, &inside(&format!("88e7 00000001 {INNER_ETHERNET}"))));
        assert_eq!((bridged.0, bridged.1), (one.0, true));
        assert_ne!(vxlan, bridged);
    }
}
