//! A recording as a source: its frames in bursts, by its own clock.

use super::{Polled, Source};
use crate::capture::{Batch, Capture, Damage, Fault, SPAN_NS};
use sonde_memory::FileMap;
use sonde_packet::Frame;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lends the frames of a capture file that lies in memory.
///
/// The clock is the recording's: the latest time seen so far, so that it stands still where a file's times go backwards.
/// A gap in the recording is first told as a burst without frames, as an idle NIC would: what times out in the gap
/// does so before the frames after it arrive.
#[derive(Debug)]
pub struct FileSource<'a> {
    capture: Capture<'a>,
    batch: Batch<'a>,
    /// The batch is filled, and waits behind a gap.
    held: bool,
    now: u64,
    position: Option<&'a AtomicU64>,
    map: Option<&'a FileMap>,
    /// Where in the file its length is looked at again.
    check_at: u64,
    shrunk: Option<Fault>,
}

/// How many octets are read between two looks at the file's length.
const CHECK_EVERY: u64 = 4 << 20;

impl<'a> FileSource<'a> {
    /// Recognises the capture in `bytes`.
    ///
    /// # Errors
    /// When it is no capture, or ends inside its header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let capture = Capture::open(bytes)?;
        Ok(Self { capture, batch: Batch::new(), held: false, now: 0, position: None, map: None, check_at: CHECK_EVERY, shrunk: None })
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

    /// What ended the reading early, after [`Polled::End`].
    pub fn fault(&self) -> Option<Fault> {
        self.shrunk.or(self.capture.fault())
    }

    /// Reads the next batch; an empty one at the end.
    fn fill(&mut self) {
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
    }
}

impl Source for FileSource<'_> {
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        if !self.held {
            self.fill();
        }
        let frames = self.batch.frames();
        let Some(first) = frames.first() else {
            work(&[], self.now);
            return Polled::End;
        };
        if !self.held && self.now != 0 && first.time.saturating_sub(self.now) > SPAN_NS {
            self.held = true;
            self.now = first.time;
            work(&[], self.now);
            return Polled::Idle;
        }
        self.held = false;
        self.now = self.now.max(self.batch.newest());
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
    fn a_gap_is_told_before_the_frames_behind_it() {
        assert_eq!(
            bursts(&recording(&[0, 900, 5000, 5100])),
            [(Polled::Frames, 2, 900), (Polled::Idle, 0, 5000), (Polled::Frames, 2, 5100), (Polled::End, 0, 5100)]
        );
    }

    #[test]
    fn the_clock_never_goes_back() {
        assert_eq!(
            bursts(&recording(&[9000, 2000, 1000, 3500, 10_500])),
            [(Polled::Frames, 4, 9000), (Polled::Idle, 0, 10_500), (Polled::Frames, 1, 10_500), (Polled::End, 0, 10_500)]
        );
    }

    #[test]
    fn an_empty_recording_ends_at_once() {
        assert_eq!(bursts(&recording(&[])), [(Polled::End, 0, 0)]);
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
