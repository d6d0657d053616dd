//! Ports for fragments that have none: those of the first fragment, remembered for a while.
//!
//! Only the first fragment of a packet has the transport header (RFC 791 section 3.2, RFC 8200 section 4.5). Without this, the
//! others would make a flow of their own with ports 0. Packets that are no fragments never come here.
//!
//! Not here: reassembly, and fragments that arrive before their first one: they are metered with ports 0.

use sonde_packet::{Headers, Network, has_ports};

/// Places: what one worker remembers of first fragments.
const PLACES: usize = 4096;
/// A first fragment is believed for so long: fragments that come later would not be reassembled either (RFC 8200 section 4.5).
const AGE_MAX: u64 = 60_000_000_000;

/// What all fragments of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    network: Network,
    id: u32,
    vlan: u32,
    protocol: u8,
}

#[derive(Clone, Copy, Debug)]
struct First {
    identity: Identity,
    ports: [u16; 2],
    time: u64,
}

/// First fragments lately seen. A place is taken by whoever comes last: memory and work are bounded whatever arrives.
#[derive(Debug)]
pub(crate) struct Fragments {
    places: Vec<Option<First>>,
    seed: u64,
}

impl Fragments {
    /// Remembers nothing yet. `seed` keeps others from choosing whose place they take.
    pub(crate) fn new(seed: u64) -> Self {
        Self { places: vec![None; PLACES], seed }
    }

    /// Gives a fragment the ports of its first fragment, where they are known. `vlan` as in the flow's key.
    pub(crate) fn resolve(&mut self, headers: &mut Headers, vlan: u32, time: u64) {
        if !headers.fragment.is_fragment() || !has_ports(headers.protocol) {
            return;
        }
        let identity = Identity { network: headers.network, id: headers.fragment.id, vlan, protocol: headers.protocol };
        let at = self.place(&identity);
        let Some(place) = self.places.get_mut(at) else { return };
        if headers.fragment.offset == 0 {
            // Ports that were not captured are no ports.
            if headers.sport | headers.dport != 0 {
                *place = Some(First { identity, ports: [headers.sport, headers.dport], time });
            }
        } else if let Some(first) = place
            && first.identity == identity
            && time.saturating_sub(first.time) <= AGE_MAX
        {
            [headers.sport, headers.dport] = first.ports;
        }
    }

    fn place(&self, identity: &Identity) -> usize {
        let (a, b) = match identity.network {
            Network::V4(src, dst) => (u64::from(u32::from_be_bytes(src)), u64::from(u32::from_be_bytes(dst))),
            Network::V6(src, dst) => (half(&src), half(&dst)),
            Network::None => (0, 0),
        };
        let mut hash = self.seed;
        for word in [a, b, u64::from(identity.id) << 32 | u64::from(identity.vlan) << 8 | u64::from(identity.protocol)] {
            let wide = u128::from(hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            hash = (wide >> 64) as u64 ^ word.rotate_left(29);
        }
        (hash >> 32) as usize % PLACES
    }
}

/// Both halves of an IPv6 address in one word.
fn half(address: &[u8; 16]) -> u64 {
    let (words, _) = address.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum ^ u64::from_be_bytes(*word).rotate_left(17))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_packet::Fragment;

    fn fragment(id: u32, offset: u16, sport: u16) -> Headers {
        Headers {
            network: Network::V4([10, 0, 0, 1], [10, 0, 0, 2]),
            protocol: 17,
            fragment: Fragment { id, offset, more: true },
            sport,
            dport: if sport == 0 { 0 } else { 53 },
            ..Headers::default()
        }
    }

    fn ports(fragments: &mut Fragments, mut headers: Headers, vlan: u32, time: u64) -> (u16, u16) {
        fragments.resolve(&mut headers, vlan, time);
        (headers.sport, headers.dport)
    }

    #[test]
    fn later_fragments_have_the_ports_of_the_first() {
        let mut fragments = Fragments::new(1);
        assert_eq!(ports(&mut fragments, fragment(7, 1480, 0), 0, 0), (0, 0), "before the first");
        assert_eq!(ports(&mut fragments, fragment(7, 0, 4000), 0, 1), (4000, 53));
        assert_eq!(ports(&mut fragments, fragment(7, 1480, 0), 0, 2), (4000, 53));
        assert_eq!(ports(&mut fragments, fragment(7, 2960, 0), 0, AGE_MAX + 1), (4000, 53));
        assert_eq!(ports(&mut fragments, fragment(7, 2960, 0), 0, AGE_MAX + 2), (0, 0), "too late");
    }

    #[test]
    fn whatever_identifies_a_packet_keeps_its_fragments_apart() {
        let mut fragments = Fragments::new(1);
        ports(&mut fragments, fragment(7, 0, 4000), 5, 1);
        let other_way = Headers { network: Network::V4([10, 0, 0, 2], [10, 0, 0, 1]), ..fragment(7, 8, 0) };
        for (headers, vlan) in [
            (fragment(8, 8, 0), 5),
            (fragment(7, 8, 0), 6),
            (Headers { protocol: 6, ..fragment(7, 8, 0) }, 5),
            (other_way, 5),
            (Headers { network: Network::V6([0; 16], [0; 16]), ..fragment(7, 8, 0) }, 5),
        ] {
            assert_eq!(ports(&mut fragments, headers, vlan, 2), (0, 0));
        }
        assert_eq!(ports(&mut fragments, fragment(7, 8, 0), 5, 2), (4000, 53));
    }

    #[test]
    fn a_protocol_without_ports_is_left_alone() {
        let mut fragments = Fragments::new(1);
        ports(&mut fragments, Headers { protocol: 1, ..fragment(7, 0, 9) }, 0, 1);
        assert_eq!(ports(&mut fragments, Headers { protocol: 1, ..fragment(7, 8, 0) }, 0, 1), (0, 0));
    }

    #[test]
    fn a_flood_of_first_fragments_takes_no_more_memory() {
        let mut fragments = Fragments::new(1);
        for id in 0..100_000 {
            ports(&mut fragments, fragment(id, 0, 1 + (id % 60_000) as u16), 0, 1);
        }
        assert_eq!(fragments.places.len(), PLACES);
        let known = (0..100_000).filter(|id| ports(&mut fragments, fragment(*id, 8, 0), 0, 1).0 == 1 + (id % 60_000) as u16).count();
        assert!(known > PLACES / 2 && known <= PLACES, "{known}");
    }
}
