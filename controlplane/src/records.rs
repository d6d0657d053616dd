//! Reads the record rings: all of them as one stream, with one cursor, and the window `Top` is answered from.

use crate::background;
use crate::fault;
use crate::place::Lookups;
use crate::places::Places;
use crate::top::Window;
use parking_lot::Mutex;
use sonde_record::ring::{Cursor, Reader, RingError};
use sonde_record::{HEAD_WORDS, RecordView};
use sonde_threads::{Death, Pauses};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::Status;

/// How long a reader sleeps when there is nothing to read.
pub(crate) const IDLE: Duration = Duration::from_millis(20);
/// How often it looks whether there are other rings.
const LOOK: Duration = Duration::from_millis(500);
/// Records taken from a ring before the next one has its turn.
const TURN: usize = 1024;
/// Begins every cursor: another version of this program may write others.
const CURSOR_VERSION: &str = "v1";

/// Every ring of the dataplane, as one stream.
pub(crate) struct Rings {
    places: Places,
    readers: Vec<Reader>,
    looked: Option<Instant>,
    /// What of a client's cursor has found no ring yet.
    resume: Vec<Cursor>,
    /// Whose turn is first: with a small `max` the others would never have theirs.
    first: usize,
    /// Rings that cannot be read, and why.
    problems: Vec<String>,
}

/// What one look at all rings found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Records handed over.
    pub records: usize,
    /// Records that were overwritten before they were read, or were in a ring that was damaged.
    pub lost: u64,
    /// Places where no record could be read.
    pub damaged: u64,
    /// More can be read at once.
    pub more: bool,
}

impl Rings {
    /// Begins now, or behind a cursor.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the cursor is none of ours.
    pub(crate) fn open(places: Places, cursor: &str) -> Result<Self, Status> {
        let resume = if cursor.is_empty() { Vec::new() } else { parse_cursor(cursor).ok_or_else(|| bad_cursor(cursor))? };
        let mut rings = Self { places, readers: Vec::new(), looked: None, resume, first: 0, problems: Vec::new() };
        rings.look(cursor.is_empty());
        Ok(rings)
    }

    /// Opens rings that are new and lets go of those that are no more. `from_now`: a new ring's old records are not wanted.
    fn look(&mut self, from_now: bool) {
        self.looked = Some(Instant::now());
        let paths = self.places.rings();
        self.problems.clear();
        let resume = &mut self.resume;
        // A ring that was replaced has been read to its end by now: look is called when there is nothing to read.
        self.readers.retain_mut(|reader| {
            // One whose successor is not there yet, or cannot be read yet, knows best what was lost.
            match reader.follow() {
                Ok(true) => _ = resume_in(reader, resume),
                Ok(false) | Err(RingError::Missing { .. }) => {}
                Err(problem) => self.problems.push(problem.to_string()),
            }
            paths.iter().any(|p| p == reader.path())
        });
        let known: Vec<PathBuf> = self.readers.iter().map(|r| r.path().to_owned()).collect();
        for path in paths.into_iter().filter(|p| !known.contains(p)) {
            let mut reader = match Reader::open(&path) {
                Ok(reader) => reader,
                // Not there yet: the next look finds it.
                Err(RingError::Missing { .. }) => continue,
                Err(problem) => {
                    self.problems.push(problem.to_string());
                    continue;
                }
            };
            if !resume_in(&mut reader, &mut self.resume) && !from_now {
                reader.seek_oldest();
            }
            self.readers.push(reader);
        }
        self.readers.sort_by_key(Reader::worker);
    }

    /// Hands what is new to `take`, with its worker's place in the cursor moved on. Never waits.
    pub(crate) fn read(&mut self, max: usize, mut take: impl FnMut(&RecordView<'_>)) -> Found {
        let mut found = Found::default();
        let count = self.readers.len().max(1);
        self.first = (self.first + 1) % count;
        let first = self.first.min(self.readers.len());
        let (behind, ahead) = self.readers.split_at_mut(first);
        for reader in ahead.iter_mut().chain(behind) {
            let batch = reader.read(TURN.min(max.saturating_sub(found.records)), &mut take);
            found.records += batch.records;
            found.lost = found.lost.saturating_add(batch.lost);
            found.damaged = found.damaged.saturating_add(batch.damaged);
            found.more |= batch.more;
        }
        if !found.more && self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.look(false);
        }
        found
    }

    /// Rings that cannot be read, a sentence each with its remedy.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Where the next record will be read, as text for a client.
    pub(crate) fn cursor(&self) -> String {
        let mut text = CURSOR_VERSION.to_owned();
        for Cursor { instance, position, sequence } in self.readers.iter().map(Reader::cursor) {
            // Writing to a String cannot fail.
            let _ = write!(text, ".{instance:x}-{position:x}-");
            if let Some(sequence) = sequence {
                let _ = write!(text, "{sequence:x}");
            }
        }
        text
    }
}

/// Goes on where a client's cursor for this ring stands; whether there was one.
fn resume_in(reader: &mut Reader, cursors: &mut Vec<Cursor>) -> bool {
    let at = cursors.iter().position(|cursor| reader.seek(*cursor));
    at.map(|at| cursors.swap_remove(at)).is_some()
}

fn parse_cursor(text: &str) -> Option<Vec<Cursor>> {
    let mut parts = text.split('.');
    if parts.next() != Some(CURSOR_VERSION) {
        return None;
    }
    let hex = |t: &str| u64::from_str_radix(t, 16).ok();
    parts
        .map(|part| {
            let mut fields = part.split('-');
            let (instance, position, sequence) = (fields.next()?, fields.next()?, fields.next()?);
            let sequence = if sequence.is_empty() { None } else { Some(hex(sequence)?) };
            fields.next().is_none().then_some(Cursor { instance: hex(instance)?, position: hex(position)?, sequence })
        })
        .collect()
}

fn bad_cursor(text: &str) -> Status {
    fault::bad_text("cursor", "a cursor from a TailResponse, or empty for now", text)
}

/// Seconds since 1970 UTC.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The thread that keeps the window of the last minutes.
pub(crate) struct Hub {
    window: Arc<Mutex<Window>>,
    stop: Arc<AtomicBool>,
    alive: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// Starts to read, from now on; addresses are looked up in the latest table.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(places: Places, lookups: Lookups) -> std::io::Result<Self> {
        let window = Arc::new(Mutex::new(Window::new(unix_seconds())));
        let stop = Arc::new(AtomicBool::new(false));
        let alive = Arc::new(AtomicBool::new(true));
        let (filled, stopped, lives) = (Arc::clone(&window), Arc::clone(&stop), Arc::clone(&alive));
        let body = move || {
            let Ok(rings) = Rings::open(places, "") else { return };
            let mut hand = Hand { rings, batch: VecDeque::with_capacity(TURN), begun: false };
            let life = || {
                lives.store(true, Ordering::Relaxed);
                fill(&mut hand, &lookups, &filled, &stopped);
            };
            let died = |death: &Death| {
                lives.store(false, Ordering::Relaxed);
                background::say("the thread that reads the records", death);
            };
            sonde_threads::supervise(Pauses::USUAL, &stopped, life, died);
        };
        let thread = std::thread::Builder::new().name("records".to_owned()).spawn(body)?;
        Ok(Self { window, stop, alive, thread: Some(thread) })
    }

    /// Whether it reads: not between its end by a fault and its new beginning.
    pub(crate) fn alive(&self) -> &Arc<AtomicBool> {
        &self.alive
    }

    /// The window.
    pub(crate) fn window(&self) -> &Arc<Mutex<Window>> {
        &self.window
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// What outlives a fault of the thread.
struct Hand {
    rings: Rings,
    /// Heads of records that were read, and not added to the window yet.
    batch: VecDeque<[u64; HEAD_WORDS]>,
    /// One more was taken out of them, and may not have been added.
    begun: bool,
}

fn fill(hand: &mut Hand, lookups: &Lookups, window: &Mutex<Window>, stop: &AtomicBool) {
    let Hand { rings, batch, begun } = hand;
    let mut held = lookups.latest();
    // What the life before had in hand when it ended.
    let left = batch.len() as u64 + u64::from(std::mem::take(begun));
    batch.clear();
    if left != 0 {
        window.lock().lost(unix_seconds(), left, 0);
    }
    let mut said: Vec<String> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let found = rings.read(usize::MAX, |record| batch.push_back(*record.parts().0));
        sonde_threads::trap();
        if said != rings.problems() {
            rings.problems().iter().filter(|problem| !said.contains(problem)).for_each(|problem| tracing::error!("{problem}"));
            said = rings.problems().to_vec();
            window.lock().problems(&said);
        }
        if found.records != 0 || found.lost != 0 || found.damaged != 0 {
            let now = unix_seconds();
            lookups.refresh(&mut held);
            let mut window = window.lock();
            while let Some(head) = batch.pop_front() {
                *begun = true;
                if let Some(record) = RecordView::from_parts(&head, &[]) {
                    window.add(now, &record, held.table.as_ref());
                }
                *begun = false;
            }
            if found.lost != 0 || found.damaged != 0 {
                window.lost(now, found.lost, found.damaged);
            }
        }
        if !found.more {
            std::thread::sleep(IDLE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursors = parse_cursor("v1.ff-10-a.1-2-").expect("good");
        assert_eq!(
            cursors,
            [Cursor { instance: 255, position: 16, sequence: Some(10) }, Cursor { instance: 1, position: 2, sequence: None }]
        );
        assert_eq!(parse_cursor("v1").as_deref(), Some(&[][..]), "a dataplane without rings");
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["v2.1-2-3", "1-2-3", "v1.", "v1.1", "v1.1-2", "v1.x-2-3", "v1.1-2-3-4", "v1.1-2-3."] {
            assert!(parse_cursor(text).is_none(), "{text}");
        }
    }
}
