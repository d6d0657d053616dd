//! Numbers of IEEE 802's ethertype registry that Sonde looks into.

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const VLAN: u16 = 0x8100;
pub(crate) const QINQ: u16 = 0x88a8;
pub(crate) const QINQ_OLD: u16 = 0x9100;
pub(crate) const QINQ_OLDER: u16 = 0x9200;
pub(crate) const MPLS: u16 = 0x8847;
pub(crate) const MPLS_UPSTREAM: u16 = 0x8848;
pub(crate) const PPPOE_SESSION: u16 = 0x8864;
/// Cisco FabricPath (data centre Ethernet).
pub(crate) const FABRIC_PATH: u16 = 0x8903;
/// Cisco's VN-Tag.
pub(crate) const VN_TAG: u16 = 0x8926;
/// The E-TAG of bridge port extenders (IEEE 802.1BR section 7.5).
pub(crate) const E_TAG: u16 = 0x893f;
/// The network service header (RFC 8300).
pub(crate) const NSH: u16 = 0x894f;
/// PPP's own protocols.
pub(crate) const PPP: u16 = 0x880b;
/// Ethernet in a tunnel (RFC 1701).
pub(crate) const TRANSPARENT_ETHERNET: u16 = 0x6558;
/// The I-TAG of provider backbone bridges (IEEE 802.1Q section 9.7, once 802.1ah).
pub(crate) const I_TAG: u16 = 0x88e7;
/// MACsec (IEEE 802.1AE).
pub(crate) const MACSEC: u16 = 0x88e5;
/// High-availability seamless redundancy (IEC 62439-3).
pub(crate) const HSR: u16 = 0x892f;
/// Cisco metadata: the security group of a frame.
pub(crate) const CISCO_METADATA: u16 = 0x8909;
/// Cisco's timestamp in a fabric (TTag).
pub(crate) const TTAG: u16 = 0x8988;
/// Up to here the field is a length (IEEE 802.3 section 3.2.6), and LLC follows.
pub(crate) const LENGTH_MAX: u16 = 1500;
