//! Writes fields one after the other.

/// The rest of a record, or of a header. Of an array of known length nothing remains of it but the stores.
pub(crate) struct Cursor<'a>(pub(crate) &'a mut [u8]);

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(crate) fn put<const N: usize>(&mut self, octets: [u8; N]) {
        *self.take() = octets;
    }

    /// Room for a group of fields.
    #[inline(always)]
    pub(crate) fn take<const N: usize>(&mut self) -> &'a mut [u8; N] {
        let rest = std::mem::take(&mut self.0);
        let (field, rest) = rest.split_first_chunk_mut().expect("the room is as long as its template");
        self.0 = rest;
        field
    }

    /// Octets that were written elsewhere.
    #[inline(always)]
    pub(crate) fn copy(&mut self, octets: &[u8]) {
        let rest = std::mem::take(&mut self.0);
        let (own, rest) = rest.split_at_mut(octets.len());
        own.copy_from_slice(octets);
        self.0 = rest;
    }

    /// Nothing is left to write.
    #[inline(always)]
    pub(crate) fn end(self) {
        debug_assert!(self.0.is_empty(), "{} octets were not written", self.0.len());
    }
}
