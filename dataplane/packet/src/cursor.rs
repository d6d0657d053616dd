//! Reading bytes in order, never past the end, and reading the fields of a header at constant offsets.

/// What is left of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet read.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The next `N` bytes; nothing is read when there are fewer.
    pub(crate) fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(head)
    }

    /// Looks at the next `N` bytes.
    pub(crate) fn peek<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.rest.first_chunk()
    }

    /// Passes over `n` bytes; `None`, and nothing is passed over, when there are fewer.
    pub(crate) fn skip(&mut self, n: usize) -> Option<()> {
        self.rest = self.rest.get(n..)?;
        Some(())
    }

    /// The same with at most `n` bytes left.
    pub(crate) fn up_to(self, n: usize) -> Self {
        Self { rest: self.rest.get(..n).unwrap_or(self.rest) }
    }

    /// The next byte, without reading it.
    pub(crate) fn first(self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next two bytes as a number in network order.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(|b| u16::from_be_bytes(*b))
    }

    /// The next four bytes as a number in network order.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(|b| u32::from_be_bytes(*b))
    }
}

/// Reads the fields of a complete header by their offsets. An offset outside of the header does not compile.
pub(crate) trait Fields {
    /// `LEN` octets at `AT`.
    fn octets<const AT: usize, const LEN: usize>(&self) -> [u8; LEN];

    /// The octet at `AT`.
    #[inline(always)]
    fn u8<const AT: usize>(&self) -> u8 {
        u8::from_be_bytes(self.octets::<AT, 1>())
    }

    /// The two octets at `AT` as a number in network order.
    #[inline(always)]
    fn u16<const AT: usize>(&self) -> u16 {
        u16::from_be_bytes(self.octets::<AT, 2>())
    }

    /// The four octets at `AT` as a number in network order.
    #[inline(always)]
    fn u32<const AT: usize>(&self) -> u32 {
        u32::from_be_bytes(self.octets::<AT, 4>())
    }
}

impl<const N: usize> Fields for [u8; N] {
    #[inline(always)]
    fn octets<const AT: usize, const LEN: usize>(&self) -> [u8; LEN] {
        const { assert!(N.saturating_sub(AT) >= LEN, "the field is in the header") };
        // The constant above makes this a load without a branch.
        self.get(AT..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; LEN])
    }
}
