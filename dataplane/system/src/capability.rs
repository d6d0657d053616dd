//! Capabilities (capabilities(7)): what a thread of root's may do. Each thread has its own, and gives them up itself.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// A thread, and the capabilities it can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// What it can use, or could get back.
    pub permitted: CapabilitySet,
    /// Whether it can get no more by starting a program: nothing is inherited, and no_new_privs is set.
    pub settled: bool,
}

/// What the calling thread can use now.
///
/// # Errors
/// What the system said.
pub fn held() -> io::Result<CapabilitySet> {
    Ok(capabilities(None)?.effective)
}

/// Gives up everything but `only`, for good, in the calling thread and in those it starts afterwards: nothing is inherited by programs,
/// and none gets more rights by its file's mode (no_new_privs). What is kept of `only` is returned.
///
/// # Errors
/// What the system said, or that something was left.
pub fn keep(only: CapabilitySet) -> io::Result<CapabilitySet> {
    empty_bounding_set();
    // Kernels before 4.3 have no ambient set.
    let _ = rustix::thread::clear_ambient_capability_set();
    let kept = capabilities(None)?.permitted & only;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    rustix::thread::set_no_new_privs(true)?;
    let now = capabilities(None)?;
    if now.permitted != kept || now.effective != kept || !now.inheritable.is_empty() {
        return Err(io::Error::other(format!("capabilities could not be given up: {} are left", names(now.permitted))));
    }
    Ok(kept)
}

/// Takes every capability out of the bounding set: none can be had by starting a program. A thread that may not do so has nothing to
/// gain there once no_new_privs is set.
pub fn empty_bounding_set() {
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if !rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false) {
            continue;
        }
        if rustix::thread::remove_capability_from_bounding_set(one).is_err() {
            return;
        }
    }
}

/// Names as in capabilities(7), with commas between; "none".
pub fn names(set: CapabilitySet) -> String {
    let mut known = set.iter_names();
    let mut names: Vec<String> = known.by_ref().map(|(name, _)| format!("CAP_{name}")).collect();
    if !known.remaining().is_empty() {
        names.push(format!("{:#x}", known.remaining().bits()));
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Every thread of this process.
///
/// # Errors
/// When /proc does not say.
pub fn holders() -> io::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        // A thread that has ended since it was listed holds nothing.
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let set = |name| u64::from_str_radix(field(name), 16).map(CapabilitySet::from_bits_retain).map_err(io::Error::other);
        let settled = set("CapInh:")?.is_empty() && set("CapAmb:")?.is_empty() && field("NoNewPrivs:") == "1";
        holders.push(Holder { name: field("Name:").to_owned(), permitted: set("CapPrm:")?, settled });
    }
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_names_of_the_manual() {
        assert_eq!(names(CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW), "CAP_NET_ADMIN, CAP_NET_RAW");
        assert_eq!(names(CapabilitySet::empty()), "none");
        assert_eq!(names(CapabilitySet::from_bits_retain(1 << 60)), "0x1000000000000000");
    }

    #[test]
    fn what_a_thread_gives_up_is_gone_in_it_and_in_its_children() {
        let before = held().expect("known");
        let inside = std::thread::Builder::new().name("dropped".into()).spawn(|| {
            let kept = keep(CapabilitySet::NET_RAW).expect("given up");
            let child = std::thread::spawn(|| held().expect("known")).join().expect("ended");
            let listed = holders().expect("listed").into_iter().find(|holder| holder.name == "dropped").expect("this thread");
            (kept, child, (listed.permitted, listed.settled), rustix::thread::no_new_privs().expect("known"))
        });
        let (kept, child, listed, locked) = inside.expect("started").join().expect("ended");
        assert_eq!(kept, before & CapabilitySet::NET_RAW);
        assert_eq!((child, listed, locked), (kept, (kept, true), true));
        assert_eq!(held().expect("known"), before, "the other threads keep theirs");
    }
}
