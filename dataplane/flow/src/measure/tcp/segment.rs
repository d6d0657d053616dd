//! A TCP segment as the state of its connection is told of it.

/// One TCP segment of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Segment {
    /// When it was received, in nanoseconds.
    pub time: u64,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Octets of payload on the wire: what the length of the IP packet leaves behind the TCP header.
    pub payload: u32,
    /// Flags, as in [`sonde_packet::Tcp::flags`].
    pub flags: u16,
    /// Window, unscaled.
    pub window: u16,
    /// Octets of the IP packet.
    pub octets: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Direction: 0 forward, 1 reverse.
    pub way: u8,
}
