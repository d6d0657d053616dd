//! Reading bytes in order, never behind the end.

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

    /// The next two bytes as a number in network order.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(|b| u16::from_be_bytes(*b))
    }
}
