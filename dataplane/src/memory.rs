//! Huge pages or not: decided once, before anything is asked for, and said.

use sonde_memory::slab::HugePages;
use sonde_settings::HugePages as HugePagesWish;

use crate::error::StartError;
use crate::machine::{Memory, mib};

/// Memory that will be asked for, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Packet buffers and the EAL's own, in huge pages.
    pub buffers: u64,
    /// The same in ordinary pages, which waste more of their ends.
    pub buffers_ordinary: u64,
    /// Flow tables of all workers.
    pub tables: u64,
    /// Workers, for the sentence.
    pub workers: usize,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Bytes for packet buffers and the EAL.
    pub buffers: u64,
    /// Packet buffers stand in huge pages.
    pub buffers_huge: bool,
    /// Flow tables are to stand in huge pages.
    pub tables_huge: bool,
    /// For people.
    pub sentence: String,
}

impl Need {
    fn text(&self, buffers: u64) -> String {
        let plural = if self.workers == 1 { "worker" } else { "workers" };
        format!("packet buffers {} MiB, flow tables of {} {plural} {} MiB", mib(buffers), self.workers, mib(self.tables))
    }
}

/// Bytes of a huge page that tables stand in whatever their size: what is left of the last one is little.
const SMALL: u64 = 2 << 20;
/// Most pieces of memory of one worker's tables; each begins with a page of its own.
const PIECES: u64 = 24;

/// Bytes that are free in huge pages.
fn free(pages: &[HugePages]) -> u64 {
    pages.iter().map(|pages| pages.size.saturating_mul(pages.free)).fold(0, u64::saturating_add)
}

/// What is left of the huge pages when the EAL has taken so many bytes: the largest pages first, and one more of a size where the smaller
/// ones are not enough for the rest (`calc_num_pages_per_socket` of DPDK). `None` if they are not there.
fn without(pages: &[HugePages], mut bytes: u64) -> Option<Vec<HugePages>> {
    let mut left = pages.to_vec();
    for at in (0..left.len()).rev() {
        let (smaller, rest) = left.split_at_mut(at);
        let Some(pages) = rest.first_mut() else { continue };
        let mut taken = (bytes / pages.size).min(pages.free);
        bytes -= taken * pages.size;
        if bytes > free(smaller) && taken < pages.free {
            taken += 1;
            bytes = 0;
        }
        pages.free -= taken;
    }
    // A rest that is smaller than a page of the smallest size.
    if bytes > 0 {
        let pages = left.iter_mut().find(|pages| pages.free > 0 && pages.size >= bytes)?;
        pages.free -= 1;
    }
    Some(left)
}

/// Whether the tables can stand in these pages. Each piece of them stands in pages of one size and takes whole ones: of large pages that
/// is a waste, which is made only where it is less than the tables themselves, or they are required to.
fn hold(pages: &[HugePages], need: &Need, required: bool) -> bool {
    let whole = |pages: &HugePages| {
        let waste = if pages.size <= SMALL { 0 } else { (need.workers as u64).saturating_mul(PIECES).saturating_mul(pages.size) };
        let free = pages.size.saturating_mul(pages.free);
        pages.size >= SMALL && free >= need.tables.saturating_add(waste) && (required || waste <= need.tables)
    };
    pages.iter().any(whole)
}

/// Decides where buffers and tables stand.
///
/// # Errors
/// [`StartError::HugePages`] when they are required and not there; [`StartError::Memory`] when there is no memory at all for it.
pub fn decide(wish: HugePagesWish, need: Need, memory: &Memory) -> Result<Decision, StartError> {
    let required = wish == HugePagesWish::Require;
    let with_buffers = without(&memory.huge, need.buffers).filter(|_| wish != HugePagesWish::None);
    let buffers_huge = with_buffers.is_some();
    let left = with_buffers.unwrap_or_else(|| memory.huge.clone());
    let tables_huge = wish != HugePagesWish::None && hold(&left, &need, required);
    let free = free(&memory.huge);
    if required && !(buffers_huge && tables_huge) {
        // The remedy is in pages of 2 MiB, which waste least; what others hold stays theirs.
        let sum = need.buffers.saturating_add(need.tables);
        let small = memory.huge.iter().find(|pages| pages.size == SMALL);
        let missing = sum.saturating_sub(small.map_or(0, |pages| pages.size * pages.free)).div_ceil(SMALL);
        return Err(StartError::HugePages {
            needed_mib: mib(sum),
            what: need.text(need.buffers),
            free_mib: free >> 20,
            pages: small.map_or(0, |pages| pages.reserved).saturating_add(missing),
        });
    }
    let buffers = if buffers_huge { need.buffers } else { need.buffers_ordinary };
    let ordinary = if buffers_huge { 0 } else { buffers } + if tables_huge { 0 } else { need.tables };
    if ordinary > memory.available {
        return Err(StartError::Memory { what: need.text(buffers), needed_mib: mib(ordinary), available_mib: memory.available >> 20 });
    }
    let why = match wish {
        HugePagesWish::None => "as boot.eal.huge_pages says".to_owned(),
        _ => format!("{} MiB of huge pages are free", free >> 20),
    };
    let place = match (buffers_huge, tables_huge) {
        (true, true) => "huge pages",
        (true, false) => "huge pages for packet buffers, ordinary pages for flow tables (slower)",
        (false, true) => "ordinary pages for packet buffers (--no-huge, slower), huge pages for flow tables",
        (false, false) => "ordinary pages (--no-huge, slower)",
    };
    Ok(Decision { buffers, buffers_huge, tables_huge, sentence: format!("{place}: {}; {why}", need.text(buffers)) })
}

#[cfg(test)]
mod tests {
    use sonde_settings::HugePages as Wish;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn pages(sizes: &[(u64, u64, u64)]) -> Vec<HugePages> {
        sizes.iter().map(|(mib, free, reserved)| HugePages { size: mib * MIB, free: *free, reserved: *reserved }).collect()
    }

    fn check(wish: Wish, free_mib: u64, available_mib: u64, expected: Option<(bool, bool)>) {
        check_pages(wish, &[(2, free_mib / 2, 7)], available_mib, expected);
    }

    fn check_pages(wish: Wish, sizes: &[(u64, u64, u64)], available_mib: u64, expected: Option<(bool, bool)>) {
        let need = Need { buffers: 100 * MIB, buffers_ordinary: 170 * MIB, tables: 300 * MIB, workers: 2 };
        let memory = Memory { available: available_mib * MIB, huge: pages(sizes) };
        let decided = decide(wish, need, &memory);
        assert_eq!(decided.as_ref().ok().map(|d| (d.buffers_huge, d.tables_huge)), expected, "{wish:?} {sizes:?}: {decided:?}");
    }

    #[test]
    fn pages_of_a_gibibyte_count_whole() {
        // One holds the buffers, and none is left for the tables, although bytes are.
        check_pages(Wish::Auto, &[(1024, 1, 1)], 300, Some((true, false)));
        // Small tables do not take a gibibyte for each of their pieces.
        check_pages(Wish::Auto, &[(1024, 60, 60)], 300, Some((true, false)));
        check_pages(Wish::Require, &[(1024, 60, 60)], 0, Some((true, true)));
        check_pages(Wish::Require, &[(1024, 48, 48)], 0, None);
        // Both sizes: the EAL takes from the small ones what is less than a large one, if they are enough for it.
        check_pages(Wish::Auto, &[(2, 200, 200), (1024, 1, 1)], 0, Some((true, true)));
        check_pages(Wish::Auto, &[(2, 150, 150), (1024, 1, 1)], 300, Some((true, false)));
        check_pages(Wish::Auto, &[(2, 49, 49), (1024, 1, 1)], 300, Some((true, false)));
    }

    #[test]
    fn large_tables_stand_in_large_pages() {
        let gib = 1024 * MIB;
        let need = Need { buffers: 310 * MIB, buffers_ordinary: 400 * MIB, tables: 30 * gib, workers: 1 };
        let with = |count| decide(Wish::Auto, need, &Memory { available: 40 * gib, huge: pages(&[(2, 0, 0), (1024, count, count)]) });
        let with = |count| with(count).map(|decision| (decision.buffers_huge, decision.tables_huge));
        assert_eq!(with(55).expect("memory"), (true, true), "24 pieces waste less than a page each");
        assert_eq!(with(54).expect("memory"), (true, false));
    }

    #[test]
    fn auto_takes_huge_pages_for_what_fits_into_them() {
        check(Wish::Auto, 400, 0, Some((true, true)));
        check(Wish::Auto, 398, 300, Some((true, false)));
        check(Wish::Auto, 98, 470, Some((false, false)));
        check(Wish::Auto, 0, 469, None);
        check(Wish::Auto, 398, 299, None);
    }

    #[test]
    fn require_takes_all_or_nothing() {
        check(Wish::Require, 400, 0, Some((true, true)));
        check(Wish::Require, 398, 10_000, None);
    }

    #[test]
    fn none_takes_none() {
        check(Wish::None, 10_000, 470, Some((false, false)));
        check(Wish::None, 10_000, 469, None);
    }

    #[test]
    fn the_remedy_counts_the_pages_there_are() {
        let need = Need { buffers: 64 * MIB, buffers_ordinary: 64 * MIB, tables: 64 * MIB, workers: 1 };
        let memory = Memory { available: u64::MAX, huge: pages(&[(2, 14, 30)]) };
        let refused = decide(Wish::Require, need, &memory).expect_err("too few").to_string();
        assert!(refused.contains("128 MiB are needed"), "{refused}");
        assert!(refused.contains("28 MiB are free"), "{refused}");
        assert!(refused.contains("echo 80 > /proc/sys/vm/nr_hugepages"), "{refused}");
    }
}
