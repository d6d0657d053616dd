//! Tunnels one in another, what the operator chooses of them, and the packets of an A-MSDU.

use super::*;
use crate::frame_tests::{
    ETHERNET, INNER_ETHERNET, INNER4, INNER6, SNAP, UDP4, behind, bytes, check_tunnel, frame, ipv4, layers_of, show_tunnel, udp, wireless,
};
use crate::{Network, Tunnel, View};

/// Tunnels one in another, outermost first.
fn nested(levels: usize) -> String {
    let mut inside = INNER4.to_owned();
    for _ in 0..levels {
        let octets = 20 + bytes(&inside).len();
        inside = format!("4500{octets:04x} 00000000 40040000 c0000201 c0000202 {inside}");
    }
    format!("{ETHERNET} 0800 {inside}")
}

#[test]
fn a_deeper_packet_is_metered_at_the_limit() {
    check_tunnel(&nested(4), &format!("4in4/4in4/4in4/4in4 0 {UDP4}"));
    check_tunnel(&nested(5), "4in4/4in4/4in4/4in4 0 192.0.2.1 > 192.0.2.2 p4 0>0 too deep");
    assert_eq!(show_tunnel(&nested(5), &Tunnels::new(View::Inner, 8)), format!("4in4/4in4/4in4/4in4 0 {UDP4}"));
    assert_eq!(show_tunnel(&nested(1), &Tunnels::new(View::Inner, 0)), " 0 192.0.2.1 > 192.0.2.2 p4 0>0 too deep");
}

#[test]
fn the_operator_chooses_the_view_of_each_kind() {
    let tunnels = Tunnels::default().with(Tunnel::Vxlan, View::Outer).with(Tunnel::Gre, View::Both);
    assert_eq!(
        (tunnels.view(Tunnel::Vxlan), tunnels.view(Tunnel::Gre), tunnels.view(Tunnel::Geneve)),
        (View::Outer, View::Both, View::Inner)
    );
    let vxlan = udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 0800 {INNER4}"));
    assert_eq!(show_tunnel(&vxlan, &tunnels), " 0 192.0.2.1 > 192.0.2.2 p17 49152>4789");
    let gre = bytes(&ipv4(47, &format!("0000 0800 {INNER4}")));
    let packets = decapsulate(&frame(&gre), &tunnels).expect("a packet");
    assert!(packets.inner.expect("an inner packet").keep_outer);
    let geneve = bytes(&udp(6081, &format!("0000 6558 00007b00 {INNER_ETHERNET} 0800 {INNER4}")));
    let inner = decapsulate(&frame(&geneve), &tunnels).expect("a packet").inner.expect("an inner packet");
    assert_eq!((inner.keep_outer, inner.network), (false, (Tunnel::Geneve as u32) << 24 | 123));
}

#[test]
fn the_outer_header_stands_beside_the_inner_flow() {
    let hex = udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 8100 0005 0800 {INNER4}"));
    let (metered, found) = layers(&frame(&bytes(&hex)), &Tunnels::default(), true).expect("a packet");
    assert_eq!(found.outer, Network::V4([192, 0, 2, 1], [192, 0, 2, 2]));
    assert_eq!((found.outer_ports, found.outer_protocol, found.outer_ttl), ([0xc000, 4789], 17, 64));
    assert_eq!((found.inner_macs, found.inner_vlan), ([4, 0, 0, 0, 0, 2, 4, 0, 0, 0, 0, 1], Some(5)));
    assert_eq!((metered.vlan, metered.tags, metered.smac), ([5, 0], 1, [2, 0, 0, 0, 0, 1]), "the inner tag, the outer address");
}

#[test]
fn a_tag_belongs_to_the_header_it_stands_behind() {
    let inside = udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 0800 {INNER4}"));
    let carried = behind(14, &inside);
    let hex = udp(4789, &format!("08000000 00007a00 {INNER_ETHERNET} 8100 0005 0800 {carried}"));
    let (metered, found) = layers(&frame(&bytes(&hex)), &Tunnels::default(), true).expect("a packet");
    assert_eq!((found.depth, found.inner_vlan, metered.tags), (2, None, 0), "the outer tunnel's tag is none of the inner one's");
}

#[test]
fn an_identifier_belongs_to_the_innermost_tunnel_that_has_one() {
    let of = |carried: &str| {
        let hex = udp(4789, &format!("08000000 00007a00 {INNER_ETHERNET} {carried}"));
        let found = layers_of(&hex);
        (found.depth, found.identified.map(Tunnel::name), found.tunnel_id)
    };
    let carried = |hex: &str| behind(12, hex);
    assert_eq!(of(&format!("0800 {INNER4}")), (1, Some("vxlan"), Some(122)));
    assert_eq!(of(&carried(&ipv4(47, &format!("0000 0800 {INNER4}")))), (2, Some("vxlan"), Some(122)));
    assert_eq!(of(&carried(&ipv4(47, &format!("2000 0800 00000007 {INNER4}")))), (2, Some("gre"), Some(7)));
    assert_eq!(of(&carried(&udp(4789, &format!("08000000 00000000 {INNER_ETHERNET} 0800 {INNER4}")))), (2, Some("vxlan"), Some(0)));
    assert_eq!(of(&carried(&ipv4(47, &format!("0000 88be {INNER_ETHERNET} 0800 {INNER4}")))), (2, Some("vxlan"), Some(122)));
    let plain = layers(&frame(&bytes(&ipv4(4, INNER4))), &Tunnels::default(), true).expect("a packet").1;
    assert_eq!(plain.identified, None);
}

#[test]
fn a_packet_that_ends_carries_nothing_behind_its_end() {
    let whole = ipv4(47, &format!("0000 0800 {INNER4}"));
    check_tunnel(&whole, &format!("gre 0 {UDP4}"));
    // The outer length is that of its header and GRE's: what follows is padding.
    check_tunnel(&whole.replace("45000034", "45000018"), " 0 192.0.2.1 > 192.0.2.2 p47 0>0");
    check_tunnel(&ipv4(4, INNER4).replace("45000030", "45000014"), " 0 192.0.2.1 > 192.0.2.2 p4 0>0");
}

/// A subframe of an A-MSDU, padded to four octets.
fn subframe(payload: &str) -> String {
    let octets = bytes(payload).len();
    let padding = "00".repeat((4 - (14 + octets) % 4) % 4);
    format!("060000000003 060000000002 {octets:04x} {payload} {padding}")
}

#[test]
fn every_subframe_with_a_packet_is_one_and_they_share_the_frame() {
    let (four, six) = (format!("{SNAP} {INNER4}"), format!("aaaa03 000000 86dd {INNER6}"));
    let arp = "aaaa03 000000 0806 0001";
    let broken = format!("{SNAP} 1500");
    let gre = |payload: &str| ipv4(47, &format!("0000 8200 {}", wireless("8802", "0010", "8700", payload)));
    let parts = |subframes: &[&str]| {
        let payload: String = subframes.iter().map(|payload| subframe(payload)).collect();
        let bytes = bytes(&gre(&payload));
        let (mut found, mut skipped, mut part) = (Vec::new(), 0, None);
        loop {
            let packets = match part {
                None => decapsulate(&frame(&bytes), &Tunnels::default()),
                Some(part) => decapsulate_part(&frame(&bytes), &Tunnels::default(), part),
            };
            let packets = packets.expect("an outer packet");
            if let Some(inner) = packets.inner {
                let (metered, _) = layers_part(&frame(&bytes), &Tunnels::default(), true, part).expect("decoded before");
                assert_eq!(metered, inner.headers);
                found.push((matches!(metered.network, Network::V6(..)), packets.wire_len));
            }
            skipped += packets.skipped;
            match packets.next {
                Some(next) => part = Some(next),
                None => return (found, skipped, bytes.len()),
            }
        }
    };
    for (subframes, versions, skipped) in [
        (&[four.as_str()][..], &[false][..], 0),
        (&[&four, &six, &four], &[false, true, false], 0),
        (&[arp, &four, arp, &six], &[false, true], 2),
        (&[&four, arp, &broken], &[false], 2),
        (&[arp, arp], &[], 0),
    ] {
        let (found, passed_over, octets) = parts(subframes);
        assert_eq!(found.iter().map(|(six, _)| *six).collect::<Vec<_>>(), versions, "{subframes:?}");
        assert_eq!(passed_over, skipped, "{subframes:?}");
        let shares: u32 = found.iter().map(|(_, share)| share).sum();
        if passed_over == 0 && !found.is_empty() {
            assert_eq!(shares as usize, octets);
        }
    }
    // Every prefix is a value, from each of its subframes on.
    let whole = bytes(&gre(&[&four, &six, &four].map(|payload| subframe(payload)).concat()));
    for end in 0..whole.len() {
        for part in 0..u16::try_from(end).expect("short") {
            let _ = decapsulate_part(&frame(&whole[..end]), &Tunnels::default(), Part(part));
        }
    }
    // What carries the A-MSDU is an inner packet of the first walk only, where a later subframe has no packet, too.
    let carrier = gre(&[subframe(&four), subframe(arp)].concat());
    let carrier = behind(14, &carrier);
    let carried = bytes(&ipv4(47, &format!("0000 0800 {carrier}")));
    let packets = decapsulate(&frame(&carried), &Tunnels::default()).expect("a packet");
    let rest = decapsulate_part(&frame(&carried), &Tunnels::default(), packets.next.expect("another")).expect("a packet");
    assert!(packets.inner.is_some() && rest.inner.is_none() && rest.skipped == 1, "{:?}", rest.inner);
    // Of an A-MSDU inside of one the first packet is metered.
    let nested = gre(&[subframe(&four), subframe(&four)].concat());
    let nested = behind(14, &nested);
    let nested = bytes(&gre(&[subframe(&format!("{SNAP} {nested}")), subframe(&six)].concat()));
    let packets = decapsulate(&frame(&nested), &Tunnels::default()).expect("a packet");
    let next = decapsulate_part(&frame(&nested), &Tunnels::default(), packets.next.expect("another")).expect("a packet");
    assert!(matches!(next.inner.expect("IPv6").headers.network, Network::V6(..)) && next.next.is_none());
}

#[test]
fn further_ports_are_those_of_their_kind() {
    let tunnels = Tunnels::default().with_port(Tunnel::Vxlan, 48_879).and_then(|t| t.with_port(Tunnel::GtpU, 3000)).expect("free ports");
    let vxlan = udp(48_879, &format!("08000000 00000000 {INNER_ETHERNET} 0800 {INNER4}"));
    assert_eq!(show_tunnel(&vxlan, &tunnels), format!("vxlan 0 {UDP4}"));
    check_tunnel(&vxlan, " 0 192.0.2.1 > 192.0.2.2 p17 49152>48879");
    assert_eq!(show_tunnel(&udp(3000, &format!("30ff 0000 00000005 {INNER4}")), &tunnels), format!("gtp 5 {UDP4}"));
    let back = vxlan.replace("c000 beef", "beef c000");
    assert_eq!(show_tunnel(&back, &tunnels), format!("vxlan 0 {UDP4}"));
    for hex in [vxlan, back] {
        let found = crate::inner4(&frame(&[bytes(&hex), vec![0; 20]].concat()), &tunnels).expect("a common packet");
        assert_eq!((found.packet.sport, found.network), (53, (Tunnel::Vxlan as u32) << 24));
        assert!(crate::fast4(&frame(&[bytes(&hex), vec![0; 20]].concat()), &tunnels).is_none());
    }
}
