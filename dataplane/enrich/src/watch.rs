//! Notices when a file of the sources has changed, and loads everything anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sonde_threads::{Pauses, trap};

use crate::file::{self, Print};
use crate::{Enricher, Handle, Sources};

/// Files are looked at so often.
const INTERVAL: Duration = Duration::from_secs(1);

/// A thread that keeps the table of a [`Handle`] as new as the files are. When this is dropped, it ends by itself after the load it may be
/// at; [`Watcher::finish`] waits for that.
#[derive(Debug)]
pub struct Watcher {
    sources: Sender<Sources>,
    stop: Stop,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Starts the thread. `loaded` are the sources `handle` has a table of; they are watched from now on.
    ///
    /// # Errors
    /// The system's, when it does not start the thread.
    pub fn start(handle: Arc<Handle>, loaded: Sources) -> std::io::Result<Self> {
        let (sources, told) = mpsc::channel();
        let mut watch = Watch::new(loaded);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            // A fault may have kept it from what it was told to load: its next life tries again.
            sonde_threads::supervise(Pauses::USUAL, &stopped, || watch.live(&told, &handle), |death| handle.fault(death));
        };
        let thread = thread::Builder::new().name("enrich".into()).spawn(body)?;
        Ok(Self { sources, stop: Stop(stop), thread })
    }

    /// Changes what is looked up. It is loaded at once, by the thread; whether that went well stands in the handle's status.
    pub fn set(&self, sources: Sources) {
        // It has no receiver when the thread has ended, and then the table stays as it is.
        let _ = self.sources.send(sources);
    }

    /// Ends the thread, and waits until it has loaded what it was told to.
    pub fn finish(self) {
        let Self { sources, stop, thread } = self;
        drop((stop, sources));
        // A panic has been said by now.
        let _ = thread.join();
    }
}

/// Ends the thread when dropped.
#[derive(Debug)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is watched.
struct Watch {
    sources: Sources,
    /// The files as they were when they were loaded, or when loading them failed.
    tried: Vec<Print>,
    /// The files as they were at the last look.
    seen: Vec<Print>,
    /// A life has begun: one that begins behind it comes after a fault, and loads everything anew.
    broken: bool,
}

impl Watch {
    fn new(sources: Sources) -> Self {
        let tried = prints(&sources);
        Self { sources, seen: tried.clone(), tried, broken: false }
    }

    /// Loads what it is told, and what has changed, until nobody tells it any more.
    fn live(&mut self, told: &Receiver<Sources>, handle: &Handle) {
        if std::mem::replace(&mut self.broken, true) {
            self.load(handle);
        }
        loop {
            match told.recv_timeout(INTERVAL) {
                // Of several in a row the last one counts.
                Ok(sources) => self.set(told.try_iter().last().unwrap_or(sources), handle),
                Err(RecvTimeoutError::Timeout) => self.look(handle),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks at the files. Changed ones are loaded when they look the same twice in a row: a file that is just being copied is not
    /// whole. The old table stays when the new files are broken, and when one is gone.
    fn look(&mut self, handle: &Handle) {
        trap();
        let now = prints(&self.sources);
        let quiet = now == self.seen;
        self.seen = now;
        if quiet && self.seen != self.tried {
            self.load(handle);
        }
    }

    fn set(&mut self, sources: Sources, handle: &Handle) {
        self.sources = sources;
        trap();
        self.load(handle);
    }

    fn load(&mut self, handle: &Handle) {
        // Taken before the files are read: what changes meanwhile is found by the next look.
        self.tried = prints(&self.sources);
        self.seen.clone_from(&self.tried);
        if self.sources.is_empty() {
            return handle.post(None);
        }
        match Enricher::load(&self.sources) {
            Ok(table) => handle.post(Some(table)),
            Err(violations) => handle.refuse(&violations),
        }
    }
}

fn prints(sources: &Sources) -> Vec<Print> {
    sources.files().map(|path| file::print(&sources.place(path).0)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::{Path, PathBuf};

    use sonde_tests::mmdb::{Data, Writer};

    use super::*;

    /// A trap is for any thread of its name: one test at a time has one.
    static THREADS: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

    fn database(path: &Path, asn: u32) {
        let mut writer = Writer::new("Test-ASN", 24);
        writer.insert("192.0.2.0".parse().unwrap(), 24, Data::map([("autonomous_system_number", Data::U32(asn))]));
        // As a tool does that knows how: written beside, and put in place whole.
        let beside = path.with_extension("new");
        std::fs::write(&beside, writer.octets()).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    /// A database with AS 64500 in a folder, loaded and watched.
    fn watched(folder: &Path) -> (PathBuf, Handle, Watch) {
        let path = folder.join("asn.mmdb");
        database(&path, 64_500);
        let handle = Handle::default();
        let mut watch = Watch::new(Sources::default());
        watch.set(Sources { asn_database: Some(path.clone()), ..Sources::default() }, &handle);
        (path, handle, watch)
    }

    fn asn(handle: &Handle) -> u32 {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        handle.latest().table.as_ref().map_or(0, |table| table.lookup(address).asn)
    }

    #[test]
    fn a_changed_file_is_loaded_when_it_has_come_to_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (path, handle, mut watch) = watched(folder.path());
        assert_eq!((asn(&handle), handle.status().generation), (64_500, 1));
        watch.look(&handle);
        assert_eq!(handle.status().generation, 1, "nothing has changed");
        database(&path, 64_501);
        watch.look(&handle);
        assert_eq!(asn(&handle), 64_500, "it has just changed");
        watch.look(&handle);
        assert_eq!((asn(&handle), handle.status().generation), (64_501, 2));
        watch.look(&handle);
        assert_eq!(handle.status().generation, 2);
    }

    #[test]
    fn a_broken_or_missing_file_leaves_the_table_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let (path, handle, mut watch) = watched(folder.path());
        std::fs::write(&path, "not a database").unwrap();
        watch.look(&handle);
        watch.look(&handle);
        let status = handle.status();
        assert_eq!((asn(&handle), status.generation), (64_500, 1));
        let path_text = path.display();
        assert_eq!(
            status.last_error,
            format!(
                "ASN database {path_text}: it has no MaxMind DB metadata in its last 128 KiB. Get the file again from where it is published."
            )
        );
        std::fs::remove_file(&path).unwrap();
        watch.look(&handle);
        watch.look(&handle);
        assert!(handle.status().last_error.contains("cannot read it"), "{}", handle.status().last_error);
        assert_eq!(asn(&handle), 64_500);
        database(&path, 64_502);
        watch.look(&handle);
        watch.look(&handle);
        assert_eq!((asn(&handle), handle.status().last_error), (64_502, String::new()));
    }

    #[test]
    fn a_reader_collects_each_table_once_and_none_when_nothing_is_left_to_look_up() {
        let handle = Handle::default();
        let mut held = handle.latest();
        assert!(!handle.collect(&mut held) && held.table.is_none());
        let mut watch = Watch::new(Sources::default());
        let own = crate::Network::new("192.0.2.0/24", "office").unwrap();
        watch.set(Sources { networks: vec![own], ..Sources::default() }, &handle);
        assert!(handle.collect(&mut held) && !handle.collect(&mut held));
        assert_eq!(held.table.as_ref().unwrap().lookup("192.0.2.1".parse().unwrap()).network, "office");
        watch.set(Sources::default(), &handle);
        assert!(handle.collect(&mut held) && held.table.is_none());
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_thread_that_dies_at_a_load_says_so_and_loads_it_in_its_next_life() {
        let _alone = THREADS.lock();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("asn.mmdb");
        database(&path, 64_500);
        let handle = Arc::new(Handle::default());
        let watcher = Watcher::start(Arc::clone(&handle), Sources::default()).unwrap();
        sonde_threads::arm("enrich");
        watcher.set(Sources { asn_database: Some(path), ..Sources::default() });
        let until = |what: &str, is: &dyn Fn() -> bool| {
            let start = std::time::Instant::now();
            while !is() {
                assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}: {:?}", handle.status());
                thread::sleep(Duration::from_millis(1));
            }
        };
        until("its end", &|| handle.status().last_error.contains("ended by a fault of the program"));
        assert_eq!(asn(&handle), 0);
        until("the load", &|| asn(&handle) == 64_500);
        assert_eq!(handle.status().last_error, "");
        watcher.finish();
    }

    #[test]
    fn the_thread_loads_what_it_is_told_and_ends() {
        let _alone = THREADS.lock();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("asn.mmdb");
        database(&path, 64_500);
        let handle = Arc::new(Handle::default());
        let watcher = Watcher::start(Arc::clone(&handle), Sources::default()).unwrap();
        watcher.set(Sources { asn_database: Some(path), ..Sources::default() });
        watcher.finish();
        assert_eq!(asn(&handle), 64_500);
    }
}
