//! How a port is to receive, and what its device makes of that.

/// How a port is to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues.
    pub rx_queues: u16,
    /// Descriptors of one queue, adjusted to what the device can.
    pub descriptors: u16,
    /// Longest frame, in octets without FCS, adjusted to what the device can; `None`: the driver's default.
    pub frame_octets_max: Option<u32>,
    /// Receive frames for other stations.
    pub promiscuous: bool,
    /// Ask for hardware receive times, where the device has them.
    pub timestamps: bool,
    /// What a device with RSS hashes.
    pub hash: Hash,
}

/// What a device hashes to choose the queue of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// The outermost addresses, and ports where there are some.
    OuterPorts,
    /// The outermost addresses.
    OuterAddresses,
    /// The innermost addresses and ports, of the tunnels that the device knows ([`PortInfo::can_hash_inner`]).
    InnerPorts,
}

/// What the device made of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Descriptors of one queue.
    pub descriptors: u16,
    /// It receives frames for other stations.
    pub promiscuous: bool,
    /// Both directions of a conversation come by the same queue.
    pub symmetric: bool,
    /// Frames carry hardware receive times.
    pub timestamps: bool,
    /// The MTU that was asked for; 0: the driver's default.
    pub mtu: u32,
}
