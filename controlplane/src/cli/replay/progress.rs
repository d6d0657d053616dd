//! A line on the terminal that says how far a long replay is.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Work that is done sooner than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(700);
/// Time between two redraws.
const TICK: Duration = Duration::from_millis(200);

/// A thread that draws. It ends, and its line is removed, when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    shown: Arc<Mutex<Shown>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shown {
    file: Option<Watched>,
    /// A line stands on the terminal.
    drawn: bool,
}

#[derive(Debug)]
struct Watched {
    name: String,
    /// `None` for a pipe: nobody knows how much will come.
    octets: Option<u64>,
    position: Arc<AtomicU64>,
    since: Instant,
}

impl Progress {
    pub(super) fn start() -> Self {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let (stop, stopped) = mpsc::channel();
        let mine = Arc::clone(&shown);
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                mine.lock().unwrap_or_else(PoisonError::into_inner).draw();
            }
        });
        // Without the thread there is no display, and that is all.
        Self { shown, stop: Some(stop), thread: thread.ok() }
    }

    /// Shows this file from now on; the position counts octets.
    pub(super) fn watch(&self, path: &Path, octets: Option<u64>) -> Arc<AtomicU64> {
        let position = Arc::new(AtomicU64::new(0));
        let watched = Watched { name: path.display().to_string(), octets, position: Arc::clone(&position), since: Instant::now() };
        self.lock().file = Some(watched);
        position
    }

    /// The file is done.
    pub(super) fn rest(&self) {
        let mut shown = self.lock();
        shown.erase();
        shown.file = None;
    }

    /// Prints a line that stays.
    pub(super) fn say(&self, line: &str) {
        let mut shown = self.lock();
        shown.erase();
        eprintln!("{line}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has cost the display, no more.
            let _ = thread.join();
        }
        self.lock().erase();
    }
}

impl Shown {
    fn draw(&mut self) {
        let Some(file) = self.file.as_ref().filter(|file| file.since.elapsed() >= PATIENCE) else { return };
        let line = line(&file.name, file.position.load(Ordering::Relaxed), file.octets, file.since.elapsed());
        eprint!("\r\x1b[K{line}");
        let _ = std::io::stderr().flush();
        self.drawn = true;
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}

/// `trace.pcap  42 %  1.3 of 3.1 GB  640 MB/s  3 s left`
fn line(name: &str, done: u64, octets: Option<u64>, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let gigabytes = |octets: u64| octets as f64 / 1e9;
    let Some(octets) = octets else { return format!("{name}  {:.1} GB  {:.0} MB/s", gigabytes(done), rate / 1e6) };
    let percent = done.saturating_mul(100).checked_div(octets).unwrap_or(100);
    let left = octets.saturating_sub(done) as f64 / rate.max(1.0);
    format!("{name}  {percent} %  {:.1} of {:.1} GB  {:.0} MB/s  {left:.0} s left", gigabytes(done), gigabytes(octets), rate / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(
            line("a.pcap", 1_300_000_000, Some(3_100_000_000), Duration::from_secs(2)),
            "a.pcap  41 %  1.3 of 3.1 GB  650 MB/s  3 s left"
        );
        assert_eq!(line("a.pcap", 0, Some(0), Duration::ZERO), "a.pcap  100 %  0.0 of 0.0 GB  0 MB/s  0 s left");
        assert_eq!(line("-", 1_300_000_000, None, Duration::from_secs(2)), "-  1.3 GB  650 MB/s");
    }
}
