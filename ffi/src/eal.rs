//! The environment (EAL): hugepages, devices, and the table of threads. It starts once in a process's life.

use core::ffi::{CStr, c_char, c_void};
use core::marker::PhantomData;
use std::ffi::CString;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::error::{DpdkError, EalError, check, errno};
use crate::sys;

/// Proof that the environment runs. Everything made from it holds a clone; the last one dropped cleans it up.
#[derive(Clone, Debug)]
pub struct Eal(#[expect(dead_code, reason = "held for its drop")] Arc<Running>);

#[derive(Debug)]
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: the environment was started by `Eal::start`, and nothing made from it is left: each thing held a clone.
        unsafe { sys::fp_eal_stop() };
    }
}

/// How long the EAL's own thread may take to run a function: it is idle.
const PATIENCE: Duration = Duration::from_secs(10);

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts the environment with DPDK's own arguments (`-l 0`, `--in-memory`, ...; not the program's name).
    ///
    /// The calling thread keeps the cores it may run on. What DPDK logs goes to [`take_log`], not to the terminal.
    ///
    /// # Errors
    /// A sentence with the remedy: cores that do not exist, hugepages, permissions, a file prefix in use, ... After an
    /// error the process has to be restarted to try again, except when an argument was refused before DPDK saw it.
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Result<Self, EalError> {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        let line = arguments.join(" ");
        check_cores(&arguments)?;
        let mut owned = Vec::with_capacity(arguments.len() + 1);
        for argument in std::iter::once("sonde").chain(arguments.iter().copied()) {
            let argument = CString::new(argument)
                .map_err(|_| EalError::BadArguments { arguments: line.clone(), said: "an argument holds a zero octet".to_owned() })?;
            owned.push(argument.into_raw());
        }
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        let count =
            i32::try_from(owned.len()).map_err(|_| EalError::BadArguments { arguments: line, said: "too many arguments".to_owned() })?;
        // The EAL keeps pointers into its arguments (and reorders the list): they live as long as the process, once.
        let list: &'static mut [*mut c_char] = owned.leak();
        // SAFETY: `list` holds `count` terminated strings that are never freed, and this is the only call in this process.
        let code = unsafe { sys::fp_eal_start(count, list.as_mut_ptr()) };
        if code >= 0 {
            return Ok(Self(Arc::new(Running)));
        }
        Err(explain(&arguments, errno(), &last_words(&take_log())))
    }

    /// Runs a function on the EAL's own thread (interrupts and alarms), and waits for its end: what is a thread's own, such as its
    /// capabilities, can only be changed by the thread itself.
    ///
    /// # Errors
    /// When the EAL takes no alarm, or the function did not end within 10 s.
    pub fn on_own_thread(&self, run: fn()) -> Result<(), DpdkError> {
        let (done, ended) = channel();
        let errand = Box::into_raw(Box::new(Errand { run, done }));
        // SAFETY: the environment runs (`self`); `carry_out` takes the box back, once: the alarm is set once and never cancelled.
        let set = check("rte_eal_alarm_set", unsafe { sys::fp_on_eal_thread(Some(carry_out), errand.cast()) });
        if let Err(refused) = set {
            // SAFETY: no alarm was set, so the box is still this function's own.
            drop(unsafe { Box::from_raw(errand) });
            return Err(refused);
        }
        ended.recv_timeout(PATIENCE).map_err(|_| DpdkError { call: "rte_eal_alarm_set", errno: libc_errno::ETIMEDOUT })
    }

    /// Makes the calling thread known to DPDK until the guard is dropped, so that it gets its own buffer caches:
    /// without this every burst takes its buffers from the pool that all threads share.
    ///
    /// # Errors
    /// When more than 128 threads are registered.
    pub fn register_thread(&self) -> Result<Registered, EalError> {
        // SAFETY: the environment runs (`self`); the guard below unregisters the same thread, as it cannot be sent.
        check("rte_thread_register", unsafe { sys::fp_thread_register() }).map_err(EalError::Register)?;
        Ok(Registered { _eal: self.clone(), _this_thread: PhantomData })
    }
}

/// A function for another thread, and whom it tells that it has ended.
struct Errand {
    run: fn(),
    done: Sender<()>,
}

unsafe extern "C" fn carry_out(errand: *mut c_void) {
    // SAFETY: made by `Eal::on_own_thread` with `Box::into_raw`, and passed here once.
    let errand = unsafe { Box::from_raw(errand.cast::<Errand>()) };
    // A panic must not unwind into C; its message has been printed, and the end is not told.
    if std::panic::catch_unwind(errand.run).is_ok() {
        // Nobody waits any more where it took too long.
        let _ = errand.done.send(());
    }
}

/// While this lives, its thread is known to DPDK. It stays on that thread.
#[derive(Debug)]
pub struct Registered {
    _eal: Eal,
    _this_thread: PhantomData<*const ()>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the thread was registered by `Eal::register_thread` and is this one: the type is not `Send`.
        unsafe { sys::fp_thread_unregister() };
    }
}

/// Takes what DPDK has logged since the last call: the last 32 KiB of it.
#[must_use]
pub fn take_log() -> String {
    let mut text = vec![0_u8; 32 * 1024];
    // SAFETY: writes at most `text.len()` octets into `text`, under the log's own lock.
    let length = unsafe { sys::fp_log_take(text.as_mut_ptr().cast(), text.len()) };
    text.truncate(length);
    String::from_utf8_lossy(&text).into_owned()
}

/// The release of DPDK that is running ("DPDK 22.11.11").
#[must_use]
pub fn version() -> String {
    // SAFETY: a static string, also before the environment is started.
    let text = unsafe { sys::fp_version() };
    // SAFETY: as above, terminated.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The last lines of a log, on one line: the cause of a failure is there, and DPDK's greetings are not.
pub(crate) fn last_words(log: &str) -> String {
    let lines: Vec<&str> =
        log.lines().map(str::trim).filter(|line| !line.is_empty() && !GREETINGS.iter().any(|greeting| line.contains(greeting))).collect();
    let from = lines.len().saturating_sub(4);
    let said = lines.get(from..).unwrap_or_default().join("; ");
    if said.is_empty() { "nothing".to_owned() } else { said }
}

const GREETINGS: &[&str] =
    &["Detected ", "Selected IOVA", "Multi-process socket", "VFIO support initialized", "Probing VFIO", "TELEMETRY:"];

/// Which kind of failure DPDK's words mean. Sorted by how sure the words are, checked in order.
fn explain(arguments: &[&str], errno: i32, said: &str) -> EalError {
    let source = DpdkError { call: "rte_eal_init", errno };
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let said = said.to_owned();
    if has(&["Is another primary process running"]) {
        let prefix = value_of(arguments, "--file-prefix").unwrap_or("rte").to_owned();
        return EalError::PrefixInUse { prefix };
    }
    if has(&["unsupported cpu type", "CPU instruction", "not supported by this CPU"]) {
        return EalError::Processor { said };
    }
    if has(&["Permission denied", "Operation not permitted", "no access to"]) {
        return EalError::Permission { said };
    }
    if has(&["hugepage", "hugetlb", "Not enough memory", "Cannot init memory", "Couldn't get fd on hugepage", "No mounted hugetlbfs"]) {
        let asked_mib = value_of(arguments, "-m").and_then(|text| text.parse().ok());
        return EalError::Hugepages { asked_mib, free_mib: hugepages_free_mib(), said };
    }
    // Words go before the number: rte_eal_init answers EACCES, too, where no hugepages were reserved at all.
    if errno == libc_errno::EACCES || errno == libc_errno::EPERM {
        return EalError::Permission { said };
    }
    if has(&["probe failed", "Cannot probe devices", "failed to parse device", "failed to initialize", "failed to add device"]) {
        return EalError::Device { said };
    }
    if has(&[
        "invalid",
        "Invalid",
        "unrecognized",
        "missing",
        "incompatible",
        "cannot be specified",
        "Cannot be specified",
        "fatal argument",
    ]) || errno == libc_errno::EINVAL
    {
        return EalError::BadArguments { arguments: arguments.join(" "), said };
    }
    EalError::Other { source, said }
}

/// The numbers this file needs; they are the same on every Linux.
mod libc_errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ETIMEDOUT: i32 = 110;
}

/// The value of an option given as `--option=value`, `--option value` or `-ovalue`.
fn value_of<'a>(arguments: &[&'a str], option: &str) -> Option<&'a str> {
    for (at, argument) in arguments.iter().enumerate() {
        if *argument == option {
            return arguments.get(at + 1).copied();
        }
        if let Some(rest) = argument.strip_prefix(option) {
            let long = option.starts_with("--");
            match rest.strip_prefix('=') {
                Some(value) if long => return Some(value),
                None if !long => return Some(rest),
                _ => {}
            }
        }
    }
    None
}

/// Free memory in hugepages of the default size, as the kernel counts them.
fn hugepages_free_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> u64 {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
    };
    field("HugePages_Free:") * field("Hugepagesize:") / 1024
}

/// Refuses cores that are not online before the EAL sees them: it would answer with its whole usage text.
fn check_cores(arguments: &[&str]) -> Result<(), EalError> {
    let Some(asked) = value_of(arguments, "-l") else { return Ok(()) };
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let online = online.trim();
    let (Some(asked), Some(there)) = (cores(asked), cores(online)) else { return Ok(()) };
    match asked.iter().find(|core| !there.contains(core)) {
        Some(&core) => Err(EalError::NoSuchCore { core, online: online.to_owned() }),
        None => Ok(()),
    }
}

/// Reads a list like "0,2-5". `None` when it is written another way; then the EAL judges it.
fn cores(list: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse::<u32>().ok()?, to.trim().parse::<u32>().ok()?);
        if from > to || to > 65_535 {
            return None;
        }
        all.extend(from..=to);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_explained(said: &str, errno: i32, expected: fn(&EalError) -> bool) {
        let error = explain(&["-m", "4096", "--file-prefix=a"], errno, said);
        assert!(expected(&error), "{said}: {error:?}");
    }

    #[test]
    fn words_of_dpdk_become_kinds() {
        check_explained(
            "EAL: Cannot create lock on '/run/a/config'. Is another primary process running?",
            0,
            |e| matches!(e, EalError::PrefixInUse { prefix } if prefix == "a"),
        );
        check_explained("EAL: Not enough memory available! Requested: 4096MB, available: 0MB", 12, |e| {
            matches!(e, EalError::Hugepages { asked_mib: Some(4096), .. })
        });
        check_explained("EAL: No free 2048 kB hugepages reported on node 0; EAL: Cannot get hugepage information.", 13, |e| {
            matches!(e, EalError::Hugepages { asked_mib: Some(4096), .. })
        });
        check_explained("EAL: Cannot use what is there", 13, |e| matches!(e, EalError::Permission { .. }));
        check_explained("EAL: FATAL: unsupported cpu type.", 95, |e| matches!(e, EalError::Processor { .. }));
        check_explained("EAL: Cannot open /dev/hugepages: Permission denied", 0, |e| matches!(e, EalError::Permission { .. }));
        check_explained("EAL: Bus (vdev) probe failed.", 95, |e| matches!(e, EalError::Device { .. }));
        check_explained("EAL: FATAL: Invalid 'command line' arguments.", 22, |e| matches!(e, EalError::BadArguments { .. }));
        check_explained("EAL: something new", 77, |e| matches!(e, EalError::Other { .. }));
    }

    #[test]
    fn core_lists_are_read_and_absent_cores_named() {
        assert_eq!(cores("0,2-4"), Some(vec![0, 2, 3, 4]));
        assert_eq!(cores("(0-3)@1"), None);
        assert!(matches!(check_cores(&["-l", "0,60000"]), Err(EalError::NoSuchCore { core: 60000, .. })));
        assert_eq!(check_cores(&["-l0"]), Ok(()));
        assert_eq!(check_cores(&["--no-pci"]), Ok(()));
    }

    #[test]
    fn greetings_are_not_causes() {
        let log = "EAL: Detected CPU lcores: 2\nEAL: Cannot open x\n\n";
        assert_eq!(last_words(log), "EAL: Cannot open x");
        assert_eq!(last_words(""), "nothing");
    }
}
