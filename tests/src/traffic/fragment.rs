//! One datagram as several fragments.

use super::layer::{Ipv4, Layer};
use super::stack::Stack;

/// Splits the datagram of the innermost IP header into fragments of at most `octets` octets of data (a multiple of 8), each
/// a frame of its own. Hop-by-hop and routing headers stand in every fragment of IPv6 (RFC 8200 section 4.5).
///
/// # Panics
/// When the stack has no IP header, or `octets` is not a positive multiple of 8.
pub fn fragments(stack: &Stack, octets: u16, id: u16) -> Vec<Vec<u8>> {
    assert!(octets > 0 && octets.is_multiple_of(8), "all fragments but the last have a multiple of 8 octets of data");
    let layers = stack.layers();
    let ip = layers.iter().rposition(|l| matches!(l, Layer::Ipv4(_) | Layer::Ipv6(_))).expect("a stack with an IP header");
    let unfragmentable = layers[ip + 1..].iter().take_while(|l| matches!(l, Layer::HopByHop(_) | Layer::Routing { .. })).count();
    let first = ip + 1 + unfragmentable;
    let (data, protocol) = stack.build_above(first);
    let mut frames = Vec::new();
    let mut offset = 0u16;
    for chunk in data.chunks(usize::from(octets)) {
        let more = usize::from(offset) + chunk.len() < data.len();
        let mut frame = layers[..ip].iter().cloned().fold(Stack::new(), Stack::push);
        frame = match &layers[ip] {
            Layer::Ipv4(ip) => frame.push(Ipv4 { id, offset, more_fragments: more, protocol: Some(protocol), ..ip.clone() }),
            outer => layers[ip + 1..first].iter().cloned().fold(frame.push(outer.clone()), Stack::push).push(Layer::Fragment {
                offset,
                more,
                id: u32::from(id),
                next: Some(protocol),
            }),
        };
        frames.push(frame.payload(chunk).build());
        offset += octets;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_carry_the_datagram_in_order() {
        let whole = Stack::new().ipv4([1, 1, 1, 1], [2, 2, 2, 2]).udp(5, 6).payload([7; 40]);
        let parts = fragments(&whole, 16, 99);
        assert_eq!(parts.len(), 3);
        let data: Vec<u8> = parts.iter().flat_map(|p| p[20..].to_vec()).collect();
        assert_eq!(data, whole.build()[20..]);
        let offsets: Vec<[u8; 2]> = parts.iter().map(|p| [p[6], p[7]]).collect();
        assert_eq!(offsets, [[0x20, 0], [0x20, 2], [0, 4]]);
    }

    #[test]
    fn ipv6_fragments_have_the_header() {
        let whole = Stack::new().ipv6([1; 8], [2; 8]).push(Layer::HopByHop(vec![])).udp(5, 6).payload([7; 8]);
        let parts = fragments(&whole, 8, 1);
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[1][6], parts[1][40], parts[1][48]), (0, 44, 17));
    }
}
