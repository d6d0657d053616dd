//! All that measuring knows of a flow's entry.

use sonde_record::Kind;
use sonde_record::fact::LoneSyn;

use crate::handle::{Extras, Measured};

/// An entry, as measuring sees it.
pub(crate) trait Followed {
    /// Which way a packet with this direction bit goes: 0 forward, 1 reverse.
    fn way(&self, direction: u8) -> u8;

    /// Kind and protocol of the flow.
    fn protocol(&self) -> (Kind, u8);

    /// Where the performance of the flow is kept.
    fn measured(&self) -> Measured;

    /// Notes where the performance of the flow is kept.
    fn set_measured(&mut self, measured: Measured);

    /// Layers of the flow, and the pattern of its packets.
    fn extras(&self) -> Extras;

    /// Notes where layers and pattern are kept.
    fn set_extras(&mut self, extras: Extras);

    /// Keeps a lone SYN: its sequence number, its option flags.
    fn keep_syn(&mut self, isn: u32, notes: u16);

    /// The SYN that is all that was seen of a connection.
    fn lone_syn(&self) -> Option<LoneSyn>;

    /// As [`Followed::lone_syn`], and it is not kept any more.
    fn take_syn(&mut self) -> Option<LoneSyn>;

    /// Least and greatest TTL of each direction; 0 where there was no packet.
    fn ttls(&self) -> [[u8; 2]; 2];
}
