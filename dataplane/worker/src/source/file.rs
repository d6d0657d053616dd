//! A recording as a source: its frames in bursts, by its own clock.

use super::{Polled, Source};
use crate::capture::{Batch, Capture, Damage, Fault, JUMP_MAX_NS, Passed, State, Waiting};
use sonde_memory::FileMap;
use sonde_packet::Frame;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lends the frames of a capture file that lies in memory.
///
/// The clock is the recording's: the time of the burst's first frame, so that nothing ends because of frames that come after the
/// one which would have kept it. It stands still where a file's times go backwards, but by more than an hour: then all flows have
/// ended before, as by a long gap, and it goes on from there (captures of two days in one file). A long gap is told in steps, as bursts
/// without frames: the table's coarse clock of sixteen bits would not see how long it was.
#[derive(Debug)]
pub struct FileSource<'a> {
    capture: Capture<'a>,
    batch: Batch<'a>,
    /// The batch is filled, and waits behind a gap: how many steps were told of it.
    held: Option<u32>,
    now: u64,
    position: Option<&'a AtomicU64>,
    map: Option<&'a FileMap>,
    /// The piece ends when fewer octets than this are left: the rest of a burst may be in the next one.
    margin: usize,
    /// Where in the file its length is looked at again.
    check_at: u64,
    shrunk: Option<Fault>,
}

/// A gap longer than this is told in steps of this: half of what the table's coarse clock can tell apart.
const STEP_NS: u64 = 2_000_000_000_000;
/// No more steps than this of one gap: by then, no flow is left that the longest timeout (a day) has not ended.
const STEPS_MAX: u32 = 45;

/// How many octets are read between two looks at the file's length.
const CHECK_EVERY: u64 = 4 << 20;

/// A recording's state between two pieces of it.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    capture: State,
    now: u64,
    /// The time believed last, and frames whose times were not believed.
    clock: u64,
    absurd: u64,
}

impl Carried {
    /// Frames whose times were not believed.
    pub(crate) fn absurd_times(&self) -> u64 {
        self.absurd
    }

    /// Packets of link types that are not read.
    pub(crate) fn passed(&self) -> &Passed {
        &self.capture.passed
    }
}

impl<'a> FileSource<'a> {
    /// Recognises the capture in `bytes`.
    ///
    /// # Errors
    /// When it is no capture, or ends inside its header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self::over(Capture::open(bytes)?, Batch::new(), 0))
    }

    /// Goes on with the next piece of a recording, as long as `margin` octets of it are left. Without a margin it is read as far as its
    /// last whole packet; `goes_on` says whether another piece will follow. `waiting`: the frame of the piece before that waits for the
    /// next one, to be believed.
    ///
    /// # Errors
    /// As [`Self::open`], for the first piece.
    pub(crate) fn resume(
        carried: Carried,
        waiting: Option<&'a Waiting>,
        bytes: &'a [u8],
        margin: usize,
        goes_on: bool,
    ) -> Result<Self, Fault> {
        let capture = Capture::resume(carried.capture, bytes, goes_on)?;
        let batch = Batch::resume(carried.clock, carried.absurd, waiting);
        Ok(Self { margin, ..Self::over(capture, batch, carried.now) })
    }

    fn over(capture: Capture<'a>, batch: Batch<'a>, now: u64) -> Self {
        Self { capture, batch, held: None, now, position: None, map: None, margin: 0, check_at: CHECK_EVERY, shrunk: None }
    }

    /// Stops after a piece, and says which frame waits for the next one, and how many octets of the piece were read.
    pub(crate) fn pause(self) -> (Carried, Option<Waiting>, usize) {
        let (capture, read) = self.capture.pause();
        let (clock, absurd, waiting) = self.batch.pause();
        (Carried { capture, now: self.now, clock, absurd }, waiting, read)
    }

    /// Like [`Self::open`], for a mapped file: reading ends with a fault when another process cuts it meanwhile.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_map(map: &'a FileMap) -> Result<Self, Fault> {
        Ok(Self { map: Some(map), ..Self::open(map.bytes())? })
    }

    /// Keeps `position` at the number of octets read, for another thread to show.
    pub fn with_position(self, position: &'a AtomicU64) -> Self {
        Self { position: Some(position), ..self }
    }

    /// Frames whose times were not believed: they were lent with the time of the frame before.
    pub fn absurd_times(&self) -> u64 {
        self.batch.absurd()
    }

    /// What ended the reading early, after [`Polled::End`].
    pub fn fault(&self) -> Option<Fault> {
        self.shrunk.or(self.capture.fault())
    }

    /// Packets of link types that are not read.
    pub fn passed(&self) -> &Passed {
        self.capture.passed()
    }

    /// Reads the next batch; an empty one at the end.
    fn fill(&mut self) {
        if self.capture.left() < self.margin {
            self.batch.clear();
            return;
        }
        let position = self.capture.position();
        if let Some(shown) = self.position {
            shown.store(position, Ordering::Relaxed);
        }
        if position >= self.check_at {
            self.check_at = position.saturating_add(CHECK_EVERY);
            if self.map.is_some_and(|map| map.check().is_err()) {
                self.shrunk = Some(Fault { offset: position, what: Damage::Shrunk });
            }
        }
        match self.shrunk {
            None => self.capture.fill(&mut self.batch),
            Some(_) => self.batch.clear(),
        }
        if self.shrunk.is_none() && self.is_cut() {
            // Zeros stand where frames were, and zeros must not become flows.
            self.shrunk = Some(Fault { offset: position, what: Damage::Shrunk });
            self.batch.clear();
        }
    }

    /// Whether something of the batch, or of the headers before it, is no longer in the file. A cut takes the end: when the last octet
    /// was there, all were. The rest of the last page reads as zeros without a fault, and there no batch, or frames without an octet.
    fn is_cut(&self) -> bool {
        let Some(map) = self.map else { return false };
        match self.batch.frames().last().and_then(|frame| frame.bytes.last()) {
            Some(last) => {
                std::hint::black_box(*last);
                map.cut()
            }
            None => map.cut() || map.check().is_err(),
        }
    }
}

impl Source for FileSource<'_> {
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        let told = self.held.unwrap_or_else(|| {
            self.fill();
            0
        });
        let frames = self.batch.frames();
        let Some(first) = frames.first() else {
            work(&[], self.now);
            return Polled::End;
        };
        let back = self.now.saturating_sub(first.time) > JUMP_MAX_NS;
        let ahead = self.now != 0 && first.time.saturating_sub(self.now) > STEP_NS;
        if (ahead || back) && told < STEPS_MAX {
            self.held = Some(told.saturating_add(1));
            self.now = self.now.saturating_add(STEP_NS);
            work(&[], self.now);
            return Polled::Idle;
        }
        self.held = None;
        self.now = if back { first.time } else { self.now.max(first.time) };
        work(frames, self.now);
        Polled::Frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::BURST_MAX;

    /// A pcap of one-octet packets at these times in milliseconds.
    fn recording(times: &[u32]) -> Vec<u8> {
        let mut file = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0".to_vec();
        for ms in times {
            for word in [ms / 1000, ms % 1000 * 1000, 1, 60] {
                file.extend(word.to_le_bytes());
            }
            file.push(b'x');
        }
        file
    }

    /// What each call of `burst` gave: outcome, frames, clock in milliseconds.
    fn bursts(file: &[u8]) -> Vec<(Polled, usize, u64)> {
        let mut source = FileSource::open(file).expect("a capture");
        let mut seen = Vec::new();
        loop {
            let (mut frames, mut now) = (0, 0);
            let polled = source.burst(|lent, time| (frames, now) = (lent.len(), time / 1_000_000));
            seen.push((polled, frames, now));
            if polled == Polled::End {
                return seen;
            }
        }
    }

    #[test]
    fn a_long_recording_comes_in_full_bursts() {
        assert_eq!(bursts(&recording(&[5; BURST_MAX + 3])), [(Polled::Frames, BURST_MAX, 5), (Polled::Frames, 3, 5), (Polled::End, 0, 5)]);
    }

    #[test]
    fn the_time_of_a_burst_is_that_of_its_first_frame() {
        assert_eq!(bursts(&recording(&[0, 900, 5000, 5100])), [(Polled::Frames, 2, 0), (Polled::Frames, 2, 5000), (Polled::End, 0, 5000)]);
    }

    #[test]
    fn the_clock_never_goes_back() {
        assert_eq!(
            bursts(&recording(&[9000, 2000, 1000, 3500, 10_500])),
            [(Polled::Frames, 4, 9000), (Polled::Frames, 1, 10_500), (Polled::End, 0, 10_500)]
        );
    }

    #[test]
    fn a_long_gap_is_told_in_steps() {
        assert_eq!(
            bursts(&recording(&[1000, 4_900_000])),
            [
                (Polled::Frames, 1, 1000),
                (Polled::Idle, 0, 2_001_000),
                (Polled::Idle, 0, 4_001_000),
                (Polled::Frames, 1, 4_900_000),
                (Polled::End, 0, 4_900_000)
            ]
        );
        let weeks = bursts(&recording(&[1000, u32::MAX]));
        assert_eq!(weeks.len(), 2 + STEPS_MAX as usize + 1);
        assert_eq!(weeks.iter().rev().nth(1), Some(&(Polled::Frames, 1, u64::from(u32::MAX))));
    }

    /// The times of the frames, in milliseconds, the last clock, and how many were not believed.
    fn times(file: &[u8]) -> (Vec<u64>, u64, u64) {
        let mut source = FileSource::open(file).expect("a capture");
        let (mut seen, mut last) = (Vec::new(), 0);
        while source.burst(|lent, now| (seen.extend(lent.iter().map(|frame| frame.time / 1_000_000)), last = now / 1_000_000).1)
            != Polled::End
        {}
        (seen, last, source.absurd_times())
    }

    #[test]
    fn one_absurd_time_is_that_of_the_frame_before_and_is_counted() {
        const BASE: u32 = 2_000_000_000;
        for absurd in [0, 5000, BASE - 3_600_011, BASE + 3_600_011, u32::MAX] {
            let file = recording(&[BASE, BASE + 10, absurd, BASE + 20, BASE + 30]);
            assert_eq!(times(&file), ([0, 10, 10, 20, 30].map(|ms| u64::from(BASE) + ms).to_vec(), u64::from(BASE), 1), "{absurd}");
        }
        let hour = recording(&[BASE, BASE + 3_600_000, BASE, BASE + 1]);
        assert_eq!(times(&hour).2, 0, "an hour is none");
        let last = recording(&[BASE, BASE + 1, 5]);
        assert_eq!((times(&last).0.len(), times(&last).2), (3, 1), "back, and nothing confirms it");
    }

    #[test]
    fn two_captures_of_different_days_in_one_file_keep_their_times() {
        const DAY: u32 = 86_400_000;
        for days in [[1000, 1010, DAY, DAY + 10], [DAY, DAY + 10, 1000, 1010]] {
            let (seen, last, absurd) = times(&recording(&days));
            let [.., third, fourth] = days.map(u64::from);
            assert_eq!((seen, absurd), (days.map(u64::from).to_vec(), 0));
            assert!(last == third || last == fourth, "{last}");
        }
    }

    #[test]
    fn an_empty_recording_ends_at_once() {
        assert_eq!(bursts(&recording(&[])), [(Polled::End, 0, 0)]);
    }

    #[test]
    fn what_is_cut_between_two_looks_at_the_length_becomes_no_frame() {
        // At the beginning of a page, and within one.
        [0, 100].into_iter().for_each(cut_behind_a_megabyte);
    }

    fn cut_behind_a_megabyte(more: u64) {
        let path = std::env::temp_dir().join(format!("sonde-cut-{more}-{}.pcap", std::process::id()));
        std::fs::write(&path, recording(&vec![1; 100_000])).expect("room for two megabytes");
        let map = FileMap::open(&path).expect("a map");
        let mut source = FileSource::open_map(&map).expect("a capture");
        source.burst(|_, _| ());
        let cut = std::fs::OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len((1 << 20) + more));
        std::fs::remove_file(&path).expect("it was there");
        cut.expect("a shorter file");
        let mut frames = 0;
        while source.burst(|lent, _| frames += lent.iter().inspect(|frame| assert_eq!(frame.bytes, b"x")).count()) != Polled::End {}
        assert!(frames > 10_000 && frames < 63_000, "{frames} frames stood in the megabyte that is left");
        let fault = source.fault().expect("a fault");
        assert_eq!(fault.what, Damage::Shrunk);
        assert!(fault.offset < CHECK_EVERY, "found before the length is looked at, at {}", fault.offset);
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_read_ends_with_a_fault() {
        let path = std::env::temp_dir().join(format!("sonde-shrunk-{}.pcap", std::process::id()));
        let times: Vec<u32> = vec![1; 400_000];
        let file = recording(&times);
        std::fs::write(&path, &file).expect("room for a few megabytes");
        let map = FileMap::open(&path).expect("a map");
        let mut source = FileSource::open_map(&map).expect("a capture");
        source.burst(|_, _| ());
        let half = std::fs::OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(5 << 20));
        std::fs::remove_file(&path).expect("it was there");
        half.expect("a shorter file");
        let mut frames = BURST_MAX;
        while source.burst(|lent, _| frames += lent.len()) != Polled::End {}
        assert!(frames < times.len(), "{frames} frames read of {}", times.len());
        let fault = source.fault().expect("a fault");
        assert_eq!(fault.what, Damage::Shrunk);
        assert!(fault.offset >= CHECK_EVERY && fault.offset < 5 << 20);
    }
}
