//! A large array in huge pages where they can be had: the memory of flow tables.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Zeroable;

/// What kind of pages a slab stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backing {
    /// Reserved 2 MiB pages (hugetlb).
    Huge,
    /// Ordinary pages the kernel was asked to merge (transparent huge pages).
    Transparent,
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Huge => "huge",
            Self::Transparent => "transparent",
        })
    }
}

/// How the memory of a slab is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Try reserved huge pages first.
    pub huge: bool,
    /// Touch every page now: later there is no page fault, and the memory is local to the core that asks (first touch).
    pub populate: bool,
}

/// Memory was asked for that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes are needed and {available} bytes are available")]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub needed: u64,
    /// Bytes the machine has to give (free huge pages or `MemAvailable`, whichever is more).
    pub available: u64,
}

const HUGE: usize = 2 << 20;

/// A fixed array of `T`, zeroed, aligned to 2 MiB, unmapped when dropped.
pub struct Slab<T: Zeroable + Send + 'static> {
    start: NonNull<T>,
    len: usize,
    mapped: usize,
    base: NonNull<libc::c_void>,
    backing: Backing,
    _owns: PhantomData<T>,
}

// SAFETY: a slab owns its memory as a `Vec` does, and `T` is `Send`.
unsafe impl<T: Zeroable + Send> Send for Slab<T> {}

impl<T: Zeroable + Send> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("len", &self.len).field("backing", &self.backing).finish_non_exhaustive()
    }
}

impl<T: Zeroable + Send> Slab<T> {
    /// Maps `len` zeroed elements. Refuses when the machine cannot give them, instead of being killed later.
    pub fn zeroed(len: usize, wanted: Wanted) -> Result<Self, OutOfMemory> {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= HUGE) }
        let bytes = len.saturating_mul(size_of::<T>()).max(1);
        let refuse = || OutOfMemory { needed: bytes as u64, available: available().max(free_huge()) };
        let rounded = bytes.checked_next_multiple_of(HUGE).ok_or_else(refuse)?;
        if wanted.huge
            && let Some(base) = map(rounded, libc::MAP_HUGETLB | if wanted.populate { libc::MAP_POPULATE } else { 0 })
        {
            return Ok(Self { start: base.cast(), len, mapped: rounded, base, backing: Backing::Huge, _owns: PhantomData });
        }
        // The kernel promises more than it has; the promise is checked here, where refusing is still possible.
        if rounded as u64 > available() {
            return Err(refuse());
        }
        let mapped = rounded.checked_add(HUGE).ok_or_else(refuse)?;
        let base = map(mapped, libc::MAP_NORESERVE).ok_or_else(refuse)?;
        let skip = base.as_ptr().align_offset(HUGE);
        // SAFETY: `skip` is below 2 MiB, and the mapping is 2 MiB longer than what is used of it.
        let start = unsafe { base.byte_add(skip) };
        // SAFETY: the range lies in the mapping made above. Advice may be refused; then the pages are small.
        unsafe { libc::madvise(start.as_ptr(), rounded, libc::MADV_HUGEPAGE) };
        if wanted.populate {
            // SAFETY: as above. Kernels before 5.14 refuse; then the pages come at first touch.
            unsafe { libc::madvise(start.as_ptr(), rounded, libc::MADV_POPULATE_WRITE) };
        }
        Ok(Self { start: start.cast(), len, mapped, base, backing: Backing::Transparent, _owns: PhantomData })
    }

    /// The pages it stands in.
    pub fn backing(&self) -> Backing {
        self.backing
    }
}

impl<T: Zeroable + Send> Deref for Slab<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` elements, aligned, and zero is a value of `T`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroable + Send> DerefMut for Slab<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroable + Send> Drop for Slab<T> {
    fn drop(&mut self) {
        const { assert!(!std::mem::needs_drop::<T>()) }
        // SAFETY: `base` and `mapped` are what mmap gave, and nothing refers to the memory any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.mapped) };
    }
}

fn map(bytes: usize, flags: i32) -> Option<NonNull<libc::c_void>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory of ours.
    let at = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags, -1, 0)
    };
    if at == libc::MAP_FAILED { None } else { NonNull::new(at) }
}

fn meminfo(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok())
}

/// Bytes the kernel could give in ordinary pages (`MemAvailable`); unlimited where it does not say.
pub fn available() -> u64 {
    meminfo("MemAvailable").map_or(u64::MAX, |kib| kib * 1024)
}

/// Bytes in free reserved huge pages.
pub fn free_huge() -> u64 {
    let kib = meminfo("Hugepagesize").unwrap_or(0);
    meminfo("HugePages_Free").unwrap_or(0).saturating_sub(meminfo("HugePages_Rsvd").unwrap_or(0)) * kib * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_is_zeroed_aligned_and_writable() {
        for huge in [false, true] {
            for populate in [false, true] {
                let mut slab = Slab::<u64>::zeroed(1_000_000, Wanted { huge, populate }).expect("8 MB");
                assert_eq!(slab.as_ptr().align_offset(HUGE), 0);
                assert!(slab.iter().all(|w| *w == 0));
                *slab.last_mut().expect("not empty") = 7;
                assert_eq!(slab.iter().sum::<u64>(), 7);
                assert_eq!(slab.len(), 1_000_000);
            }
        }
    }

    #[test]
    fn more_than_the_machine_has_is_refused_with_figures() {
        let error = Slab::<u64>::zeroed(1 << 50, Wanted { huge: true, populate: false }).expect_err("8 PiB");
        assert_eq!(error.needed, 1 << 53);
        assert!(error.available < error.needed);
        assert!(Slab::<u64>::zeroed(usize::MAX, Wanted { huge: false, populate: false }).is_err());
    }
}
