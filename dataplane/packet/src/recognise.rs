//! Recognises a tunnel by the protocol and the UDP ports of its outer packet.

use crate::cursor::Cursor;
use crate::listener::Listener;
use crate::ports::UdpPorts;
use crate::proto;
use crate::transport::udp;
use crate::tunnel::{Opening, over_ip, over_udp};

/// The tunnel that a packet is, by its protocol, source and destination port. `at` begins behind the IP header and is moved to what the
/// tunnel carries.
pub(crate) fn recognise(
    (protocol, sport, dport): (u8, u16, u16),
    ports: &UdpPorts,
    at: &mut Cursor<'_>,
    listener: &mut impl Listener,
) -> Option<Opening> {
    if protocol != proto::UDP {
        return over_ip(protocol, at, listener);
    }
    let (client, server) = (ports.kind(sport), ports.kind(dport));
    client.or(server)?;
    at.skip(udp::OCTETS)?;
    // The port of the server first; Teredo's and GTP's answers come from it.
    let mut open = |kind: Option<_>| over_udp(kind?, at, listener);
    open(server).or_else(|| open(client))
}
