//! The link of a port.

/// How a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// There is one.
    Up,
    /// There is none, the driver says.
    #[default]
    Down,
    /// Somebody has switched the kernel's interface off.
    SwitchedOff,
    /// The kernel's interface has no carrier: the cable, or the other end.
    NoCarrier,
    /// The kernel has no such interface any more.
    Gone,
}

impl LinkState {
    /// The state in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::SwitchedOff => "down: the interface is switched off",
            Self::NoCarrier => "down: no carrier",
            Self::Gone => "gone: there is no such interface",
        }
    }
}

/// State of the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub state: LinkState,
    /// Megabits a second; 0: not known.
    pub speed_mbps: u32,
    /// Both directions at once.
    pub full_duplex: bool,
}

impl Link {
    /// Whether there is one.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }
}
