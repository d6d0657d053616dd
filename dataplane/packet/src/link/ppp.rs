//! PPP (RFC 1661 section 2): a protocol field of one or two octets, behind address and control where they were not compressed away
//! (RFC 1662 section 3.1).

use crate::cursor::Cursor;
use crate::headers::{Headers, Malformed};
use crate::link::ethertype;

const ADDRESS_AND_CONTROL: [u8; 2] = [0xff, 0x03];

// Numbers of IANA's PPP protocol registry.
pub(crate) const IPV4: u16 = 0x0021;
pub(crate) const IPV6: u16 = 0x0057;
const MPLS: u16 = 0x0281;

/// Reads as far as what PPP carries. The ethertype stays as it is when PPP carries its own protocols.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    if at.peek() == Some(&ADDRESS_AND_CONTROL) {
        at.skip(ADDRESS_AND_CONTROL.len()).ok_or(Malformed::PppoeTruncated)?;
    }
    headers.ethertype = match protocol(at).ok_or(Malformed::PppoeTruncated)? {
        IPV4 => ethertype::IPV4,
        IPV6 => ethertype::IPV6,
        MPLS => ethertype::MPLS,
        _ => headers.ethertype,
    };
    Ok(())
}

/// The protocol field: the last bit of its last octet is 1 (RFC 1661 section 2), so one octet is enough where that is the first.
fn protocol(at: &mut Cursor<'_>) -> Option<u16> {
    let &[first] = at.take::<1>()?;
    if first & 1 == 1 {
        return Some(u16::from(first));
    }
    let &[second] = at.take::<1>()?;
    Some(u16::from_be_bytes([first, second]))
}

/// LINKTYPE_PPP. What PPP says of itself is a flow of its ethertype.
pub(crate) fn link(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    headers.ethertype = ethertype::PPP;
    read(at, headers)
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{UDP4, V4_UDP, check_frame};

    #[test]
    fn address_and_control_and_half_of_the_protocol_may_be_left_out() {
        let expected = format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0");
        for before in ["ff03 0021", "ff03 21", "0021", "21"] {
            check_frame(Link::Ppp, &format!("{before} {V4_UDP}"), &expected);
            check_frame(Link::PppSerial, &format!("{before} {V4_UDP}"), &expected);
        }
        check_frame(Link::Ppp, &format!("ff03 0281 00064140 {V4_UDP}"), &expected);
        check_frame(Link::Ppp, "ff03 c021 0102", "880b p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
        check_frame(Link::Ppp, "ff03 c0", "pppoe_truncated");
    }
}
