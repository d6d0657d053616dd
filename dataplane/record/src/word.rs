//! Numbers in the 64-bit words of a record, and out of them.

/// Eight octets, the first lowest.
pub(crate) const fn pack(octets: [u8; 8]) -> u64 {
    u64::from_le_bytes(octets)
}

/// Four 16-bit numbers, the first lowest.
pub(crate) const fn quad(a: u16, b: u16, c: u16, d: u16) -> u64 {
    a as u64 | (b as u64) << 16 | (c as u64) << 32 | (d as u64) << 48
}

/// What [`quad`] put together.
#[inline]
pub(crate) fn unquad(word: u64) -> [u16; 4] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes)
}

/// Two 32-bit numbers, the first lowest.
pub(crate) const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// What [`pair`] put together.
#[inline]
pub(crate) fn unpair(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes)
}

/// The two words of an IPv6 address, in network order.
#[inline]
pub(crate) fn address(octets: &[u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *octets;
    [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]].map(u64::from_be_bytes)
}

/// What [`address`] took apart.
#[inline]
pub(crate) fn octets(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// Writes words in order; what has no room is not written.
#[derive(Debug)]
pub(crate) struct Writer<'a>(core::slice::IterMut<'a, u64>);

impl<'a> Writer<'a> {
    pub(crate) fn new(words: &'a mut [u64]) -> Self {
        Self(words.iter_mut())
    }

    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, words: [u64; N]) {
        for (word, place) in words.into_iter().zip(&mut self.0) {
            *place = word;
        }
    }
}

/// Reads words in order.
#[derive(Debug)]
pub(crate) struct Reader<'a>(core::slice::Iter<'a, u64>);

impl<'a> Reader<'a> {
    pub(crate) fn new(words: &'a [u64]) -> Self {
        Self(words.iter())
    }

    pub(crate) fn word(&mut self) -> Option<u64> {
        self.0.next().copied()
    }

    pub(crate) fn words<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(words)
    }

    pub(crate) fn halves(&mut self) -> Option<[u32; 2]> {
        self.word().map(unpair)
    }

    pub(crate) fn quarters(&mut self) -> Option<[u16; 4]> {
        self.word().map(unquad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart() {
        assert_eq!(unquad(quad(1, 2, 3, 0xffff)), [1, 2, 3, 0xffff]);
        assert_eq!(unpair(pair(1, u32::MAX)), [1, u32::MAX]);
        let [high, low] = address(b"sixteen octets..");
        assert_eq!(&octets(high, low), b"sixteen octets..");
        assert_eq!(pack([1, 0, 0, 0, 0, 0, 0, 2]), 1 | 2 << 56);
    }
}
