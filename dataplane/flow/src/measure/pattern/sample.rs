//! A packet as its flow's pattern is told of it.

/// What is told of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was received, nanoseconds since 1970 UTC.
    pub time: u64,
    /// Octets of its payload.
    pub payload: u32,
    /// TCP flags (`tcpControlBits`).
    pub flags: u16,
    /// 0 forward, 1 reverse.
    pub way: u8,
}
