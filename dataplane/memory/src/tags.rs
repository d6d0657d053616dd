//! Searching lines of 16-bit tags: the one place where the vector unit matters.
//!
//! The unit is found at run time ([`Simd::detect`]), so that one binary serves every x86-64; the portable code serves the rest.

use bytemuck::Zeroable;

/// One cache line of 32 tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable)]
#[repr(C, align(64))]
pub struct Line(pub [u16; 32]);

const _: () = assert!(size_of::<Line>() == 64);

/// Vector unit in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// 512-bit compare (AVX-512BW): one instruction a line.
    Avx512,
    /// 256-bit compare: two.
    Avx2,
    /// Whatever the compiler makes of plain code.
    Portable,
}

impl Simd {
    /// The best unit this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// This unit if the machine has it, else the best it has.
    pub fn at_most(self) -> Self {
        match (self, Self::detect()) {
            (Self::Avx512, found) => found,
            (Self::Avx2, Self::Avx512) => Self::Avx2,
            (Self::Avx2, found) => found,
            (Self::Portable, _) => Self::Portable,
        }
    }

    /// Its name: "avx512", "avx2", "portable".
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }
}

/// A searcher for a vector unit that is known to be there.
#[derive(Clone, Copy, Debug)]
pub struct Searcher(Simd);

impl Searcher {
    /// Uses `simd`, or what the machine has if it is less.
    pub fn new(simd: Simd) -> Self {
        Self(simd.at_most())
    }

    /// The unit in use.
    pub fn simd(self) -> Simd {
        self.0
    }

    /// For each `(line, tag)` wanted: the mask of those of the first 31 places of `lines[line]` that hold `tag`; 0 for a line that does
    /// not exist. As many are looked for as there are both of `wanted` and of `masks`.
    ///
    /// Budget: 2 ns a line in L1 with AVX2 (bench `tags/search`).
    #[inline]
    pub fn search(self, lines: &[Line], wanted: &[(u32, u16)], masks: &mut [u32]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Searcher` is made by `new` only, which has detected the feature.
            Simd::Avx512 => unsafe { x86::search_avx512(lines, wanted, masks) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Simd::Avx2 => unsafe { x86::search_avx2(lines, wanted, masks) },
            _ => search_with(lines, wanted, masks, equal),
        }
    }

    /// The place, of the first 31, whose value comes first when counted from `base` in 16-bit arithmetic that wraps: values up to
    /// 32,767 behind `base` come before it.
    #[inline]
    pub fn first_from(self, line: &Line, base: u16) -> u32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `search`; every machine with AVX-512 has AVX2.
            Simd::Avx512 | Simd::Avx2 => unsafe { x86::first_from_avx2(line, base) },
            _ => first_from(line, base),
        }
    }

    /// The mask of the places in `line` that hold `tag`.
    #[inline]
    pub fn find_one(self, line: &Line, tag: u16) -> u32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `search`.
            Simd::Avx512 => unsafe { x86::equal_avx512(line, tag) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `search`.
            Simd::Avx2 => unsafe { x86::equal_avx2(line, tag) },
            _ => equal(line, tag),
        }
    }
}

/// The first 31 places of a line.
const PLACES: u32 = u32::MAX >> 1;

#[inline(always)]
fn search_with(lines: &[Line], wanted: &[(u32, u16)], masks: &mut [u32], equal: impl Fn(&Line, u16) -> u32) {
    for (&(line, tag), mask) in wanted.iter().zip(masks) {
        *mask = lines.get(line as usize).map_or(0, |line| equal(line, tag) & PLACES);
    }
}

fn first_from(line: &Line, base: u16) -> u32 {
    let mut best = (i16::MAX, 0);
    for (place, value) in (0..31).zip(line.0) {
        let left = value.wrapping_sub(base).cast_signed();
        if left < best.0 {
            best = (left, place);
        }
    }
    best.1
}

/// Portable compare; on x86-64 the compiler has SSE2 for it.
#[inline(always)]
fn equal(line: &Line, tag: u16) -> u32 {
    let mut mask = 0;
    for (place, value) in line.0.iter().enumerate() {
        mask |= u32::from(*value == tag) << place;
    }
    mask
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Line, search_with};
    use std::arch::x86_64::{
        __m256i, __m512i, _mm_extract_epi16, _mm_min_epu16, _mm_minpos_epu16, _mm256_castsi256_si128, _mm256_cmpeq_epi16,
        _mm256_extracti128_si256, _mm256_insert_epi16, _mm256_min_epu16, _mm256_movemask_epi8, _mm256_packs_epi16,
        _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_sub_epi16, _mm256_xor_si256, _mm512_cmpeq_epi16_mask, _mm512_set1_epi16,
    };

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn equal_avx2(line: &Line, tag: u16) -> u32 {
        // SAFETY: a `Line` is 64 bytes, aligned to 64: two vectors of 32, and every bit pattern is one.
        let [low, high]: [__m256i; 2] = unsafe { std::mem::transmute(*line) };
        let tag = _mm256_set1_epi16(tag.cast_signed());
        // Two compares give 32 words of 0 or -1; packing them to bytes interleaves the 128-bit halves, the permutation undoes it.
        let packed = _mm256_packs_epi16(_mm256_cmpeq_epi16(low, tag), _mm256_cmpeq_epi16(high, tag));
        _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(packed)).cast_unsigned()
    }

    #[target_feature(enable = "avx512bw,avx512f")]
    #[inline]
    pub(super) fn equal_avx512(line: &Line, tag: u16) -> u32 {
        // SAFETY: a `Line` is 64 bytes, aligned to 64: one vector, and every bit pattern is one.
        let line: __m512i = unsafe { std::mem::transmute(*line) };
        _mm512_cmpeq_epi16_mask(line, _mm512_set1_epi16(tag.cast_signed()))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn first_from_avx2(line: &Line, base: u16) -> u32 {
        // SAFETY: as in `equal_avx2`.
        let [low, high]: [__m256i; 2] = unsafe { std::mem::transmute(*line) };
        let (base, sign) = (_mm256_set1_epi16(base.cast_signed()), _mm256_set1_epi16(i16::MIN));
        // Signed distances, turned so that unsigned order is theirs; the last word is no place.
        let low = _mm256_xor_si256(_mm256_sub_epi16(low, base), sign);
        let high = _mm256_insert_epi16::<15>(_mm256_xor_si256(_mm256_sub_epi16(high, base), sign), -1);
        let half = _mm256_min_epu16(low, high);
        let quarter = _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
        #[expect(clippy::cast_possible_truncation, reason = "a 16-bit word, extended")]
        let least = _mm256_set1_epi16(_mm_extract_epi16::<0>(_mm_minpos_epu16(quarter)) as i16);
        let packed = _mm256_packs_epi16(_mm256_cmpeq_epi16(low, least), _mm256_cmpeq_epi16(high, least));
        (_mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(packed)).cast_unsigned() & 0x7fff_ffff).trailing_zeros() & 31
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn search_avx2(lines: &[Line], wanted: &[(u32, u16)], masks: &mut [u32]) {
        search_with(lines, wanted, masks, |line, tag| equal_avx2(line, tag));
    }

    #[target_feature(enable = "avx512bw,avx512f")]
    pub(super) fn search_avx512(lines: &[Line], wanted: &[(u32, u16)], masks: &mut [u32]) {
        search_with(lines, wanted, masks, |line, tag| equal_avx512(line, tag));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_finds_what_plain_code_finds() {
        let mut state = 88_172_645_463_325_252u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let lines: Vec<Line> = (0..64).map(|_| Line(std::array::from_fn(|_| (random() % 50) as u16))).collect();
        let wanted: Vec<(u32, u16)> = (0..1000).map(|_| ((random() % 70) as u32, (random() % 60) as u16)).collect();
        let places = |line: u32, tag| {
            let words = lines.get(line as usize).map_or(&[][..], |line| &line.0[..31]);
            words.iter().enumerate().filter(|(_, word)| **word == tag).map(|(place, _)| 1 << place).sum::<u32>()
        };
        let expected: Vec<_> = wanted.iter().map(|&(line, tag)| places(line, tag)).collect();
        assert!(expected.iter().any(|mask| mask.count_ones() > 1) && expected.contains(&0));
        for simd in [Simd::Avx512, Simd::Avx2, Simd::Portable] {
            let searcher = Searcher::new(simd);
            let mut found = vec![u32::MAX; wanted.len()];
            searcher.search(&lines, &wanted, &mut found);
            assert_eq!(found, expected, "{simd:?} runs as {:?}", searcher.simd());
            for line in &lines {
                for base in [0, 7, 25, 49, 50, 60, 32_767, 32_768, 65_535] {
                    assert_eq!(searcher.first_from(line, base), first_from(line, base), "{line:?} {base}");
                }
            }
            for &(line, tag) in &wanted {
                if let Some(words) = lines.get(line as usize) {
                    assert_eq!(searcher.find_one(words, tag) & PLACES, places(line, tag));
                }
            }
        }
    }
}
