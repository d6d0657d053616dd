//! What an entry keeps of the annex: two handles.

use bytemuck::Zeroable;

/// Bits of a place: a handle has use for the three highest bits. 64 GiB.
pub(crate) const PLACE_BITS: u32 = 29;

/// What a slot is for. Each class has chunks of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Class {
    /// Layers, as words of the record.
    Layers,
    /// The state of a TCP connection.
    Tcp,
    /// The state of requests and answers over UDP, or of QUIC.
    Udp,
    /// The pattern of a flow's packets.
    Pattern,
    /// A pattern and layers.
    Both,
}

/// Where the performance of a flow is kept, as its entry notes it: the number of a place, and in the two highest bits its kind. 0 is none.
/// The third bit says, of a TCP connection, from which direction the latest payload came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured(pub(crate) u32);

/// What stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Tcp = 0,
    Udp = 1,
    Quic = 2,
    /// Nothing yet: the entry keeps a lone SYN.
    Syn = 3,
}

impl Measured {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// A lone SYN.
    pub(crate) const SYN: Self = Self((Kind::Syn as u32) << Self::KIND);

    const KIND: u32 = PLACE_BITS + 1;
    const SPOKE: u32 = PLACE_BITS;

    /// A slot of the annex.
    pub(crate) fn new(kind: Kind, place: u32) -> Self {
        Self(place | (kind as u32) << Self::KIND)
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0 >> Self::KIND {
            0 => Kind::Tcp,
            1 => Kind::Udp,
            2 => Kind::Quic,
            _ => Kind::Syn,
        }
    }

    #[inline(always)]
    pub(crate) fn place(self) -> u32 {
        self.0 & ((1 << Self::SPOKE) - 1)
    }

    /// From which direction the latest payload came.
    #[inline(always)]
    pub(crate) fn spoke(self) -> u8 {
        u8::from(self.0 >> Self::SPOKE & 1 != 0)
    }

    /// Whether there is nothing.
    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether it is the state of a TCP connection, or nothing.
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        self.0 >> Self::KIND == 0
    }

    /// The same, and who has sent the latest payload.
    #[inline(always)]
    pub(crate) fn spoken(self, way: u8) -> Self {
        Self(self.0 & !(1 << Self::SPOKE) | u32::from(way & 1) << Self::SPOKE)
    }
}

/// What an entry keeps of its layers and its pattern: the place of a slot, and in two bits above what stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable)]
#[repr(transparent)]
pub(crate) struct Extras(u32);

impl Extras {
    const LAYERS: u32 = 1 << PLACE_BITS;
    const PATTERN: u32 = 1 << (PLACE_BITS + 1);

    /// Nothing.
    pub(crate) const NONE: Self = Self(0);

    /// A slot of this class at this place.
    pub(crate) fn new(class: Class, place: u32) -> Self {
        Self(match class {
            Class::Layers => place | Self::LAYERS,
            Class::Pattern => place | Self::PATTERN,
            Class::Both => place | Self::LAYERS | Self::PATTERN,
            Class::Tcp | Class::Udp => 0,
        })
    }

    /// Whether there is nothing.
    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the slot has a pattern.
    #[inline(always)]
    pub(crate) fn has_pattern(self) -> bool {
        self.0 & Self::PATTERN != 0
    }

    #[inline(always)]
    pub(crate) fn place(self) -> u32 {
        self.0 & ((1 << PLACE_BITS) - 1)
    }

    #[inline(always)]
    pub(crate) fn class(self) -> Class {
        match (self.0 & Self::LAYERS != 0, self.has_pattern()) {
            (true, true) => Class::Both,
            (false, true) => Class::Pattern,
            _ => Class::Layers,
        }
    }
}
