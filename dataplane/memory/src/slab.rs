//! A large array in huge pages where they can be had: the memory of flow tables.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::ptr::NonNull;

use bytemuck::Zeroable;

/// What kind of pages a slab stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backing {
    /// Reserved huge pages (hugetlb) of one size.
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
            && let Some((base, mapped)) = map_huge(bytes, wanted.populate, &huge_pages())
        {
            return Ok(Self { start: base.cast(), len, mapped, base, backing: Backing::Huge, _owns: PhantomData });
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
        // SAFETY: `base` and `mapped` are what mmap gave (whole pages of the size that was asked for, without which the kernel keeps
        // huge ones), and nothing refers to the memory any more.
        let done = unsafe { libc::munmap(self.base.as_ptr(), self.mapped) };
        debug_assert_eq!(done, 0, "{} bytes are not given back: {}", self.mapped, std::io::Error::last_os_error());
    }
}

/// Maps at least so many bytes in huge pages of the smallest size of which enough are free, and says how many bytes that are.
fn map_huge(bytes: usize, populate: bool, sizes: &[HugePages]) -> Option<(NonNull<libc::c_void>, usize)> {
    let populate = if populate { libc::MAP_POPULATE } else { 0 };
    fitting(bytes as u64, sizes).find_map(|(size, rounded)| {
        let mapped = usize::try_from(rounded).ok()?;
        // The kernel's default size may be another one: mmap(2), MAP_HUGE_SHIFT.
        let size = i32::try_from(size.ilog2()).ok()? << libc::MAP_HUGE_SHIFT;
        Some((map(mapped, libc::MAP_HUGETLB | size | populate)?, mapped))
    })
}

/// The sizes of pages of which enough are free for so many bytes, the smallest first, and how many bytes whole pages are.
fn fitting(bytes: u64, sizes: &[HugePages]) -> impl Iterator<Item = (u64, u64)> {
    // A slab is aligned to 2 MiB.
    let fits = move |pages: &HugePages| {
        let rounded = bytes.checked_next_multiple_of(pages.size)?;
        (pages.size >= HUGE as u64 && rounded / pages.size <= pages.free).then_some((pages.size, rounded))
    };
    sizes.iter().filter_map(fits)
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

/// Reserved huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Bytes of a page, a power of two.
    pub size: u64,
    /// Pages that nobody has and that are promised to nobody.
    pub free: u64,
    /// All that are reserved, free or not.
    pub reserved: u64,
}

/// The huge pages of every size, the smallest first.
pub fn huge_pages() -> Vec<HugePages> {
    huge_pages_in(Path::new("/sys/kernel/mm/hugepages"))
}

fn huge_pages_in(folder: &Path) -> Vec<HugePages> {
    let read = |entry: std::fs::DirEntry| {
        let kib: u64 = entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let number = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok()?.trim().parse::<u64>().ok();
        // Pages that are promised to a mapping but not touched yet count as free until they are.
        let free = number("free_hugepages")?.saturating_sub(number("resv_hugepages").unwrap_or(0));
        let size = kib.checked_mul(1024).filter(|size| size.is_power_of_two())?;
        Some(HugePages { size, free, reserved: number("nr_hugepages").unwrap_or(0) })
    };
    let mut sizes: Vec<HugePages> = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(read).collect();
    sizes.sort_by_key(|pages| pages.size);
    sizes
}

/// Bytes in free reserved huge pages of the size of which there are most.
fn free_huge() -> u64 {
    huge_pages().iter().map(|pages| pages.size.saturating_mul(pages.free)).max().unwrap_or(0)
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
    fn pages_of_each_size_are_read_and_the_smallest_of_which_there_are_enough_is_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, free, promised, all) in
            [("1048576kB", "3\n", "1\n", "5\n"), ("2048kB", "100\n", "30\n", "200\n"), ("64kB", "9\n", "0\n", "9\n")]
        {
            let size = folder.path().join(format!("hugepages-{name}"));
            std::fs::create_dir(&size).expect("a folder");
            for (file, text) in [("free_hugepages", free), ("resv_hugepages", promised), ("nr_hugepages", all)] {
                std::fs::write(size.join(file), text).expect("a file");
            }
        }
        std::fs::create_dir(folder.path().join("hugepages-nonsense")).expect("a folder");
        let sizes = huge_pages_in(folder.path());
        let (small, large) = (2u64 << 20, 1u64 << 30);
        let expected = [(64 << 10, 9, 9), (small, 70, 200), (large, 2, 5)].map(|(size, free, reserved)| HugePages { size, free, reserved });
        assert_eq!(sizes, expected);
        let fits = |bytes| fitting(bytes, &sizes).collect::<Vec<_>>();
        assert_eq!(fits(1), [(small, small), (large, large)], "64 KiB pages are not aligned to 2 MiB");
        assert_eq!(fits(70 * small), [(small, 70 * small), (large, large)]);
        assert_eq!(fits(70 * small + 1), [(large, large)], "71 pages of 2 MiB are not free");
        assert_eq!(fits(2 * large), [(large, 2 * large)]);
        assert_eq!(fits(2 * large + 1), []);
    }

    /// Reserves some pages as an operator does, and puts back the number there was.
    #[test]
    fn huge_pages_are_taken_by_their_size_and_given_back() {
        struct PutBack(String, std::path::PathBuf);
        impl Drop for PutBack {
            fn drop(&mut self) {
                std::fs::write(&self.1, &self.0).expect("the number there was");
            }
        }
        let mut done = 0;
        for HugePages { size, .. } in huge_pages().into_iter().filter(|pages| pages.size >= HUGE as u64) {
            let file = Path::new("/sys/kernel/mm/hugepages").join(format!("hugepages-{}kB/nr_hugepages", size / 1024));
            let Ok(before) = std::fs::read_to_string(&file) else { continue };
            let more = if size == HUGE as u64 { 8 } else { 1 };
            let wanted = before.trim().parse::<u64>().expect("a number") + more;
            if std::fs::write(&file, wanted.to_string()).is_err() {
                continue;
            }
            let _put_back = PutBack(before, file);
            let free = || huge_pages().iter().find(|pages| pages.size == size).map_or(0, |pages| pages.free);
            if free() < more {
                continue;
            }
            let only = [HugePages { size, free: more, reserved: more }];
            // Other tests take pages meanwhile, and give them back.
            let all_free = || {
                (0..500).any(|_| {
                    free() >= more || {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        false
                    }
                })
            };
            for populate in [false, true] {
                assert!(all_free(), "{size}: all pages are free again");
                let (base, mapped) = map_huge(3 << 20, populate, &only).expect("pages that are free");
                assert_eq!(mapped as u64, (3u64 << 20).next_multiple_of(size));
                let slab = Slab::<u64> { start: base.cast(), len: 100, mapped, base, backing: Backing::Huge, _owns: PhantomData };
                assert_eq!(slab.iter().sum::<u64>(), 0);
                assert!(free() < more, "{size}: its pages are taken");
                drop(slab);
                assert!(all_free(), "{size}: and given back");
            }
            done += 1;
        }
        if done == 0 {
            sonde_tests::skip::skip(sonde_tests::skip::Need::HugePages, "a slab in reserved huge pages");
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
