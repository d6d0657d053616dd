//! What of a packet each state is told, and which flows have one.

pub(super) mod pattern;
pub(super) mod tcp;
pub(super) mod udp;
