//! Huge pages or not: decided once, before anything is asked for, and said.

use sonde_settings::HugePages;

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

/// Decides where buffers and tables stand.
///
/// # Errors
/// [`StartError::HugePages`] when they are required and not there; [`StartError::Memory`] when there is no memory at all for it.
pub fn decide(wish: HugePages, need: Need, memory: Memory) -> Result<Decision, StartError> {
    let free = memory.huge_free;
    let sum = need.buffers.saturating_add(need.tables);
    if wish == HugePages::Require && free < sum {
        // Two megabytes each; what others hold stays theirs.
        let missing = sum.saturating_sub(free).div_ceil(2 << 20);
        return Err(StartError::HugePages {
            needed_mib: mib(sum),
            what: need.text(need.buffers),
            free_mib: free >> 20,
            pages: memory.huge_reserved.saturating_add(missing),
        });
    }
    let buffers_huge = wish != HugePages::None && free >= need.buffers;
    let left = if buffers_huge { free - need.buffers } else { free };
    let tables_huge = wish != HugePages::None && left >= need.tables;
    let buffers = if buffers_huge { need.buffers } else { need.buffers_ordinary };
    let ordinary = if buffers_huge { 0 } else { buffers } + if tables_huge { 0 } else { need.tables };
    if ordinary > memory.available {
        return Err(StartError::Memory { what: need.text(buffers), needed_mib: mib(ordinary), available_mib: memory.available >> 20 });
    }
    let why = match wish {
        HugePages::None => "as boot.eal.huge_pages says".to_owned(),
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
    use super::*;

    const MIB: u64 = 1 << 20;

    fn check(wish: HugePages, free_mib: u64, available_mib: u64, expected: Option<(bool, bool)>) {
        let need = Need { buffers: 100 * MIB, buffers_ordinary: 170 * MIB, tables: 300 * MIB, workers: 2 };
        let memory = Memory { available: available_mib * MIB, huge_free: free_mib * MIB, huge_reserved: 7 };
        let decided = decide(wish, need, memory);
        assert_eq!(decided.as_ref().ok().map(|d| (d.buffers_huge, d.tables_huge)), expected, "{wish:?} {free_mib}: {decided:?}");
    }

    #[test]
    fn auto_takes_huge_pages_for_what_fits_into_them() {
        check(HugePages::Auto, 400, 0, Some((true, true)));
        check(HugePages::Auto, 399, 300, Some((true, false)));
        check(HugePages::Auto, 99, 470, Some((false, false)));
        check(HugePages::Auto, 0, 469, None);
        check(HugePages::Auto, 399, 299, None);
    }

    #[test]
    fn require_takes_all_or_nothing() {
        check(HugePages::Require, 400, 0, Some((true, true)));
        check(HugePages::Require, 399, 10_000, None);
    }

    #[test]
    fn none_takes_none() {
        check(HugePages::None, 10_000, 470, Some((false, false)));
        check(HugePages::None, 10_000, 469, None);
    }

    #[test]
    fn the_remedy_counts_the_pages_there_are() {
        let need = Need { buffers: 64 * MIB, buffers_ordinary: 64 * MIB, tables: 64 * MIB, workers: 1 };
        let memory = Memory { available: u64::MAX, huge_free: 28 * MIB, huge_reserved: 30 };
        let refused = decide(HugePages::Require, need, memory).expect_err("too few").to_string();
        assert!(refused.contains("128 MiB are needed"), "{refused}");
        assert!(refused.contains("28 MiB are free"), "{refused}");
        assert!(refused.contains("echo 80 > /proc/sys/vm/nr_hugepages"), "{refused}");
    }
}
