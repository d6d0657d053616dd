//! Octets of a capture file as numbers.

/// The byte order a file, or a section of it, was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) const fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }
}

/// Cuts octets into words of four.
#[inline(always)]
pub(super) fn words<const OCTETS: usize, const WORDS: usize>(bytes: &[u8; OCTETS]) -> [[u8; 4]; WORDS] {
    const { assert!(OCTETS == WORDS * 4) };
    let (words, _) = bytes.as_chunks::<4>();
    let mut out = [[0; 4]; WORDS];
    for (to, from) in out.iter_mut().zip(words) {
        *to = *from;
    }
    out
}
