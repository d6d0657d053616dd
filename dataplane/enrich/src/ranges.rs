//! Prefixes to disjoint ranges to a table that finds the range of an address.

use std::fmt::Debug;

/// The value of a range nobody knows anything of.
pub(crate) const NONE: u32 = u32::MAX;

/// An address as a number, in host order.
pub(crate) trait Address: Copy + Ord + Debug {
    /// Bits of it: 32 or 128.
    const BITS: u8;
    /// How many first levels of the table there are.
    const BUCKETS: usize;

    /// The first address, all zero.
    const ZERO: Self;

    /// Which part of the first level it belongs to, below [`Address::BUCKETS`]. Never falls while addresses rise.
    fn bucket(self) -> usize;

    /// The address with every bit behind the first `length` set to 0.
    fn first(self, length: u8) -> Self;

    /// The address with every bit behind the first `length` set to 1.
    fn last(self, length: u8) -> Self;

    /// The address behind it, if there is one.
    fn next(self) -> Option<Self>;
}

impl Address for u32 {
    const BITS: u8 = 32;
    // 2^18 buckets of 2^14 addresses: 1 MB of first level, and some 8 ranges a bucket where 2 million ranges are spread evenly.
    const BUCKETS: usize = 1 << 18;
    const ZERO: Self = 0;

    #[inline(always)]
    fn bucket(self) -> usize {
        (self >> 14) as usize
    }

    fn first(self, length: u8) -> Self {
        self & !u32::MAX.checked_shr(length.into()).unwrap_or(0)
    }

    fn last(self, length: u8) -> Self {
        self | u32::MAX.checked_shr(length.into()).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Address for u128 {
    const BITS: u8 = 128;
    // Global unicast addresses begin with 001 (RFC 4291 section 2.4): 2^20 buckets of one /23 each, and one for all others on either
    // side of them.
    const BUCKETS: usize = (1 << 20) + 2;
    const ZERO: Self = 0;

    #[inline(always)]
    fn bucket(self) -> usize {
        const LOW: u128 = 0x2000 << 112;
        const HIGH: u128 = 0x4000 << 112;
        if self < LOW {
            0
        } else if self < HIGH {
            // 20 bits behind the first three.
            ((self >> 105) as usize & 0xf_ffff).wrapping_add(1)
        } else {
            Self::BUCKETS - 1
        }
    }

    fn first(self, length: u8) -> Self {
        self & !u128::MAX.checked_shr(length.into()).unwrap_or(0)
    }

    fn last(self, length: u8) -> Self {
        self | u128::MAX.checked_shr(length.into()).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// A network and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix<A> {
    /// First address; bits behind `length` are 0.
    pub(crate) start: A,
    /// Bits of the prefix.
    pub(crate) length: u8,
    /// A number of whoever made the prefix.
    pub(crate) value: u32,
}

/// Where a range begins; it ends before the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary<A> {
    /// First address.
    pub(crate) start: A,
    /// Bits of the prefix the range was made of; 0 where `value` is [`NONE`].
    pub(crate) length: u8,
    /// Value of that prefix, or [`NONE`].
    pub(crate) value: u32,
}

/// Ranges in the order of their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges<A>(Vec<Boundary<A>>);

impl<A> Default for Ranges<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<A: Address> Ranges<A> {
    /// Begins a range behind all others; one that begins at the same address is replaced.
    pub(crate) fn push(&mut self, start: A, length: u8, value: u32) {
        let length = if value == NONE { 0 } else { length };
        let boundary = Boundary { start, length, value };
        match self.0.last_mut() {
            Some(last) if last.start == start => *last = boundary,
            Some(last) if (last.length, last.value) == (length, value) && value == NONE => {}
            _ => self.0.push(boundary),
        }
    }

    /// Longest-prefix match made flat: each address gets the value of the longest prefix it is in. Of equal prefixes the first one
    /// counts.
    pub(crate) fn of_prefixes(mut prefixes: Vec<Prefix<A>>) -> Self {
        prefixes.sort_by_key(|p| (p.start, p.length));
        prefixes.dedup_by_key(|p| (p.start, p.length));
        let mut ranges = Self(Vec::with_capacity(prefixes.len().saturating_mul(2)));
        // The prefixes the sweep is in, from the shortest to the longest.
        let mut open: Vec<Prefix<A>> = Vec::new();
        for prefix in prefixes {
            ranges.leave(&mut open, Some(prefix.start));
            ranges.push(prefix.start, prefix.length, prefix.value);
            open.push(prefix);
        }
        ranges.leave(&mut open, None);
        ranges
    }

    /// Leaves those open prefixes that end before `until` (all of them, when there is nothing more).
    fn leave(&mut self, open: &mut Vec<Prefix<A>>, until: Option<A>) {
        while let Some(top) = open.last() {
            let last = top.start.last(top.length);
            if until.is_some_and(|until| until <= last) {
                break;
            }
            open.pop();
            let (length, value) = open.last().map_or((0, NONE), |around| (around.length, around.value));
            if let Some(next) = last.next() {
                self.push(next, length, value);
            }
        }
    }
}

/// Several sources side by side: what each says of every range that all of them together make.
pub(crate) fn sweep<A: Address, const N: usize>(sources: [&Ranges<A>; N], mut visit: impl FnMut(A, &[Boundary<A>; N])) {
    let mut rest = sources.map(|ranges| ranges.0.as_slice());
    let mut current = [Boundary { start: A::ZERO, length: 0, value: NONE }; N];
    let mut at = A::ZERO;
    loop {
        for (rest, current) in rest.iter_mut().zip(&mut current) {
            if let Some((first, behind)) = rest.split_first()
                && first.start == at
            {
                *current = *first;
                *rest = behind;
            }
        }
        visit(at, &current);
        let Some(next) = rest.iter().filter_map(|rest| rest.first()).map(|boundary| boundary.start).min() else { return };
        at = next;
    }
}

/// Finds the value of an address: a first level of equal parts, and a binary search among the ranges that begin in its part.
///
/// Budget: tens of nanoseconds with 1 million IPv4 and 250,000 IPv6 prefixes, most of it cache misses: one in the first level,
/// one or two among the ranges, one in the entries (bench `enrich/lookup`). Memory: 8 bytes an IPv4 range and 32 an IPv6 range; a table
/// of prefixes has at most two ranges for each.
#[derive(Clone, Debug)]
pub(crate) struct Table<A> {
    /// First address and value of each range, side by side: they are one cache miss.
    ranges: Vec<(A, u32)>,
    /// How many ranges begin before each bucket; one more than there are buckets.
    buckets: Vec<u32>,
    /// A small table puts 2^shift of the address's buckets together.
    shift: u32,
}

impl<A: Address> Table<A> {
    /// An empty table, in which nothing is found until [`Table::index`] was called.
    pub(crate) fn new() -> Self {
        Self { ranges: Vec::new(), buckets: Vec::new(), shift: 0 }
    }

    /// Begins a range behind all others, unless the last one says the same.
    pub(crate) fn push(&mut self, start: A, value: u32) {
        if self.ranges.last().is_none_or(|(_, last)| *last != value) {
            self.ranges.push((start, value));
        }
    }

    /// How many ranges it has.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Makes the first level: after the last range.
    pub(crate) fn index(&mut self) {
        self.ranges.shrink_to_fit();
        // At least as many buckets as ranges, as far as there are so many.
        let wanted = self.ranges.len().next_power_of_two().ilog2();
        self.shift = A::BUCKETS.ilog2().saturating_sub(wanted);
        let last = A::BUCKETS.saturating_sub(1) >> self.shift;
        let mut counts = vec![0u32; last.saturating_add(2)];
        for (start, _) in &self.ranges {
            let bucket = start.bucket() >> self.shift;
            if let Some(count) = counts.get_mut(bucket.saturating_add(1)) {
                *count = count.saturating_add(1);
            }
        }
        let mut sum = 0u32;
        for count in &mut counts {
            sum = sum.saturating_add(*count);
            *count = sum;
        }
        self.buckets = counts;
    }

    /// The value of the range that holds `address`.
    #[inline]
    pub(crate) fn find(&self, address: A) -> Option<u32> {
        let bucket = address.bucket() >> self.shift;
        let from = *self.buckets.get(bucket)? as usize;
        let to = *self.buckets.get(bucket.wrapping_add(1))? as usize;
        let within = self.ranges.get(from..to)?.partition_point(|(start, _)| *start <= address);
        // The last range that begins at or before the address, in this bucket or in an earlier one.
        self.ranges.get(from.wrapping_add(within).checked_sub(1)?).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table<A: Address>(ranges: &Ranges<A>) -> Table<A> {
        let mut table = Table::new();
        sweep([ranges], |start, [boundary]| table.push(start, boundary.value));
        table.index();
        table
    }

    /// The value of the longest prefix that holds an address, found by looking at all of them.
    fn oracle<A: Address>(prefixes: &[Prefix<A>], address: A) -> u32 {
        let holds = |p: &&Prefix<A>| p.start <= address && address <= p.start.last(p.length);
        // `max_by_key` takes the last of equals, and of equal prefixes the first counts.
        prefixes.iter().rev().filter(holds).max_by_key(|p| p.length).map_or(NONE, |p| p.value)
    }

    fn check<A: Address>(prefixes: Vec<Prefix<A>>, asked: &[A]) {
        let table = table(&Ranges::of_prefixes(prefixes.clone()));
        let edges = prefixes.iter().flat_map(|p| {
            let (first, last) = (p.start, p.start.last(p.length));
            [Some(first), Some(last), last.next()]
        });
        for address in edges.flatten().chain(asked.iter().copied()) {
            assert_eq!(table.find(address), Some(oracle(&prefixes, address)), "{address:x?} among {prefixes:x?}");
        }
    }

    fn prefix4(address: u32, length: u8, value: u32) -> Prefix<u32> {
        Prefix { start: address.first(length), length, value }
    }

    fn prefix6(address: u128, length: u8, value: u32) -> Prefix<u128> {
        Prefix { start: address.first(length), length, value }
    }

    #[test]
    fn the_longest_prefix_counts_and_around_it_the_next_longest() {
        let prefixes = vec![
            prefix4(0x0a00_0000, 8, 1),
            prefix4(0x0a01_0000, 16, 2),
            prefix4(0x0a01_ff00, 24, 3),
            prefix4(0x0a01_ffff, 32, 4),
            prefix4(0x0b00_0000, 8, 5),
            prefix4(0xffff_ffff, 32, 6),
        ];
        check(prefixes, &[0, 0x09ff_ffff, 0x0a02_0000, 0x0c00_0000, 0xffff_fffe]);
    }

    #[test]
    fn a_table_of_nothing_knows_nothing() {
        check::<u32>(Vec::new(), &[0, 1, u32::MAX]);
        check::<u128>(Vec::new(), &[0, 1, u128::MAX]);
        check(vec![prefix4(0, 0, 7)], &[0, 1, u32::MAX]);
        check(vec![prefix6(0, 0, 7)], &[0, 1, u128::MAX]);
    }

    #[test]
    fn buckets_follow_the_order_of_addresses() {
        let edges = [0, (0x2000 << 112) - 1, 0x2000 << 112, (0x4000 << 112) - 1, 0x4000 << 112, u128::MAX];
        assert_eq!(edges.map(Address::bucket), [0, 0, 1, 1 << 20, (1 << 20) + 1, (1 << 20) + 1]);
        assert_eq!([0u32, (1 << 14) - 1, 1 << 14, u32::MAX].map(Address::bucket), [0, 0, 1, u32::BUCKETS - 1]);
    }

    #[test]
    fn sources_side_by_side_are_seen_at_every_edge() {
        let a = Ranges::of_prefixes(vec![prefix4(0x0a00_0000, 8, 1)]);
        let b = Ranges::of_prefixes(vec![prefix4(0x0a80_0000, 9, 2), prefix4(0x0b00_0000, 8, 3)]);
        let mut seen = Vec::new();
        sweep([&a, &b], |start, [a, b]| seen.push((start, a.value, b.value)));
        let expected = [(0, NONE, NONE), (0x0a00_0000, 1, NONE), (0x0a80_0000, 1, 2), (0x0b00_0000, NONE, 3), (0x0c00_0000, NONE, NONE)];
        assert_eq!(seen, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // Few bits vary, so that prefixes are often within each other and often equal.
        #[test]
        fn ipv4_is_found_as_by_looking_at_all(raw in prop::collection::vec((0u32..64, 0u8..=32, 0u32..9), 0..40), asked in prop::collection::vec(any::<u32>(), 8)) {
            check(raw.into_iter().map(|(a, l, v)| prefix4(a.wrapping_mul(0x0405_0101), l, v)).collect(), &asked);
        }

        #[test]
        fn ipv6_is_found_as_by_looking_at_all(raw in prop::collection::vec((0u128..64, 0u8..=128, 0u32..9), 0..40), asked in prop::collection::vec(any::<u128>(), 8)) {
            check(raw.into_iter().map(|(a, l, v)| prefix6(a.wrapping_mul(0x0400_0000_1000_0000_0000_0001_0000_0101), l, v)).collect(), &asked);
        }
    }
}
