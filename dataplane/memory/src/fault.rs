//! What happens when a mapped file is cut: instead of the end of the process, zeros and a flag.
//!
//! Touching a page that lies behind the end of its file, or for which a full file system has no room, is a SIGBUS, which ends a
//! process without a word. Every map of this crate is *guarded*: the handler puts zeroed private pages in the place of the map's rest,
//! takes note, and the access is repeated. Whoever works on the map looks at [`Guard::cut`] at a moment of its own, and makes or opens
//! a new file. On the packet clock this costs nothing.
//!
//! Everything the handler does is safe in a signal handler (signal-safety(7)): atomics, `mmap` (a plain system call), and where even
//! that fails a `write` and `_exit`. A fault that is none of our maps' goes to the handler that was there before.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::MapError;

/// Maps that can be guarded at a time: 64 clients that follow 64 workers' rings, and some.
const SLOTS_MAX: usize = 8192;
/// The start of a slot that is taken, but not complete yet.
const TAKEN: usize = usize::MAX;
/// Exit status when not even zeroed pages could be had: that of a software fault (sysexits.h, `EX_SOFTWARE`).
const EXIT: i32 = 70;

/// One guarded range of addresses.
struct Slot {
    /// First address; 0: free.
    start: AtomicUsize,
    /// Behind its last page.
    end: AtomicUsize,
    writable: AtomicBool,
    cut: AtomicBool,
}

static SLOTS: [Slot; SLOTS_MAX] = [const {
    Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), writable: AtomicBool::new(false), cut: AtomicBool::new(false) }
}; SLOTS_MAX];
/// Slots from here on were never used: the handler need not look at them.
static USED: AtomicUsize = AtomicUsize::new(0);

/// What is there once the handler is installed.
struct Installed {
    page: usize,
    before: libc::sigaction,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Guards one map as long as it lives. Must be dropped before the map is unmapped.
#[derive(Debug)]
pub(crate) struct Guard {
    slot: usize,
}

impl Guard {
    /// Guards `bytes` bytes from `start` on, which is where a map of the file at `path` stands.
    ///
    /// # Errors
    /// [`MapError::System`] when there is no handler to be had, or there are too many maps.
    pub(crate) fn new(start: *const u8, bytes: usize, writable: bool, path: &Path) -> Result<Self, MapError> {
        let page = install().map_err(|error| MapError::system("guard", path, error))?;
        let free = |slot: &Slot| slot.start.compare_exchange(0, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let Some((at, slot)) = SLOTS.iter().enumerate().find(|(_, slot)| free(slot)) else {
            let error = std::io::Error::other(format!("{SLOTS_MAX} files are mapped already"));
            return Err(MapError::system("guard", path, error));
        };
        USED.fetch_max(at + 1, Ordering::Release);
        let start = start.addr();
        slot.end.store(start.saturating_add(bytes).next_multiple_of(page), Ordering::Relaxed);
        slot.writable.store(writable, Ordering::Relaxed);
        slot.cut.store(false, Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(Self { slot: at })
    }

    /// Whether a part of the map has lost its file, and reads as zeros since. What was copied out of the map before this said `false`
    /// was the file's.
    #[inline]
    pub(crate) fn cut(&self) -> bool {
        // The handler ran on this thread, or the zeros were seen through another's: either way the flag was stored before.
        SLOTS.get(self.slot).is_some_and(|slot| slot.cut.load(Ordering::Acquire))
    }

    /// The map has got a whole file again.
    pub(crate) fn whole(&self) {
        if let Some(slot) = SLOTS.get(self.slot) {
            slot.cut.store(false, Ordering::Release);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = SLOTS.get(self.slot) {
            slot.end.store(0, Ordering::Relaxed);
            slot.start.store(0, Ordering::Release);
        }
    }
}

/// Installs the handler, once; the size of a page.
fn install() -> std::io::Result<usize> {
    static ONCE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(installed) = INSTALLED.get() {
        return Ok(installed.page);
    }
    let (mut before, mut ours) = (default_action(), default_action());
    // SAFETY: only asks; `before` lives as long as the call.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let page = rustix::param::page_size();
    // The handler may run as soon as it is installed, and needs this then.
    let installed = INSTALLED.get_or_init(|| Installed { page, before });
    ours.sa_sigaction = (on_bus as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)) as usize;
    // On the alternate stack, where a thread has one, as Rust's own handler was.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `ours` is complete: a handler of the form SA_SIGINFO asks for, an empty mask, and flags.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(installed.page)
}

/// The handler.
extern "C" fn on_bus(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo to a handler installed with SA_SIGINFO.
    let told = unsafe { &*info };
    let code = told.si_code;
    // SAFETY: a siginfo of SIGBUS has an address.
    let address = unsafe { told.si_addr() }.addr();
    if code == libc::BUS_ADRERR && mend(address) {
        return;
    }
    let Some(installed) = INSTALLED.get() else { return };
    match installed.before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The access is repeated, and ends the process as it would have without us.
            let default = default_action();
            // SAFETY: `default` is complete: the default handler, an empty mask, no flags.
            unsafe { libc::sigaction(libc::SIGBUS, &raw const default, std::ptr::null_mut()) };
        }
        before if installed.before.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it with SA_SIGINFO gave a function of this form.
            let before: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = unsafe { std::mem::transmute(before) };
            before(signal, info, context);
        }
        before => {
            // SAFETY: whoever installed it without SA_SIGINFO gave a function of this form.
            let before: extern "C" fn(i32) = unsafe { std::mem::transmute(before) };
            before(signal);
        }
    }
}

/// Puts zeroed pages from the faulting one to the end of the map it lies in; `false` if it lies in none of ours.
fn mend(address: usize) -> bool {
    let used = SLOTS.get(..USED.load(Ordering::Acquire)).unwrap_or_default();
    let holds = |slot: &&Slot| {
        let start = slot.start.load(Ordering::Acquire);
        start != 0 && start != TAKEN && (start..slot.end.load(Ordering::Relaxed)).contains(&address)
    };
    let (Some(slot), Some(installed)) = (used.iter().find(holds), INSTALLED.get()) else { return false };
    // First: whoever reads a zero that comes of this finds the flag.
    slot.cut.store(true, Ordering::Release);
    let from = address & !(installed.page - 1);
    let bytes = slot.end.load(Ordering::Relaxed) - from;
    let writable = if slot.writable.load(Ordering::Relaxed) { libc::PROT_WRITE } else { 0 };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: glibc and musl give the address of this thread's errno, without a precondition.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: it is this thread's, and lives as long as the thread.
    let before = unsafe { *errno };
    // SAFETY: the pages from `from` to `end` belong to a map that its guard says is there, and that is only ever used as words or
    // bytes of which every value is valid; the code that runs now was interrupted in an access to it.
    let at = unsafe { libc::mmap(std::ptr::with_exposed_provenance_mut(from), bytes, libc::PROT_READ | writable, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        last_words();
    }
    // SAFETY: as above. What was interrupted finds its errno again.
    unsafe { *errno = before };
    true
}

/// Ends the process with a sentence, by means that a signal handler may use.
fn last_words() -> ! {
    const SENTENCE: &[u8] =
        b"sonde: a file in shared memory, or a capture, was cut while it was mapped, and there is no memory to go on without it: ended\n";
    // SAFETY: the bytes are there; a standard error that is closed is no harm.
    unsafe { libc::write(2, SENTENCE.as_ptr().cast(), SENTENCE.len()) };
    // SAFETY: ends the process at once, whatever it was doing.
    unsafe { libc::_exit(EXIT) }
}

fn default_action() -> libc::sigaction {
    // SAFETY: sigaction is plain data for which zeros are a value: the default handler, an empty mask, no flags.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::sync::atomic::Ordering;

    use crate::{FileMap, ReadMap, SharedMap};

    fn cut(path: &std::path::Path, bytes: u64) {
        OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("to cut it");
    }

    #[test]
    fn a_writer_and_a_reader_survive_a_cut_and_know_of_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("words");
        let map = SharedMap::create(&path, 4096).expect("a map");
        map.words()[0].store(1, Ordering::Relaxed);
        map.words()[4000].store(7, Ordering::Relaxed);
        let reader = ReadMap::open(&path).expect("a reader");
        assert_eq!((reader.load(4000), reader.cut(), map.damage()), (Some(7), false, None));
        cut(&path, 4096);
        assert_eq!((reader.load(0), reader.cut()), (Some(1), false), "what is left can be read");
        assert_eq!(reader.load(4000), Some(0), "zeros stand where the file is no more");
        assert!(reader.cut());
        map.words()[3000].store(9, Ordering::Relaxed);
        assert_eq!(map.words()[3000].load(Ordering::Relaxed), 9, "the writer goes on, for itself");
        assert!(map.damage().is_some());
        drop((reader, map));
        let path = folder.path().join("next");
        assert_eq!(SharedMap::create(&path, 4096).expect("a map").damage(), None, "a flag does not outlive its map");
    }

    #[test]
    fn a_recording_that_is_cut_reads_as_zeros_and_says_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("recording");
        std::fs::write(&path, vec![5; 100_000]).expect("a file");
        let map = FileMap::open(&path).expect("a map");
        assert_eq!((map.bytes()[90_000], map.cut()), (5, false));
        cut(&path, 10);
        assert_eq!((std::hint::black_box(map.bytes())[90_000], map.cut()), (0, true));
        assert!(map.check().is_err());
    }

    #[test]
    fn a_file_that_is_cut_removed_or_replaced_is_renewed_in_its_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("words");
        let map = SharedMap::create(&path, 4096).expect("a map");
        let words = map.words();
        let spoil: [(&str, &dyn Fn()); 3] = [
            ("cut", &|| cut(&path, 100)),
            ("removed", &|| std::fs::remove_file(&path).expect("removed")),
            ("another file", &|| {
                std::fs::remove_file(&path).expect("removed");
                std::fs::write(&path, [1; 64]).expect("another");
            }),
        ];
        for (number, (what, spoil)) in (1..).zip(spoil) {
            assert_eq!(map.damage(), None, "before {what}");
            spoil();
            let said = map.damage().expect(what);
            assert!(said.contains(what), "{said}");
            map.renew(|words| words[4095].store(number, Ordering::Relaxed)).expect("a new file");
            // The same reference: whoever works on the words need not know.
            words[1].store(number, Ordering::Relaxed);
            let reader = ReadMap::open(&path).expect("a reader");
            assert_eq!((reader.load(1), reader.load(4095), reader.cut()), (Some(number), Some(number), false), "{what}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "no draft is left");
    }
}
