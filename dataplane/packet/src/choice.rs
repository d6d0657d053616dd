//! What the operator has chosen: which flow of a tunnelled packet is metered, and which UDP ports tunnels have.

use crate::ports::UdpPorts;
use crate::tunnel::Tunnel;

/// Which flow of a tunnelled packet is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum View {
    /// The innermost flow, with the outer header beside it.
    #[default]
    Inner,
    /// The outer flow: the tunnel is one flow.
    Outer,
    /// Both.
    Both,
}

/// Most levels of tunnels that can be looked into.
pub const TUNNEL_DEPTH_MAX: u8 = 8;

/// What the operator has chosen for each kind of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnels {
    enter: u32,
    both: u32,
    depth_max: u8,
    ports: UdpPorts,
}

impl Default for Tunnels {
    /// Inner flows, at most four tunnels deep.
    fn default() -> Self {
        Self::new(View::Inner, 4)
    }
}

impl Tunnels {
    /// The same view for every kind. `depth_max`: tunnels one in another, at most [`TUNNEL_DEPTH_MAX`].
    pub const fn new(view: View, depth_max: u8) -> Self {
        let (all, ports) = (u32::MAX, UdpPorts::STANDARD);
        let depth_max = if depth_max > TUNNEL_DEPTH_MAX { TUNNEL_DEPTH_MAX } else { depth_max };
        match view {
            View::Inner => Self { enter: all, both: 0, depth_max, ports },
            View::Outer => Self { enter: 0, both: 0, depth_max, ports },
            View::Both => Self { enter: all, both: all, depth_max, ports },
        }
    }

    /// Another view for one kind.
    #[must_use]
    pub const fn with(mut self, kind: Tunnel, view: View) -> Self {
        self.enter &= !kind.bit();
        self.both &= !kind.bit();
        match view {
            View::Outer => {}
            View::Inner => self.enter |= kind.bit(),
            View::Both => {
                self.enter |= kind.bit();
                self.both |= kind.bit();
            }
        }
        self
    }

    /// The same with another UDP port of a kind that travels over UDP, beside its standard ones.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn with_port(mut self, kind: Tunnel, port: u16) -> Result<Self, &'static str> {
        self.ports.add(kind, port)?;
        Ok(self)
    }

    /// The UDP ports of tunnels.
    pub const fn ports(&self) -> &UdpPorts {
        &self.ports
    }

    /// The view of a kind.
    pub const fn view(&self, kind: Tunnel) -> View {
        match (self.enter & kind.bit() != 0, self.both & kind.bit() != 0) {
            (false, _) => View::Outer,
            (true, false) => View::Inner,
            (true, true) => View::Both,
        }
    }

    /// Tunnels one in another that are looked into.
    pub const fn depth_max(&self) -> u8 {
        self.depth_max
    }

    /// Whether there is a kind of tunnel that is looked into.
    pub const fn enters_any(&self) -> bool {
        self.enter != 0 && self.depth_max > 0
    }

    /// Whether a frame may be metered twice.
    pub const fn any_both(&self) -> bool {
        self.both != 0
    }

    pub(crate) const fn enters(&self, kind: Tunnel) -> bool {
        self.enter & kind.bit() != 0
    }

    /// Whether a packet in a tunnel of this kind is looked for, and the tunnel itself is no flow.
    pub(crate) const fn enters_alone(&self, kind: Tunnel) -> bool {
        (self.enter & !self.both) & kind.bit() != 0 && self.depth_max > 0
    }

    pub(crate) const fn keeps_outer(&self, kind: Tunnel) -> bool {
        self.both & kind.bit() != 0
    }
}
