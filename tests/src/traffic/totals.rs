//! What a capture holds in sum: the figure that flow records must add up to.

use serde::Serialize;

/// Sums over frames, found by reading them as plainly as possible: an oracle, not a decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Frames.
    pub frames: u64,
    /// Octets of the frames without FCS.
    pub wire_octets: u64,
    /// Packets with an IPv4 header.
    pub ipv4_packets: u64,
    /// Their total lengths.
    pub ipv4_octets: u64,
    /// Packets with an IPv6 header.
    pub ipv6_packets: u64,
    /// Their payload lengths and 40 for each.
    pub ipv6_octets: u64,
    /// Frames without IP.
    pub other_frames: u64,
}

impl Totals {
    /// Adds an Ethernet frame with at most a few VLAN tags.
    pub fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.wire_octets += frame.len() as u64;
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let mut at = 12;
        while matches!(word(at), 0x8100 | 0x88a8 | 0x9100) {
            at += 4;
        }
        match word(at) {
            0x0800 => {
                self.ipv4_packets += 1;
                self.ipv4_octets += u64::from(word(at + 4));
            }
            0x86dd => {
                self.ipv6_packets += 1;
                self.ipv6_octets += u64::from(word(at + 6)) + 40;
            }
            _ => self.other_frames += 1,
        }
    }

    /// IP packets of both versions.
    pub fn ip_packets(&self) -> u64 {
        self.ipv4_packets + self.ipv6_packets
    }

    /// Octets of the IP packets of both versions.
    pub fn ip_octets(&self) -> u64 {
        self.ipv4_octets + self.ipv6_octets
    }
}

impl<'a> FromIterator<&'a [u8]> for Totals {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(frames: I) -> Self {
        let mut totals = Self::default();
        frames.into_iter().for_each(|frame| totals.add(frame));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Stack;

    #[test]
    fn padding_is_wire_but_not_ip() {
        let frames = [
            Stack::ethernet().vlan(7).ipv4([1, 1, 1, 1], [2, 2, 2, 2]).udp(1, 2).build(),
            Stack::ethernet().ipv6([1; 8], [2; 8]).udp(1, 2).payload([0; 4]).build(),
            Stack::ethernet().payload([0; 4]).build(),
        ];
        let totals: Totals = frames.iter().map(Vec::as_slice).collect();
        let expected = Totals {
            frames: 3,
            wire_octets: 60 + 66 + 60,
            ipv4_packets: 1,
            ipv4_octets: 28,
            ipv6_packets: 1,
            ipv6_octets: 52,
            other_frames: 1,
        };
        assert_eq!(totals, expected);
    }
}
