//! Asking for memory before it is needed.

/// Asks the core to bring the line of `at` near. Changes nothing else.
#[inline(always)]
pub fn prefetch<T>(at: &T) {
    prefetch_line(at, 0);
}

/// As [`prefetch`], of the first line of a slice, which may be empty.
#[inline(always)]
pub fn prefetch_slice<T>(slice: &[T]) {
    ask(slice.as_ptr().cast());
}

/// Asks for the line that stands `line` lines (of 64 bytes) behind the start of `at`; 0 is its first.
#[inline(always)]
pub fn prefetch_line<T>(at: &T, line: usize) {
    ask(std::ptr::from_ref(at).cast::<i8>().wrapping_add(line * 64));
}

#[inline(always)]
fn ask(pointer: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(pointer);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: prfm is a hint and never faults, whatever the address.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = pointer;
}
