//! A recording as a source that does not end: its frames again and again, as fast as they are taken, by the system's clock. For
//! benchmarks on real traffic.

use sonde_packet::Frame;

use crate::capture::{Batch, Capture, Fault};
use crate::clock::Clock;
use crate::source::{BURST_MAX, Polled, Source};

/// Lends the frames of a capture that lies in memory, for ever.
#[derive(Debug)]
pub struct LoopSource<'a> {
    frames: Vec<Frame<'a>>,
    at: usize,
    clock: Clock,
}

impl<'a> LoopSource<'a> {
    /// Notes where the frames of `bytes` are. What stands behind damage is not lent.
    ///
    /// # Errors
    /// When it is no capture, or nothing can be read from it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut capture = Capture::open(bytes)?;
        let mut batch = Batch::new();
        let mut frames = Vec::new();
        loop {
            capture.fill(&mut batch);
            if batch.frames().is_empty() {
                break;
            }
            frames.extend(batch.frames().iter().map(|frame| Frame { port: 1, ..*frame }));
        }
        match capture.fault() {
            Some(fault) if frames.is_empty() => Err(fault),
            _ => Ok(Self { frames, at: 0, clock: Clock::new() }),
        }
    }

    /// Different frames.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }
}

impl Source for LoopSource<'_> {
    #[inline]
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        let now = self.clock.now();
        if self.at >= self.frames.len() {
            self.at = 0;
        }
        let end = self.at.saturating_add(BURST_MAX).min(self.frames.len());
        let frames = self.frames.get_mut(self.at..end).unwrap_or_default();
        self.at = end;
        for frame in &mut *frames {
            frame.time = now;
        }
        work(frames, now);
        if frames.is_empty() { Polled::End } else { Polled::Frames }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pcap of `count` packets, each of one octet: its number.
    fn recording(count: u8) -> Vec<u8> {
        let mut file = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0".to_vec();
        for n in 0..count {
            for word in [7u32, 0, 1, 60] {
                file.extend(word.to_le_bytes());
            }
            file.push(n);
        }
        file
    }

    #[test]
    fn frames_come_again_in_order_with_the_time_of_the_clock() {
        let file = recording(200);
        let mut source = LoopSource::new(&file).expect("a capture");
        assert_eq!(source.frames(), 200);
        let mut seen = Vec::new();
        let mut latest = 1_600_000_000_000_000_000;
        for _ in 0..4 {
            let polled = source.burst(|frames, now| {
                assert!(now >= latest && frames.iter().all(|frame| frame.time == now), "not the recording's time");
                latest = now;
                seen.extend(frames.iter().map(|frame| frame.bytes[0]));
            });
            assert_eq!(polled, Polled::Frames);
        }
        assert!(seen.into_iter().eq((0..200).chain(0..200)));
    }

    #[test]
    fn a_recording_without_frames_ends_and_one_that_is_none_is_refused() {
        assert_eq!(LoopSource::new(&recording(0)).expect("a capture").burst(|_, _| ()), Polled::End);
        assert!(LoopSource::new(b"no capture at all, nothing but text").is_err());
        let cut = recording(3);
        assert_eq!(LoopSource::new(&cut[..cut.len() - 1]).expect("two are whole").frames(), 2);
    }
}
