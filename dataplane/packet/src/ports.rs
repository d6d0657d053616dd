//! The UDP ports of tunnels: the standard ones, and those the operator adds.

use crate::tunnel::Tunnel;

/// Most ports an operator can add.
pub const TUNNEL_PORTS_MAX: usize = 32;

/// How many standard ports there are.
const COUNT: usize = {
    let (mut kinds, mut count): (&[Tunnel], usize) = (&Tunnel::ALL, 0);
    while let [kind, others @ ..] = kinds {
        (kinds, count) = (others, count.wrapping_add(kind.udp_ports().len()));
    }
    count
};

/// The standard ports of all kinds.
const STANDARD: [(u16, Tunnel); COUNT] = {
    let mut table = [(0, Tunnel::Vxlan); COUNT];
    let (mut kinds, mut at): (&[Tunnel], usize) = (&Tunnel::ALL, 0);
    while let [kind, other_kinds @ ..] = kinds {
        let mut ports = kind.udp_ports();
        while let [port, other_ports @ ..] = ports {
            if let (_, [place, ..]) = table.split_at_mut(at) {
                *place = (*port, *kind);
            }
            (ports, at) = (other_ports, at.wrapping_add(1));
        }
        kinds = other_kinds;
    }
    table
};

/// Places of a table, by the low bits of a port.
const PLACES: usize = 1 << 11;

/// The UDP ports of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPorts {
    /// Where the low bits of a port are those of a tunnel's.
    perhaps: [bool; PLACES],
    added: [(u16, Tunnel); TUNNEL_PORTS_MAX],
    count: u8,
}

impl UdpPorts {
    /// The standard ports alone.
    pub(crate) const STANDARD: Self = {
        let mut ports = Self { perhaps: [false; PLACES], added: [(0, Tunnel::Vxlan); TUNNEL_PORTS_MAX], count: 0 };
        let mut rest: &[(u16, Tunnel)] = &STANDARD;
        while let [(port, _), behind @ ..] = rest {
            if let (_, [place, ..]) = ports.perhaps.split_at_mut(*port as usize % PLACES) {
                *place = true;
            }
            rest = behind;
        }
        ports
    };

    /// Adds a port.
    pub(crate) fn add(&mut self, kind: Tunnel, port: u16) -> Result<(), &'static str> {
        if !kind.has_udp_ports() {
            return Err("a kind of tunnel that travels over UDP");
        }
        if port == 0 {
            return Err("a UDP port, 1 to 65535");
        }
        match self.kind(port) {
            Some(known) if known == kind => return Ok(()),
            Some(_) => return Err("a UDP port that no other kind of tunnel has"),
            None => {}
        }
        let Some(place) = self.added.get_mut(usize::from(self.count)) else { return Err("at most 32 ports in all") };
        *place = (port, kind);
        self.count = self.count.saturating_add(1);
        if let Some(place) = self.perhaps.get_mut(usize::from(port) % PLACES) {
            *place = true;
        }
        Ok(())
    }

    /// The ports that were added, in their order.
    pub fn added(&self) -> impl Iterator<Item = (u16, Tunnel)> {
        self.added.into_iter().take(self.count.into())
    }

    /// The kind of tunnel a port belongs to.
    #[inline]
    pub(crate) fn kind(&self, port: u16) -> Option<Tunnel> {
        if !self.perhaps(port, port) {
            return None;
        }
        let added = self.added.iter().take(self.count.into());
        STANDARD.iter().chain(added).find(|(known, _)| *known == port).map(|(_, kind)| *kind)
    }

    /// Whether one of two ports may be that of a tunnel: "no" is certain, and so it is for 99 packets in a hundred. Two loads.
    #[inline(always)]
    pub(crate) fn perhaps(&self, sport: u16, dport: u16) -> bool {
        let perhaps = |port: u16| self.perhaps.get(usize::from(port) % PLACES).is_some_and(|place| *place);
        perhaps(sport) | perhaps(dport)
    }

    /// Whether one of two ports is that of a tunnel.
    #[cold]
    #[inline(never)]
    pub(crate) fn surely(&self, sport: u16, dport: u16) -> bool {
        self.kind(sport).is_some() | self.kind(dport).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_tests::{bytes, frame, udp};
    use crate::{Tunnels, fast4};

    #[test]
    fn a_port_belongs_to_one_kind() {
        let mut ports = UdpPorts::STANDARD;
        for (port, kind) in STANDARD {
            assert_eq!(ports.kind(port), Some(kind));
            assert!(ports.perhaps(port, 1) && ports.surely(1, port));
        }
        let known = STANDARD.map(|(port, _)| port);
        for port in (0..=u16::MAX).filter(|port| !known.contains(port)) {
            assert!(!ports.surely(port, port), "{port}");
        }
        assert_eq!(ports.add(Tunnel::Vxlan, 48_879), Ok(()));
        assert_eq!(ports.add(Tunnel::Vxlan, 48_879), Ok(()), "said twice");
        assert_eq!((ports.kind(48_879), ports.added().collect::<Vec<_>>()), (Some(Tunnel::Vxlan), vec![(48_879, Tunnel::Vxlan)]));
        // The same low bits, another port.
        assert!(ports.perhaps(48_879 % 2048, 7) && !ports.surely(48_879 % 2048, 7));
        for (kind, port) in [(Tunnel::Geneve, 48_879), (Tunnel::Geneve, 4789), (Tunnel::IpInIp, 5000), (Tunnel::GtpU, 0)] {
            assert!(ports.add(kind, port).is_err(), "{kind:?} {port}");
        }
        for port in 1..TUNNEL_PORTS_MAX {
            assert_eq!(ports.add(Tunnel::GtpU, 20_000 + u16::try_from(port).expect("few")), Ok(()));
        }
        assert!(ports.add(Tunnel::GtpU, 30_000).is_err(), "no more");
    }

    #[test]
    fn every_tunnel_port_is_found_and_no_other() {
        let found = (0..=u16::MAX).filter(|port| Tunnels::default().ports().kind(*port).is_some()).collect::<Vec<_>>();
        assert_eq!(found, [1701, 2152, 3386, 3544, 4754, 4789, 4790, 5072, 5247, 6081, 6635, 8472]);
        for port in found {
            let hex = bytes(&udp(port, "00"));
            assert_eq!(fast4(&frame(&[hex.as_slice(), &[0; 20]].concat()), &Tunnels::default()), None, "{port}");
        }
    }
}
